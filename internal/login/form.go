package login

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
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
		return nil, malformed("the body must be of type application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLong()
		}
		return nil, malformed("the body could not be read")
	}
	if len(body) > maxForm {
		return nil, tooLong()
	}
	if strings.Count(string(body), "&") >= maxParameters {
		return nil, malformed("the body has more than %d parameters", maxParameters)
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformed("the body is not well-formed")
	}
	f := make(form, len(values))
	for name, all := range values {
		if len(all) > 1 {
			return nil, malformed("the parameter '%s' is included more than once", clip(name))
		}
		if !utf8.ValidString(all[0]) || strings.ContainsRune(all[0], 0) {
			return nil, malformed("the parameter '%s' is not text", clip(name))
		}
		f[name] = all[0]
	}
	return f, nil
}

func tooLong() *failure {
	return fail(http.StatusRequestEntityTooLarge, "invalid_request", 9002313,
		"Invalid request. Request is malformed or invalid: the body has more than %d bytes.", maxForm)
}

// credentials is what a client says of itself, unproved.
type credentials struct {
	id        string
	secret    string
	assertion bool // it sent an assertion
	basic     bool // it used the Authorization header
}

// readCredentials takes the client from the form or from HTTP Basic, where both parts are form-encoded once more
// (RFC 6749, 2.3.1). A client must not use both ways; the same client_id in the form is harmless.
func readCredentials(r *http.Request, f form) (credentials, error) {
	c := credentials{id: f["client_id"], secret: f["client_secret"],
		assertion: f["client_assertion"] != "" || f["client_assertion_type"] != ""}
	if len(r.Header.Values("Authorization")) > 0 {
		id, secret, ok := basicAuth(r)
		switch {
		case !ok:
			return credentials{}, malformed("the Authorization header is not well-formed Basic authentication")
		case c.secret != "" || c.assertion || c.id != "" && !strings.EqualFold(c.id, id):
			return credentials{}, malformed("the client authenticates in more than one way")
		}
		c.id, c.secret, c.basic = id, secret, true
	}
	if c.id == "" {
		return credentials{}, missingParameter("client_id")
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
