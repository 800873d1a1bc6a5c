package grant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/redirect"
	"vitrine/internal/login/scope"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

const (
	codeLife    = 10 * time.Minute
	familyLife  = 90 * 24 * time.Hour // of a refresh token since its last use, Entra's default
	refreshRoom = "refresh"
	codeRoom    = "code"
)

// Code is what an authorization code stands for.
type Code struct {
	Client    string        `json:"client"`
	Tenant    string        `json:"tenant"`
	Account   Account       `json:"account"`
	Redirect  string        `json:"redirect"`        // where the code went, also when the application named no address
	Named     bool          `json:"named,omitempty"` // the application named it, and has to again (RFC 6749, 4.1.3)
	Kind      redirect.Kind `json:"kind,omitempty"`
	Challenge string        `json:"challenge,omitempty"` // S256 of the verifier
	Resource  string        `json:"resource,omitempty"`  // of version 1
	Scope     string        `json:"scope,omitempty"`
	Nonce     string        `json:"nonce,omitempty"`
	Family    string        `json:"family,omitempty"` // what redeeming it began; set: it was redeemed
}

// Authorize makes a code that works once, within ten minutes.
func (g *Grants) Authorize(ctx context.Context, c Code) (string, error) {
	secret := token.NewSecret()
	return secret, g.Store.Update(ctx, func(tx store.Tx) error {
		return token.Keep(tx, codeRoom, secret, c, g.Now().Add(codeLife))
	})
}

// authorizationCode redeems a code.
func (g *Grants) authorizationCode(ctx context.Context, q Request) (Reply, error) {
	secret := q.Form["code"]
	if secret == "" {
		return Reply{}, aadsts.MissingParameter("code")
	}
	app, err := g.application(ctx, q.Client.ID, q.TenantName)
	if err != nil {
		return Reply{}, err
	}
	acr, err := g.proveCode(ctx, q, app, secret)
	if err != nil {
		return Reply{}, err
	}
	var c Code
	var wanted scope.Asked
	var family, refresh string
	err = g.Store.Update(ctx, func(tx store.Tx) error {
		family, refresh = "", ""
		var held token.Held
		if c, held, err = token.Kept[Code](tx, codeRoom, secret, g.Now()); err != nil {
			return badCode(err)
		}
		if err := c.check(q, app); err != nil {
			return err
		}
		if c.Family != "" {
			family = c.Family
			return token.End(tx, c.Family) // who came second may be the thief or the owner, so neither keeps anything
		}
		if wanted, err = c.asked(q); err != nil {
			return err
		}
		family, refresh, err = g.begin(tx, app, acr, c.Account, wanted)
		if err != nil {
			return err
		}
		redeemed := c
		redeemed.Family = family
		return held.Change(tx, redeemed)
	})
	if err != nil {
		return Reply{}, err
	}
	if c.Family != "" {
		return Reply{}, aadsts.Fail(400, "invalid_grant", 54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid "+
			"code or use an existing refresh token.")
	}
	made := sign{q: q, app: app, acr: acr, asked: wanted, family: family, refresh: refresh, nonce: c.Nonce}
	if err := g.admit(ctx, &made, c.Account, c.Tenant); err != nil {
		return Reply{}, err
	}
	return g.issue(ctx, made)
}

// asked is what a code is redeemed for: what it was made for, unless the one who redeems it says something else.
func (c Code) asked(q Request) (scope.Asked, error) {
	resource, wanted := c.Resource, c.Scope
	if q.Version == 1 && q.Form["resource"] != "" {
		resource = q.Form["resource"]
	}
	if q.Version == 2 && q.Form["scope"] != "" {
		wanted = q.Form["scope"]
	}
	return scope.Parse(q.Version, resource, wanted)
}

// proveCode proves the client of a code. What the code was made for decides, never what the one who redeems it says: a code that
// went to a native or single-page address needs no secret, which PKCE makes up for; one that went to a web address always does.
func (g *Grants) proveCode(ctx context.Context, q Request, app directory.Application, secret string) (string, error) {
	var c Code
	err := g.Store.View(ctx, func(tx store.Tx) (err error) {
		c, _, err = token.Kept[Code](tx, codeRoom, secret, g.Now())
		return err
	})
	if err != nil {
		return "", badCode(err)
	}
	if c.Client != app.AppID {
		return "", otherClient()
	}
	if (c.Kind == redirect.SPA || c.Kind == redirect.Native) && c.Challenge != "" {
		return g.provePublic(ctx, q, app)
	}
	return g.prove(ctx, q, app)
}

func otherClient() error {
	return aadsts.Fail(400, "invalid_grant", 70000, "The provided authorization code was issued to another client. Provided grant is invalid or malformed.")
}

func badCode(err error) error {
	switch {
	case errors.Is(err, token.ErrUnknownSecret):
		return aadsts.Fail(400, "invalid_grant", 70000, "The provided value for the 'code' parameter is not valid. Provided grant is invalid or malformed.")
	case errors.Is(err, token.ErrExpired):
		return aadsts.Fail(400, "invalid_grant", 70008, "The provided authorization code or refresh token has expired due to inactivity. Send a new "+
			"interactive authorization request for this user and resource.")
	}
	return err
}

// check compares what the code was made for with who redeems it.
func (c Code) check(q Request, app directory.Application) error {
	switch {
	case c.Client != app.AppID:
		return otherClient()
	case q.Tenant.ID != "" && q.Tenant.ID != c.Tenant:
		return aadsts.Fail(400, "invalid_grant", 700005, "Provided Authorization Code is intended to use against other tenant, thus rejected.")
	case q.Form["redirect_uri"] != c.Redirect && (c.Named || q.Form["redirect_uri"] != ""):
		return aadsts.Fail(400, "invalid_client", 500112, "The reply address '%s' does not match the reply address '%s' provided when requesting "+
			"Authorization code.", printable(q.Form["redirect_uri"]), c.Redirect)
	}
	return checkVerifier(c.Challenge, q.Form["code_verifier"])
}

// checkVerifier proves PKCE (RFC 7636, 4.6). A verifier for a code without a challenge is refused too, as RFC 9700, 4.8.2, asks.
func checkVerifier(challenge, verifier string) error {
	if challenge == "" && verifier == "" {
		return nil
	}
	if !IsVerifier(verifier) {
		return aadsts.Fail(400, "invalid_grant", 50148, "The code_verifier does not match the code_challenge supplied in the authorization request "+
			"for PKCE: it is missing or has not 43 to 128 letters of the allowed ones.")
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return aadsts.Fail(400, "invalid_grant", 501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	return nil
}

// IsVerifier says whether s has the form of a code verifier or challenge (RFC 7636, 4.1).
func IsVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}
