package login

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
)

const (
	maxForm       = 64 << 10 // bytes; a request with a certificate's assertion has some 3 KiB
	maxParameters = 64
)

// form holds parameters that each came once.
type form map[string]string

// readForm reads the body. RFC 6749, 3.2: a parameter must not be included more than once. The query is not looked at:
// a secret there would end up in logs on its way.
func readForm(r *http.Request) (form, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.ContentLength != 0 &&
		(err != nil || kind != "application/x-www-form-urlencoded") {
		return nil, aadsts.Malformed("the body must be of type application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLong()
		}
		return nil, aadsts.Malformed("the body could not be read")
	}
	if len(body) > maxForm {
		return nil, tooLong()
	}
	if strings.Count(string(body), "&") >= maxParameters {
		return nil, aadsts.Malformed("the body has more than %d parameters", maxParameters)
	}
	return parseForm(string(body), "body")
}

// readQuery reads the parameters of an address by the same rules.
func readQuery(r *http.Request) (form, error) {
	if len(r.URL.RawQuery) > maxForm || strings.Count(r.URL.RawQuery, "&") >= maxParameters {
		return nil, aadsts.Malformed("the query is too long")
	}
	return parseForm(r.URL.RawQuery, "query")
}

func parseForm(text, where string) (form, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, aadsts.Malformed("the %s is not well-formed", where)
	}
	f := make(form, len(values))
	for name, all := range values {
		if len(all) > 1 {
			return nil, aadsts.Malformed("the parameter '%s' is included more than once", aadsts.Clip(name))
		}
		if !utf8.ValidString(all[0]) || strings.ContainsRune(all[0], 0) {
			return nil, aadsts.Malformed("the parameter '%s' is not text", aadsts.Clip(name))
		}
		f[name] = all[0]
	}
	return f, nil
}

func tooLong() error {
	f := aadsts.Malformed("the body has more than %d bytes", maxForm)
	f.Status = http.StatusRequestEntityTooLarge
	return f
}

// readCredentials takes the client from the form or from HTTP Basic, where both parts are form-encoded once more
// (RFC 6749, 2.3.1). A client must not use both ways; the same client_id in the form is harmless.
func readCredentials(r *http.Request, f form) (grant.Credentials, error) {
	c := grant.Credentials{ID: f["client_id"], Secret: f["client_secret"], Assertion: f["client_assertion"], Kind: f["client_assertion_type"]}
	if len(r.Header.Values("Authorization")) > 0 {
		id, secret, ok := basicAuth(r)
		switch {
		case !ok:
			return grant.Credentials{}, aadsts.Malformed("the Authorization header is not well-formed Basic authentication")
		case c.Any() || c.ID != "" && !strings.EqualFold(c.ID, id):
			return grant.Credentials{}, aadsts.Malformed("the client authenticates in more than one way")
		}
		c.ID, c.Secret, c.Basic = id, secret, true
	}
	if c.ID == "" {
		return grant.Credentials{}, aadsts.MissingParameter("client_id")
	}
	return c, nil
}

func basicAuth(r *http.Request) (id, secret string, ok bool) {
	user, pass, ok := r.BasicAuth()
	if !ok || len(r.Header.Values("Authorization")) > 1 {
		return "", "", false
	}
	id, err := url.QueryUnescape(user)
	if err != nil {
		return "", "", false
	}
	// Many clients send the secret as it is, without encoding. One that is not valid encoding can only be such.
	if secret, err = url.QueryUnescape(pass); err != nil {
		secret = pass
	}
	return id, secret, utf8.ValidString(id) && utf8.ValidString(secret)
}
