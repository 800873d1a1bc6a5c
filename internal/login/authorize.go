package login

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/login/page"
	"vitrine/internal/login/redirect"
	"vitrine/internal/web"
)

// visit is one request of a browser on behalf of an application.
type visit struct {
	call
	version  int
	query    form
	app      directory.Application
	tenant   directory.Tenant // zero: the person's home
	redirect string           // registered; empty only where none is needed
	kind     redirect.Kind
	posted   form // what the page sent; nil for a GET
}

// enter reads what a browser brings, up to the point from which the application's redirect URI may be trusted. Whatever fails
// here is shown as a page: an unregistered address never gets anything (RFC 6749, 4.1.2.1).
func (d *door) enter(c call, version int) (visit, error) {
	v := visit{call: c, version: version}
	var err error
	if v.query, err = readQuery(c.r); err != nil {
		return v, err
	}
	if v.query["client_id"] == "" {
		return v, aadsts.MissingParameter("client_id")
	}
	if !grant.Common(c.tenant) {
		if v.tenant, err = d.tenant(c.r.Context(), c.tenant); err != nil {
			return v, err
		}
	}
	v.app, err = d.Directory.Application(c.r.Context(), v.query["client_id"])
	foreign := err == nil && v.tenant.ID != "" && v.app.TenantID != v.tenant.ID && !v.app.Multi()
	switch {
	case errors.Is(err, directory.ErrApplicationNotFound) || foreign:
		return v, aadsts.Fail(http.StatusBadRequest, "unauthorized_client", 700016,
			"Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by "+
				"the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the "+
				"wrong tenant.", aadsts.Clip(v.query["client_id"]), v.directory())
	case err != nil:
		return v, err
	case v.tenant.ID == "" && !v.app.Multi():
		return v, aadsts.Fail(http.StatusBadRequest, "invalid_request", 50194, "Application '%s'(%s) is not configured as a multi-tenant application. "+
			"Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure "+
			"the application to be multi-tenant.", v.app.AppID, v.app.DisplayName)
	}
	err = v.checkRedirect()
	return v, err
}

func (v *visit) directory() string {
	if v.tenant.Name != "" {
		return v.tenant.Name
	}
	return aadsts.Clip(v.call.tenant)
}

func (v *visit) checkRedirect() error {
	v.redirect = v.query["redirect_uri"]
	if v.redirect == "" {
		v.redirect = redirect.Default(v.app)
	}
	if v.redirect == "" {
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 900971, "No reply address provided.")
	}
	if v.kind = redirect.Of(v.app, v.redirect); v.kind == redirect.None {
		return aadsts.Fail(http.StatusBadRequest, "invalid_client", 50011, "The redirect URI '%s' specified in the request does not match the redirect URIs "+
			"configured for the application '%s'. Make sure the redirect URI sent in the request matches one added to your application in the "+
			"Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how to troubleshoot this error.",
			aadsts.Clip(v.redirect), v.app.AppID)
	}
	return nil
}

// authorize answers the authorization endpoint: who is it, may the application, and then a code for it.
func (d *door) authorize(c call, version int) error {
	v, err := d.enter(c, version)
	if err != nil {
		return err
	}
	if err := v.readPosted(); err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return d.back(v, err)
	}
	account, done, err := d.account(&v)
	if err != nil || done {
		return d.back(v, err)
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
	if f, ok := errors.AsType[*aadsts.Failure](err); ok { // the session is of somebody who cannot go on: let another sign in
		if v.prompts("none") { // the application does not hear who it is
			return d.back(v, nobodyHere())
		}
		return d.show(c, http.StatusOK, page.SignIn{App: v.app.DisplayName, Fault: f.Sentence(), Token: csrfToken(c)}, v.redirect)
	}
	if err != nil {
		return err
	}
	if done, err := d.allow(&v, person); err != nil || done {
		return d.refuse(v, err)
	}
	sp, err := d.Directory.Principal(c.r.Context(), v.tenant.ID, v.app.AppID)
	if err == nil {
		_, err = d.grants.Admitted(c.r.Context(), sp, person)
	}
	if err != nil && !errors.Is(err, directory.ErrPrincipalNotFound) { // Microsoft's own have none
		return d.refuse(v, err)
	}
	code, err := d.grants.Authorize(c.r.Context(), grant.Code{Client: v.app.AppID, Tenant: v.tenant.ID, Account: account,
		Redirect: v.redirect, Named: v.query["redirect_uri"] != "", Kind: v.kind,
		Challenge: v.query["code_challenge"], Resource: v.query["resource"], Scope: v.query["scope"], Nonce: v.query["nonce"]})
	if err != nil {
		return err
	}
	fields := []page.Field{{Name: "code", Value: code}}
	if v.prompts("admin_consent") {
		fields = append(fields, page.Field{Name: "admin_consent", Value: "True"}, page.Field{Name: "tenant", Value: v.tenant.ID})
	}
	return d.answer(v, append(fields, page.Field{Name: "session_state", Value: web.NewID()}))
}

// readPosted reads what the page sent. A forged form is refused before anything else and never leads anywhere.
func (v *visit) readPosted() (err error) {
	if v.r.Method == http.MethodPost {
		v.posted, err = posted(v.r)
	}
	return err
}

func (v *visit) prompts(what string) bool {
	return slices.Contains(strings.Fields(v.query["prompt"]), what)
}

// check finds what is wrong with a request whose redirect URI is good; the application is told.
func (v *visit) check() error {
	q := v.query
	switch {
	case strings.EqualFold(v.call.tenant, "consumers"):
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 9001023, "Personal Microsoft accounts are not served here. Use the /organizations or a tenant-specific endpoint.")
	case q["response_type"] == "":
		return aadsts.MissingParameter("response_type")
	case q["response_type"] != "code":
		return aadsts.Fail(http.StatusBadRequest, "unsupported_response_type", 700054, "response_type '%s' is not enabled for the application; only 'code' is.", aadsts.Clip(q["response_type"]))
	case !slices.Contains([]string{"", "query", "fragment", "form_post"}, q["response_mode"]):
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 70007, "'%s' is not a supported value of 'response_mode' when requesting a code.", aadsts.Clip(q["response_mode"]))
	case q["response_mode"] == "form_post" && !takesForms(v.redirect):
		q["response_mode"] = "" // this answer gets there
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 70007, "'form_post' is not a supported value of 'response_mode' for the redirect URI '%s', to which a browser sends no form.", aadsts.Clip(v.redirect))
	case q["request"] != "" || q["request_uri"] != "":
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 90014, "The parameters 'request' and 'request_uri' are not supported.")
	case v.prompts("none") && len(strings.Fields(q["prompt"])) > 1:
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 90023, "The value 'none' of 'prompt' goes with no other.")
	}
	challenge, method := q["code_challenge"], q["code_challenge_method"]
	switch {
	case challenge == "" && v.kind != redirect.Web:
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 9002325, "Proof Key for Code Exchange is required for cross-origin authorization code redemption.")
	case challenge == "":
		return nil
	case method != "S256":
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 50147, "The code_challenge_method '%s' is not accepted. Use S256.", aadsts.Clip(method))
	case len(challenge) != 43 || !grant.IsVerifier(challenge):
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 501491, "Invalid size of Code_Challenge parameter.")
	}
	return nil
}

// takesForms says whether a browser sends forms to an address; to a scheme of a native application the page may not.
func takesForms(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http")
}

// account says who is signed in, or shows the form and is done. A posted form other than signing in is kept for allow.
func (d *door) account(v *visit) (grant.Account, bool, error) {
	account, ok, err := d.grants.Session(v.r.Context(), cookie(v.r, sessionCookie))
	if err != nil {
		return account, false, err
	}
	form := page.SignIn{App: v.app.DisplayName, Name: aadsts.Clip(v.query["login_hint"])}
	if act := v.posted["act"]; act == "signin" || act == "renew" {
		return account, true, d.signIn(v.call, v.posted, form, v.redirect)
	}
	again := v.posted == nil && (v.prompts("login") || v.prompts("select_account"))
	if ok && !again {
		return account, false, nil
	}
	if v.prompts("none") {
		return account, false, nobodyHere()
	}
	form.Token = csrfToken(v.call)
	return account, true, d.show(v.call, http.StatusOK, form, v.redirect)
}

func nobodyHere() error {
	return aadsts.Fail(http.StatusBadRequest, "login_required", 50058, "A silent sign-in request was sent but no user is signed in.")
}

// back tells a failure to the application, with what it needs to go on.
func (d *door) back(v visit, err error) error {
	f, ok := errors.AsType[*aadsts.Failure](err)
	if !ok {
		return err
	}
	_ = d.stamp(v.r, err)
	fields := []page.Field{{Name: "error", Value: f.OAuth}, {Name: "error_description", Value: f.Description()}}
	if f.Code == 65004 {
		fields = append(fields, page.Field{Name: "error_subcode", Value: "cancel"})
	}
	return d.answer(v, fields)
}

// invited asks a guest who has not accepted yet. The application of a silent request hears that somebody must be asked.
func (d *door) invited(v *visit, account grant.Account) (done bool, err error) {
	if v.prompts("none") {
		_, waits, err := d.grants.Invited(v.r.Context(), account, v.tenant.ID)
		if err == nil && waits {
			err = aadsts.Fail(http.StatusBadRequest, "interaction_required", 0, "The signed in user has not accepted the invitation of the tenant '%s' yet.", v.tenant.ID)
		}
		return false, err
	}
	return d.welcome(v.call, v.posted, account, v.tenant, page.Invitation{}, v.redirect)
}

// refuse says on a page what stands in the way, or tells the application, if its request shows no page (OpenID Connect Core, 3.1.2.6). It does
// not hear by that who the person is.
func (d *door) refuse(v visit, err error) error {
	f, ok := errors.AsType[*aadsts.Failure](err)
	switch {
	case !ok || !v.prompts("none"):
		return err
	case f.Code == 50105:
		return d.back(v, aadsts.Fail(f.Status, "access_denied", 50105, "The signed in user is not assigned to a role for the application '%s'(%s).", v.app.AppID, v.app.DisplayName))
	}
	return d.back(v, f)
}

// answer sends the browser back to the application, in the response mode that it chose.
func (d *door) answer(v visit, fields []page.Field) error {
	if state, ok := v.query["state"]; ok {
		fields = append(fields, page.Field{Name: "state", Value: state})
	}
	u, err := url.Parse(v.redirect)
	if err != nil { // it is a registered one
		return err
	}
	values := url.Values{}
	for _, f := range fields {
		values.Set(f.Name, f.Value)
	}
	switch v.query["response_mode"] {
	case "form_post":
		return d.show(v.call, http.StatusOK, page.Post{Action: v.redirect, Fields: fields}, v.redirect)
	case "fragment":
		u.Fragment, u.RawFragment = "", ""
		return goTo(v.call, u.String()+"#"+values.Encode())
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += values.Encode()
	return goTo(v.call, u.String())
}
