package login

import (
	"errors"
	"net/http"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/login/page"
)

// allow lets a person pass to whose tenant the application is known with all that it asks for, or who as an administrator has just
// accepted. Otherwise it answers and is done.
func (d *door) allow(v *visit, person grant.Person) (done bool, err error) {
	ask, err := d.grants.Ask(v.r.Context(), v.app, person, v.tenant, grant.Wish{Version: v.version, Resource: v.query["resource"], Scope: v.query["scope"]})
	if err != nil {
		if f, ok := errors.AsType[*aadsts.Failure](err); ok && (f.OAuth == "invalid_scope" || f.OAuth == "invalid_resource" || f.Code == 650053) {
			return true, d.back(*v, err)
		}
		return true, err
	}
	if !ask.Enabled {
		return true, aadsts.Fail(http.StatusBadRequest, "unauthorized_client", 7000112, "Application '%s'(%s) is disabled.", v.app.AppID, v.app.DisplayName)
	}
	again := ask.Publisher.ID != "" && (v.prompts("consent") || v.prompts("admin_consent"))
	if !ask.Needed() && !again {
		return false, nil
	}
	if v.prompts("none") {
		f, _ := errors.AsType[*aadsts.Failure](grant.NotConsented(v.app))
		f.OAuth = "consent_required"
		return true, d.back(*v, f)
	}
	return d.consent(v, person, ask)
}

// consent shows the page to an administrator, or takes their answer. It is not done only when they accepted. An answer to a page that asked
// for something else shows the page again: the publisher may have added to the list while it was read.
func (d *door) consent(v *visit, person grant.Person, ask grant.Ask) (done bool, err error) {
	e := d.event(v.call, ask.Tenant.ID, "Microsoft.Entra/consents/write")
	e.Resource, e.Type, e.Caller = "/applications/"+ask.App.AppID, "Microsoft.Entra/applications", callerOf(person)
	if !person.MayAccept(ask) {
		err := grant.NeedsAdmin(v.app)
		d.failed(v.call, e, err)
		return true, err
	}
	asked := ask.Digest()
	switch {
	case v.posted["act"] == "accept" && v.posted["asked"] == asked:
		return false, d.grants.Consent(v.r.Context(), person, ask, d.telling(e))
	case v.posted["act"] == "deny":
		err := aadsts.Fail(http.StatusBadRequest, "access_denied", 65004, "User declined to consent to access the app.")
		d.failed(v.call, e, err)
		return true, d.back(*v, err)
	}
	p := page.Consent{App: ask.App.DisplayName, AppID: ask.App.AppID, Publisher: ask.Publisher.Name, PublisherID: ask.Publisher.ID,
		Tenant: ask.Tenant.Name, TenantID: ask.Tenant.ID, Person: person.UPN, New: !ask.Present, Token: asked + "." + csrfToken(v.call)}
	for _, w := range ask.Wants {
		p.Rights = append(p.Rights, page.Right{Resource: w.Resource.DisplayName, Name: w.Name, Text: w.Text, Itself: w.Role != "", Unknown: w.Unknown})
	}
	return true, d.show(v.call, http.StatusOK, p, v.redirect)
}

// adminConsent answers /adminconsent: an administrator allows an application for the tenant, without signing in to it.
func (d *door) adminConsent(c call) error {
	v, err := d.enter(c, 2)
	if err != nil {
		return err
	}
	v.query["prompt"], v.query["response_mode"] = "", ""
	if v.app.TenantID == directory.MicrosoftServices { // there is nothing to accept, and nobody published it
		return aadsts.Fail(http.StatusBadRequest, "invalid_client", 65002, "Consent between first party application '%s' and first party resource '%s' must be configured via "+
			"preauthorization - applications owned and operated by Microsoft must get approval from the API owner before requesting tokens for that API.", v.app.AppID, consent.GraphApp)
	}
	if err := v.readPosted(); err != nil {
		return err
	}
	account, done, err := d.account(&v)
	if err != nil || done {
		return err
	}
	if v.tenant.ID == "" {
		if v.tenant, err = d.Directory.Tenant(c.r.Context(), account.Tenant); err != nil {
			return err
		}
	}
	if done, err := d.invited(&v, account); err != nil || done {
		return d.back(v, err)
	}
	person, err := d.grants.Present(c.r.Context(), account, v.tenant.ID, v.app)
	if f, ok := errors.AsType[*aadsts.Failure](err); ok {
		return d.show(c, http.StatusOK, page.SignIn{App: v.app.DisplayName, Fault: f.Sentence(), Token: csrfToken(c)}, v.redirect)
	}
	if err != nil {
		return err
	}
	ask, err := d.grants.AskAll(c.r.Context(), v.app, person, v.tenant, v.query["scope"])
	if err != nil {
		return err
	}
	if done, err := d.consent(&v, person, ask); err != nil || done {
		return err
	}
	fields := []page.Field{{Name: "admin_consent", Value: "True"}, {Name: "tenant", Value: v.tenant.ID}}
	if scope := v.query["scope"]; scope != "" {
		fields = append(fields, page.Field{Name: "scope", Value: scope})
	}
	return d.answer(v, fields)
}
