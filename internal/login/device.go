package login

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"vitrine/internal/audit"
	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/login/page"
)

// deviceCode begins a sign-in for a device that has no browser (RFC 8628, 3.1).
func (d *door) deviceCode(c call, version int) error {
	if c.r.Method != http.MethodPost {
		return onlyMethods(c.r, http.StatusBadRequest, 900561, "POST")
	}
	f, err := readForm(c.r)
	if err != nil {
		return err
	}
	q := d.request(c, version, f)
	q.Client.ID = f["client_id"]
	if !grant.Common(c.tenant) {
		if q.Tenant, err = d.tenant(c.r.Context(), c.tenant); err != nil {
			return err
		}
	}
	w, err := d.grants.Wait(c.r.Context(), q)
	if err != nil {
		return err
	}
	address := "https://" + canonicalHost(c.r.Host) + "/common/oauth2/deviceauth"
	answer := map[string]any{"user_code": w.UserCode, "device_code": w.DeviceCode, "expires_in": int(w.Life.Seconds()), "interval": int(w.Interval.Seconds()),
		"message": fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", address, w.UserCode)}
	c.w.Header().Set("Cache-Control", "no-store, no-cache")
	if version == 2 {
		answer["verification_uri"] = address
		return reply(c, answer)
	}
	answer["verification_url"] = address
	answer["expires_in"], answer["interval"] = strconv.Itoa(int(w.Life.Seconds())), strconv.Itoa(int(w.Interval.Seconds()))
	return reply(c, answer)
}

// deviceAuth is the page where a person types the code of a device: the code, who they are, and whether they mean it. The last
// question is there because a stranger may have sent the code (RFC 8628, 5.4).
func (d *door) deviceAuth(c call) error {
	var f form
	if c.r.Method == http.MethodPost {
		var err error
		if f, err = posted(c.r); err != nil {
			return err
		}
	}
	account, ok, err := d.grants.Session(c.r.Context(), cookie(c.r, sessionCookie))
	if err != nil {
		return err
	}
	switch {
	case f["act"] == "signin", f["act"] == "renew":
		return d.signIn(c, f, page.SignIn{App: "a device"})
	case f["act"] == "code" && !ok: // the code stays in the address while the person signs in
		_, found, err := d.findDevice(c, f["code"])
		if err != nil || !found {
			return err
		}
		return comeBack(c, url.Values{"user_code": {aadsts.Clip(f["code"])}})
	case f["act"] != "":
		if !ok {
			return d.show(c, http.StatusOK, page.SignIn{App: "a device", Token: csrfToken(c)})
		}
		return d.decide(c, account, f)
	}
	code := c.r.URL.Query().Get("user_code")
	if code == "" {
		return d.show(c, http.StatusOK, page.Device{Token: csrfToken(c)})
	}
	if !ok {
		return d.show(c, http.StatusOK, page.SignIn{App: "a device", Token: csrfToken(c)})
	}
	return d.decide(c, account, form{"code": code})
}

// findDevice shows the form again when nothing waits for a code.
func (d *door) findDevice(c call, code string) (waiting grant.Device, found bool, err error) {
	waiting, err = d.grants.FindDevice(c.r.Context(), code, source(c.r))
	f, ok := errors.AsType[*aadsts.Failure](err)
	if !ok || f.Status == http.StatusTooManyRequests {
		return waiting, err == nil, err
	}
	return waiting, false, d.show(c, http.StatusOK, page.Device{Code: aadsts.Clip(code), Fault: f.Text, Token: csrfToken(c)})
}

// decide asks the signed-in person, or takes their answer.
func (d *door) decide(c call, account grant.Account, f form) error {
	code := f["code"]
	waiting, found, err := d.findDevice(c, code)
	if err != nil || !found {
		return err
	}
	app, err := d.Directory.Application(c.r.Context(), waiting.Client)
	if err != nil {
		return err
	}
	home, err := d.grants.Home(c.r.Context(), account)
	if f, ok := errors.AsType[*aadsts.Failure](err); ok {
		return d.show(c, http.StatusOK, page.SignIn{App: app.DisplayName, Fault: f.Sentence(), Token: csrfToken(c)})
	}
	if err != nil {
		return err
	}
	if waiting.Tenant != "" {
		tenant, err := d.Directory.Tenant(c.r.Context(), waiting.Tenant)
		if err != nil {
			return err
		}
		if done, err := d.welcome(c, f, account, tenant, page.Invitation{Code: aadsts.Clip(code)}); err != nil || done {
			return err
		}
	}
	e := d.event(c, account.Tenant, "Microsoft.Entra/signIns/deviceCode/action")
	e.Resource, e.Type = "/applications/"+app.AppID, "Microsoft.Entra/applications"
	e.Caller = audit.Caller{Tenant: account.Tenant, ObjectID: account.Object, AppID: app.AppID, Name: home.UserPrincipalName, Kind: "User"}
	switch f["act"] {
	case "accept":
		err = d.grants.Decide(c.r.Context(), code, account, true, d.telling(e))
	case "deny":
		e.Status, e.Code = audit.Failed, "authorization_declined"
		err = d.grants.Decide(c.r.Context(), code, account, false, d.telling(e))
	default:
		p := page.Confirm{App: app.DisplayName, PublisherID: app.TenantID, Source: waiting.Source, Person: home.UserPrincipalName, Code: aadsts.Clip(code), Token: csrfToken(c)}
		if p.Publisher, err = d.publisher(c, app); err != nil {
			return err
		}
		return d.show(c, http.StatusOK, p)
	}
	if err != nil {
		return err
	}
	if f["act"] == "deny" {
		return d.show(c, http.StatusOK, page.Message{Title: "You declined", Text: "Nobody was signed in. You may close this window."})
	}
	return d.show(c, http.StatusOK, page.Message{Title: "You have signed in to " + app.DisplayName + " on your device", Text: "You may now close this window."})
}

// publisher names who registered an application. Anybody may call theirs as they like, so that its name alone proves nothing.
func (d *door) publisher(c call, app directory.Application) (string, error) {
	if app.TenantID == directory.MicrosoftServices {
		return "this server: it is built in", nil
	}
	t, err := d.Directory.Tenant(c.r.Context(), app.TenantID)
	return t.Name, err
}
