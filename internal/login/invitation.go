package login

import (
	"errors"
	"net/http"

	"vitrine/internal/audit"
	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/login/page"
)

// welcome asks a guest who comes to a tenant for the first time, or takes their answer; as in Entra, nobody becomes somebody's guest without
// a word. It is done unless they belong there. p says what else the page shows.
func (d *door) welcome(c call, posted form, account grant.Account, tenant directory.Tenant, p page.Invitation, to ...string) (done bool, err error) {
	guest, waits, err := d.grants.Invited(c.r.Context(), account, tenant.ID)
	if err != nil || !waits {
		return false, err
	}
	e := d.event(c, tenant.ID, "Microsoft.Entra/invitations/redeem/action")
	e.Resource, e.Type = "/users/"+guest.ObjectID, "Microsoft.Entra/users"
	switch posted["act"] {
	case "join":
		e.Caller = audit.Caller{Tenant: tenant.ID, ObjectID: guest.ObjectID, Name: guest.Invited, Kind: "User", HomeTenant: account.Tenant}
		return false, d.grants.Join(c.r.Context(), account, tenant.ID, d.telling(e))
	case "stay":
		return true, aadsts.Fail(http.StatusBadRequest, "access_denied", 65004, "User declined the invitation of the organization.")
	}
	p.Tenant, p.TenantID, p.Person, p.Token = tenant.Name, tenant.ID, guest.Invited, csrfToken(c)
	return true, d.show(c, http.StatusOK, p, to...)
}

// redeem is the page of an inviteRedeemUrl: a guest signs in, accepts and is sent where the inviter said.
func (d *door) redeem(c call) error {
	tenant, err := d.tenant(c.r.Context(), c.tenant)
	if err != nil {
		return err
	}
	var f form
	if c.r.Method == http.MethodPost {
		if f, err = posted(c.r); err != nil {
			return err
		}
	}
	form := page.SignIn{App: tenant.Name, Name: aadsts.Clip(c.r.URL.Query().Get("login_hint"))}
	if f["act"] == "signin" || f["act"] == "renew" {
		return d.signIn(c, f, form)
	}
	account, ok, err := d.grants.Session(c.r.Context(), cookie(c.r, sessionCookie))
	if err != nil {
		return err
	}
	form.Token = csrfToken(c)
	if !ok {
		return d.show(c, http.StatusOK, form)
	}
	guest, waits, err := d.grants.Invited(c.r.Context(), account, tenant.ID)
	if err != nil {
		return err
	}
	if done, err := d.welcome(c, f, account, tenant, page.Invitation{To: guest.Redirect}, guest.Redirect); err != nil || done {
		return err
	}
	_, err = d.grants.Present(c.r.Context(), account, tenant.ID, directory.Application{DisplayName: tenant.Name})
	if fault, ok := errors.AsType[*aadsts.Failure](err); ok {
		form.Fault = fault.Sentence()
		return d.show(c, http.StatusOK, form)
	}
	if err != nil {
		return err
	}
	if waits && guest.Redirect != "" {
		return goTo(c, guest.Redirect)
	}
	return d.show(c, http.StatusOK, page.Message{Title: "You belong to " + tenant.Name, Text: "You may close this window, and sign in to " + tenant.Name + " wherever you work."})
}
