package grant

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

const (
	bearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	maxAssertion    = 16 << 10
	maxAhead        = 24 * time.Hour  // how far ahead the exp of a client's own assertion may lie
	skew            = 5 * time.Minute // between the clocks of a client and ours, as Entra allows
	foreignAhead    = 366 * 24 * time.Hour
)

// audience is the claim aud, which is a text or a list of texts (RFC 7519, 4.1.3).
type audience []string

// UnmarshalJSON takes both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// assertion is a JWT by which a client proves itself, not yet verified.
type assertion struct {
	raw    string
	signed *jose.JSONWebSignature
	Issuer string   `json:"iss"`
	Sub    string   `json:"sub"`
	Aud    audience `json:"aud"`
	ID     string   `json:"jti"`
	Exp    float64  `json:"exp"`
	Nbf    float64  `json:"nbf"`
}

func parseAssertion(raw string, algorithms []jose.SignatureAlgorithm) (assertion, error) {
	a := assertion{raw: raw}
	if len(raw) > maxAssertion {
		return a, errors.New("it is too long")
	}
	var err error
	if a.signed, err = jose.ParseSignedCompact(raw, algorithms); err != nil {
		return a, err
	}
	err = json.Unmarshal(a.signed.UnsafePayloadWithoutVerification(), &a)
	return a, err
}

// header reads a text from the protected header.
func (a assertion) header(name string) string {
	h := a.signed.Signatures[0].Protected
	if name == "kid" {
		return h.KeyID
	}
	s, _ := h.ExtraHeaders[jose.HeaderKey(name)].(string)
	return s
}

// proveAssertion checks a client_assertion. One that the application issued itself is signed with one of its certificates
// (RFC 7523, 3); any other is a token of another issuer, for which the application has a federated credential.
func (g *Grants) proveAssertion(ctx context.Context, q Request, app directory.Application) error {
	if q.Client.Kind != bearerAssertion {
		return aadsts.Malformed("the client_assertion_type must be '%s'", bearerAssertion)
	}
	if q.Client.Assertion == "" {
		return aadsts.MissingParameter("client_assertion")
	}
	a, err := parseAssertion(q.Client.Assertion, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256})
	if err != nil {
		return unproved(q, 50027, "JWT token is invalid or malformed.")
	}
	if !strings.EqualFold(a.Issuer, app.AppID) && strings.Contains(a.Issuer, "://") {
		return g.proveFederated(ctx, q, app, a)
	}
	if !strings.EqualFold(a.Issuer, app.AppID) || !strings.EqualFold(a.Sub, app.AppID) {
		return unproved(q, 700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
	}
	if err := g.proveSignature(ctx, q, app, a); err != nil {
		return err
	}
	if !slices.ContainsFunc(a.Aud, func(aud string) bool { return g.ownEndpoint(q, aud) }) {
		return unproved(q, 700023, "Client assertion audience claim does not match Realm issuer. Review the documentation at "+
			"https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials.")
	}
	if err := g.timely(q, a, maxAhead); err != nil {
		return err
	}
	return g.once(ctx, q, app, a)
}

// proveSignature finds the certificate that the header names and verifies with it. Keys in the header (jwk, jku, x5u, x5c)
// are never looked at.
func (g *Grants) proveSignature(ctx context.Context, q Request, app directory.Application, a assertion) error {
	known, err := g.certificates(ctx, q, app)
	if err != nil {
		return err
	}
	failed := func(reason string) error {
		return unproved(q, 700027, "The certificate with identifier used to sign the client assertion is not registered on application. "+
			"[Reason - %s, Thumbprint of key used by client: '%s', Configured keys: %d]. Please visit the Azure Portal, Graph Explorer or "+
			"directly use MS Graph to see configured keys for app Id '%s'.", reason, thumbprint(a), len(known), app.AppID)
	}
	for _, c := range known {
		if !names(a, c) {
			continue
		}
		if !c.Valid(g.Now()) {
			return failed("The key used is expired.")
		}
		key, err := c.PublicKey()
		if err != nil {
			return err
		}
		if _, err := a.signed.Verify(key); err != nil {
			return failed("The key was found, but use of the key to verify the signature failed.")
		}
		return nil
	}
	return failed("The key was not found.")
}

// certificates are those of the application, and of its service principal when the tenant is known.
func (g *Grants) certificates(ctx context.Context, q Request, app directory.Application) ([]directory.Certificate, error) {
	if q.Tenant.ID == "" {
		return app.Certificates, nil
	}
	return g.Directory.ClientCertificates(ctx, q.Tenant.ID, app.AppID)
}

// names says whether the header of an assertion names a certificate: by x5t#S256, x5t, or kid, which then is a thumbprint
// or the credential's ID.
func names(a assertion, c directory.Certificate) bool {
	switch {
	case a.header("x5t#S256") != "":
		return base64URL(a.header("x5t#S256")) == c.X5TS256
	case a.header("x5t") != "":
		return base64URL(a.header("x5t")) == c.X5T
	}
	kid := a.header("kid")
	return kid != "" && (strings.EqualFold(kid, c.Thumbprint()) || strings.EqualFold(kid, c.KeyID) || kid == c.X5T || kid == c.X5TS256)
}

// base64URL writes either alphabet of base64 as JWTs should: MSAL for Go names its certificate in the other one, and Entra takes it.
func base64URL(s string) string {
	return strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s)
}

// thumbprint shows which key a client used, in hexadecimal.
func thumbprint(a assertion) string {
	for _, name := range []string{"x5t#S256", "x5t", "kid"} {
		if v := base64URL(a.header(name)); v != "" {
			if raw, err := base64.RawURLEncoding.DecodeString(v); err == nil && len(raw) <= 32 && name != "kid" {
				return strings.ToUpper(hex.EncodeToString(raw))
			}
			return printable(a.header(name))
		}
	}
	return ""
}

// printable lets only harmless letters of a forged text into a message.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '\'' || r == '"' || r == '<' || r == '>' {
			return -1
		}
		return r
	}, aadsts.Clip(s))
}

// ownEndpoint says whether an audience means this tenant's token service: its token endpoint of either version, or its issuer.
func (g *Grants) ownEndpoint(q Request, aud string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(aud), "https://")
	if !ok {
		return false
	}
	host, path, _ := strings.Cut(rest, "/")
	if host = strings.TrimSuffix(host, ":443"); host != "login.microsoftonline.com" && host != "login.windows.net" && host != "sts.windows.net" {
		return false
	}
	tenant, path, _ := strings.Cut(path, "/")
	if tenant != q.Tenant.ID && tenant != strings.ToLower(q.TenantName) {
		return false
	}
	switch path {
	case "oauth2/token", "oauth2/v2.0/token", "v2.0", "":
		return true
	}
	return false
}

// timely checks exp and nbf.
func (g *Grants) timely(q Request, a assertion, ahead time.Duration) error {
	now := g.Now()
	exp, nbf := time.Unix(int64(a.Exp), 0), time.Unix(int64(a.Nbf), 0)
	if a.Exp < 1 || a.Exp > 1e11 || a.Nbf < 0 || a.Nbf > 1e11 || !now.Before(exp.Add(skew)) || now.Before(nbf.Add(-skew)) || exp.After(now.Add(ahead+skew)) {
		const layout = "2006-01-02T15:04:05.0000000Z"
		return unproved(q, 700024, "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, "+
			"expiry time of assertion %s. Review the documentation at "+
			"https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials.",
			now.UTC().Format(layout), nbf.UTC().Format(layout), exp.UTC().Format(layout))
	}
	return nil
}

// once refuses an assertion that was used before. MSAL for Python keeps one for nine minutes and asks with it for several
// resources, so that an assertion works once for each resource and only from where it came first.
func (g *Grants) once(ctx context.Context, q Request, app directory.Application, a assertion) error {
	id := a.ID
	if id == "" {
		sum := sha256.Sum256([]byte(a.raw))
		id = hex.EncodeToString(sum[:])
	}
	until := time.Unix(int64(a.Exp), 0).Add(skew)
	replayed := unproved(q, 50013, "Assertion failed validation. [Reason - The client assertion was used before; each request needs a new one.]")
	return g.Store.Update(ctx, func(tx store.Tx) error {
		first, _, err := token.Kept[string](tx, "assertion", app.AppID+"|"+id, g.Now())
		switch {
		case errors.Is(err, token.ErrUnknownSecret):
			err = token.Keep(tx, "assertion", app.AppID+"|"+id, q.Source, until)
		case err == nil && first != q.Source:
			return replayed
		}
		if err != nil {
			return err
		}
		use := strings.Join([]string{app.AppID, id, q.Tenant.ID, q.Form["grant_type"], q.Form["resource"], q.Form["scope"]}, "|")
		_, _, err = token.Kept[bool](tx, "assertion", use, g.Now())
		if !errors.Is(err, token.ErrUnknownSecret) {
			if err == nil {
				err = replayed
			}
			return err
		}
		return token.Keep(tx, "assertion", use, true, until)
	})
}
