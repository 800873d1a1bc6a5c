package grant

import (
	"context"
	"errors"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/scope"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// retry is how long a used refresh token answers once more, from the address that used it. Two az commands at the same time read
// one token from their common cache and both send it, and an answer may get lost on its way.
const retry = 10 * time.Second

// refresh is one refresh token of a family.
type refresh struct {
	Client  string    `json:"client"`
	Family  string    `json:"family"`
	Account Account   `json:"account"`
	ACR     string    `json:"acr,omitempty"`   // how the client proved itself when the person signed in
	Scope   string    `json:"scope,omitempty"` // what the person signed in for; empty: of a version that did not note it
	Used    time.Time `json:"used,omitzero"`
	UsedBy  string    `json:"usedBy,omitempty"`
}

// begin starts a family for a person at a client, with its first refresh token.
func (g *Grants) begin(tx store.Tx, app directory.Application, acr string, a Account, wanted scope.Asked) (family, secret string, err error) {
	family, err = token.Begin(tx, token.Session{Client: app.AppID, HomeTenant: a.Tenant, HomeObject: a.Object, Begun: g.Now().UTC()}, g.Now().Add(familyLife))
	if err != nil {
		return "", "", err
	}
	secret = token.NewSecret()
	return family, secret, token.Keep(tx, refreshRoom, secret, refresh{Client: app.AppID, Family: family, Account: a, ACR: acr, Scope: wanted.Words()}, g.Now().Add(familyLife))
}

// refreshToken rotates a refresh token: the old one is spent. One that is sent again later, or from elsewhere, shows that two
// have it, so that the whole family ends (RFC 9700, 4.14.2). A refresh token works for every resource, and for every tenant
// in which the person is.
func (g *Grants) refreshToken(ctx context.Context, q Request) (Reply, error) {
	secret := q.Form["refresh_token"]
	if secret == "" {
		return Reply{}, aadsts.MissingParameter("refresh_token")
	}
	app, err := g.application(ctx, q.Client.ID, q.TenantName)
	if err != nil {
		return Reply{}, err
	}
	acr, r, err := g.proveRefresh(ctx, q, app, secret)
	if err != nil {
		return Reply{}, err
	}
	a, err := r.asked(q)
	if err != nil {
		return Reply{}, err
	}
	next := token.NewSecret()
	wanted := sign{q: q, app: app, acr: acr, asked: a, family: r.Family, refresh: next}
	if !r.reused(g.Now(), q.Source) { // looked at before the old one is spent: who is refused keeps that one, and sends it again later
		if err := g.Store.View(ctx, func(tx store.Tx) error { return token.Lives(tx, r.Family, g.Now()) }); err != nil {
			return Reply{}, revoked(err)
		}
		if err := g.admit(ctx, &wanted, r.Account, q.tenantFor(r.Account)); err != nil {
			return Reply{}, err
		}
	}
	reused, err := g.rotate(ctx, q.Source, secret, next)
	if err != nil {
		return Reply{}, err
	}
	if reused || wanted.person == (Person{}) {
		g.Log.WarnContext(ctx, "refresh token reused", "client", app.AppID, "tenant", r.Account.Tenant, "object", r.Account.Object, "source", q.Source)
		return Reply{}, revoked(token.ErrUnknownSecret)
	}
	wanted.asked.OpenID, wanted.asked.Offline = true, true
	return g.issue(ctx, wanted)
}

// reused says whether a second one sends the token.
func (r refresh) reused(now time.Time, source string) bool {
	return !r.Used.IsZero() && (now.Sub(r.Used) > retry || r.UsedBy != source)
}

// rotate spends a refresh token for the next one, or ends the family of one that is reused.
func (g *Grants) rotate(ctx context.Context, source, secret, next string) (reused bool, err error) {
	err = g.Store.Update(ctx, func(tx store.Tx) error {
		r, held, err := token.Kept[refresh](tx, refreshRoom, secret, g.Now())
		if err != nil {
			return badRefresh(err)
		}
		if reused = r.reused(g.Now(), source); reused {
			return token.End(tx, r.Family)
		}
		if _, err := token.Extend(tx, r.Family, g.Now(), g.Now().Add(familyLife)); err != nil {
			return revoked(err)
		}
		if r.Used.IsZero() {
			spent := r
			spent.Used, spent.UsedBy = g.Now().UTC(), source
			if err := held.Change(tx, spent); err != nil {
				return err
			}
		}
		return token.Keep(tx, refreshRoom, next, refresh{Client: r.Client, Family: r.Family, Account: r.Account, ACR: r.ACR, Scope: r.Scope}, g.Now().Add(familyLife))
	})
	return reused, err
}

// asked is what a refresh token is used for: what the request names, else what the person signed in for (RFC 6749, 6).
func (r refresh) asked(q Request) (scope.Asked, error) {
	if q.Form["scope"] != "" && q.Version == 2 || q.Form["resource"] != "" && q.Version == 1 {
		return scope.Parse(q.Version, q.Form["resource"], q.Form["scope"])
	}
	began, err := scope.Parse(2, "", r.Scope)
	if err != nil || q.Version == 2 {
		return began, err
	}
	return scope.Parse(1, began.Resource, "")
}

// proveRefresh lets a client without a secret renew only what it got as a public one. What began with a proof needs one each time
// (RFC 6749, 6), also where the application is a public client besides.
func (g *Grants) proveRefresh(ctx context.Context, q Request, app directory.Application, secret string) (acr string, r refresh, err error) {
	err = g.Store.View(ctx, func(tx store.Tx) (err error) {
		r, _, err = token.Kept[refresh](tx, refreshRoom, secret, g.Now())
		return err
	})
	if err == nil && r.Client != app.AppID {
		err = token.ErrUnknownSecret
	}
	if err != nil {
		return "", r, badRefresh(err)
	}
	began := r.ACR == unprovedACR && (app.PublicClient || len(app.Native) > 0 || len(app.SPA) > 0)
	if began || r.ACR == "" && app.PublicClient { // empty: of a version that did not note it
		acr, err = g.provePublic(ctx, q, app)
	} else {
		acr, err = g.prove(ctx, q, app)
	}
	return acr, r, err
}

func badRefresh(err error) error {
	switch {
	case errors.Is(err, token.ErrUnknownSecret):
		return aadsts.Fail(400, "invalid_grant", 70000, "The provided value for the 'refresh_token' parameter is not valid. Provided grant is invalid or malformed.")
	case errors.Is(err, token.ErrExpired):
		return aadsts.Fail(400, "invalid_grant", 700082, "The refresh token has expired due to inactivity. The token was inactive for 90.00:00:00.")
	}
	return err
}

func revoked(err error) error {
	if errors.Is(err, token.ErrUnknownSecret) || errors.Is(err, token.ErrExpired) {
		return aadsts.Fail(400, "invalid_grant", 50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed.")
	}
	return err
}

// admit completes what tokens are made of for a person in a tenant, or refuses it. The tenant has to know the client, as for any other grant.
func (g *Grants) admit(ctx context.Context, s *sign, account Account, tenantID string) error {
	var err error
	if s.q.Tenant, err = g.Directory.Tenant(ctx, tenantID); err != nil {
		return err
	}
	_, sp, err := g.client(ctx, s.q)
	if err != nil {
		return err
	}
	if !sp.AccountEnabled {
		return disabledClient(s.app)
	}
	if s.person, err = g.Present(ctx, account, tenantID, s.app); err != nil {
		return err
	}
	if s.scopes, err = g.scopes(ctx, *s, sp.ObjectID); err != nil {
		return err
	}
	if s.resource, s.version, err = g.resource(ctx, tenantID, s.asked.Resource); err != nil {
		return err
	}
	return g.rolesOf(ctx, s, sp)
}
