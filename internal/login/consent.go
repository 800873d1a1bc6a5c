package login

import (
	"errors"
	"net/http"
	"strings"

	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/login/page"
)

// allow lets a person pass to whose tenant the application is known with all that it asks for, or who as an administrator has just
// accepted. Otherwise it answers and is done.
func (d *door) allow(v *visit, person grant.Person) (done bool, err error) {
	ask, err := d.grants.Ask(v.r.Context(), v.app, v.tenant, v.version, v.query["resource"], v.query["scope"])
	if err != nil {
		if f, ok := errors.AsType[*aadsts.Failure](err); ok && (f.OAuth == "invalid_scope" || f.OAuth == "invalid_resource") {
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

// consent shows the page to an administrator, or takes their answer. It is not done only when they accepted.
func (d *door) consent(v *visit, person grant.Person, ask grant.Ask) (done bool, err error) {
	if !person.Admin {
		return true, grant.NeedsAdmin(v.app)
	}
	switch v.posted["act"] {
	case "accept":
		return false, d.grants.Consent(v.r.Context(), person, ask)
	case "deny":
		return true, d.back(*v, aadsts.Fail(http.StatusBadRequest, "access_denied", 65004, "User declined to consent to access the app."))
	}
	p := page.Consent{App: ask.App.DisplayName, AppID: ask.App.AppID, Publisher: ask.Publisher.Name, PublisherID: ask.Publisher.ID,
		Tenant: ask.Tenant.Name, TenantID: ask.Tenant.ID, Person: person.UPN, New: !ask.Present, Token: csrfToken(v.call)}
	for _, r := range ask.Rights {
		p.Rights = append(p.Rights, inWords(r))
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
	account, done, err := d.account(&v)
	if err != nil || done {
		return err
	}
	if v.tenant.ID == "" {
		if v.tenant, err = d.Directory.Tenant(c.r.Context(), account.Tenant); err != nil {
			return err
		}
	}
	person, err := d.grants.Present(c.r.Context(), account, v.tenant.ID, v.app)
	if f, ok := errors.AsType[*aadsts.Failure](err); ok {
		return d.show(c, http.StatusOK, page.SignIn{App: v.app.DisplayName, Fault: f.Sentence(), Token: csrfToken(c)}, v.redirect)
	}
	if err != nil {
		return err
	}
	ask, err := d.grants.AskAll(c.r.Context(), v.app, v.tenant, v.query["scope"])
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

// inWords says what a right means: "<resource client ID>/<right>", or with "Role " or "Scope " and an ID as a registration lists it.
func inWords(right string) page.Right {
	resource, name, _ := strings.Cut(right, "/")
	switch strings.ToLower(resource) {
	case "797f4846-ba00-4fd7-ba43-dac1f8f63013":
		return page.Right{Name: name, Text: "manage Azure resources as the person who signs in, with that person's roles"}
	case "e406a681-f3d4-42a8-90b6-c2b029497af1":
		return page.Right{Name: name, Text: "use Azure Storage as the person who signs in"}
	case "00000003-0000-0000-c000-000000000000":
		if strings.HasPrefix(name, "Role ") {
			return page.Right{Name: name, Text: "use the directory (Microsoft Graph) as itself"}
		}
		return page.Right{Name: name, Text: "use the directory (Microsoft Graph) as the person who signs in"}
	}
	return page.Right{Name: name, Text: "use the application " + resource}
}
