package grant

import (
	"context"

	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/scope"
	"vitrine/internal/store"
)

// password answers the grant by which test automation signs a person in. It is off unless the operator allows it, since a client
// then handles people's passwords (RFC 9700, 2.4).
func (g *Grants) password(ctx context.Context, q Request) (Reply, error) {
	for _, name := range []string{"username", "password"} {
		if q.Form[name] == "" {
			return Reply{}, aadsts.MissingParameter(name)
		}
	}
	app, err := g.application(ctx, q.Client.ID, q.TenantName)
	if err != nil {
		return Reply{}, err
	}
	a, err := scope.Parse(q.Version, q.Form["resource"], q.Form["scope"])
	if err != nil {
		return Reply{}, err
	}
	acr, err := g.proveUser(ctx, q, app)
	if err != nil {
		return Reply{}, err
	}
	account, err := g.Prove(ctx, q.Form["username"], q.Form["password"], q.Source)
	if err != nil {
		return Reply{}, err
	}
	return g.signedIn(ctx, sign{q: q, app: app, acr: acr, asked: a}, account)
}

// signedIn begins a family for somebody who has just proved to be the account.
func (g *Grants) signedIn(ctx context.Context, s sign, account Account) (Reply, error) {
	if err := g.admit(ctx, &s, account, s.q.tenantFor(account)); err != nil {
		return Reply{}, err
	}
	err := g.Store.Update(ctx, func(tx store.Tx) (err error) {
		s.family, s.refresh, err = g.begin(tx, s.app, s.acr, account, s.asked)
		return err
	})
	if err != nil {
		return Reply{}, err
	}
	return g.issue(ctx, s)
}
