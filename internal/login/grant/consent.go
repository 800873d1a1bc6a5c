package grant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/scope"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// Want is one permission that an application asks for.
type Want struct {
	Resource consent.Principal
	Scope    string // to act for people; or
	Role     string // the ID of an app role, to act as itself
	Name     string // as the page shows it
	Text     string
	Unknown  bool // the resource has no such permission here: it is shown and not granted
}

func (w Want) String() string {
	return w.Resource.ObjectID + "/" + w.Scope + "/" + w.Role + "/" + w.Name
}

// Wish is what a request names: a resource at version 1 of the endpoints, scopes at version 2.
type Wish struct {
	Version         int
	Resource, Scope string
}

// Ask is what an authorization request wants, looked up.
type Ask struct {
	App       directory.Application
	Publisher directory.Tenant // where the application is registered
	Tenant    directory.Tenant // for which it is to be consented
	Wants     []Want           // all that is asked for, allowed already or not
	Present   bool             // the tenant has the service principal
	Enabled   bool
	lacks     bool // something that the request itself needs was not allowed
}

// Needed says whether somebody must consent before the application may act.
func (a Ask) Needed() bool { return !a.Present || a.lacks }

// Digest names exactly what is asked for. A page holds it, so that nobody accepts what was added after they had read it.
func (a Ask) Digest() string {
	names := []string{a.App.AppID, a.Tenant.ID}
	for _, w := range a.Wants {
		names = append(names, w.String())
	}
	sum := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return hex.EncodeToString(sum[:])
}

// GraphRoles says whether the application would hold permissions on the directory as itself, which takes more than an administrator of
// applications.
func (a Ask) GraphRoles() bool {
	return slices.ContainsFunc(a.Wants, func(w Want) bool { return w.Role != "" && w.Resource.AppID == consent.GraphApp && !w.Unknown })
}

// Ask looks up what a request for a resource or scopes at a tenant needs.
func (g *Grants) Ask(ctx context.Context, app directory.Application, by Person, tenant directory.Tenant, wish Wish) (Ask, error) {
	a := Ask{App: app, Tenant: tenant, Present: true, Enabled: true}
	wanted, err := scope.Parse(wish.Version, wish.Resource, wish.Scope)
	if err != nil {
		return a, err
	}
	offer, names, err := g.wanted(ctx, app, tenant, wanted)
	if err != nil || firstParty(app) {
		return a, err
	}
	if a.Publisher, err = g.Directory.Tenant(ctx, app.TenantID); err != nil {
		return a, err
	}
	sp, err := g.Directory.Principal(ctx, tenant.ID, app.AppID)
	switch {
	case errors.Is(err, directory.ErrPrincipalNotFound) && app.TenantID != tenant.ID && !app.Multi():
		return a, unknownClient(app.AppID, tenant.ID)
	case errors.Is(err, directory.ErrPrincipalNotFound):
		a.Present = false
	case err != nil:
		return a, err
	default:
		a.Enabled = sp.AccountEnabled
	}
	missing, err := g.missing(ctx, tenant.ID, sp.ObjectID, by.ObjectID, offer, names)
	if err != nil {
		return a, err
	}
	a.lacks = len(missing) > 0
	for _, name := range names {
		a.Wants = append(a.Wants, scopeWant(offer, name))
	}
	if !wanted.Whole() {
		return a, nil
	}
	err = g.addRequired(ctx, &a)
	return a, err
}

// AskAll is Ask for an administrator's consent without a sign-in: everything that the registration lists, and the given scopes.
func (g *Grants) AskAll(ctx context.Context, app directory.Application, by Person, tenant directory.Tenant, scope string) (Ask, error) {
	a, err := g.Ask(ctx, app, by, tenant, Wish{Version: 2, Scope: scope})
	if err != nil || firstParty(app) {
		return a, err
	}
	err = g.addRequired(ctx, &a)
	return a, err
}

// addRequired adds what the registration lists (requiredResourceAccess). A resource that is not in the tenant: 650052.
func (g *Grants) addRequired(ctx context.Context, a *Ask) error {
	return g.Store.View(ctx, func(tx store.Tx) error {
		for _, r := range a.App.Requires {
			offer, err := consent.New(g.Directory).ByName(tx, a.Tenant.ID, r.ResourceAppID)
			if errors.Is(err, directory.ErrPrincipalNotFound) {
				return noService(r.ResourceAppID, a.Tenant)
			}
			if err != nil {
				return err
			}
			for _, one := range r.ResourceAccess {
				w := requiredWant(offer, one)
				if !slices.ContainsFunc(a.Wants, func(have Want) bool { return have.String() == w.String() }) {
					a.Wants = append(a.Wants, w)
				}
			}
		}
		return nil
	})
}

func requiredWant(offer consent.Principal, one directory.ResourceAccess) Want {
	if one.Type == "Scope" {
		for _, s := range offer.Scopes {
			if strings.EqualFold(s.ID, one.ID) && s.IsEnabled {
				return scopeWant(offer, s.Value)
			}
		}
	}
	for _, r := range offer.Roles {
		if one.Type == "Role" && strings.EqualFold(r.ID, one.ID) && r.IsEnabled && slices.Contains(r.AllowedMemberTypes, "Application") {
			name := r.ID
			if r.Value != nil && *r.Value != "" {
				name = *r.Value
			}
			return Want{Resource: offer, Role: r.ID, Name: name, Text: r.DisplayName}
		}
	}
	return Want{Resource: offer, Name: one.Type + " " + one.ID, Unknown: true}
}

func scopeWant(offer consent.Principal, name string) Want {
	w := Want{Resource: offer, Scope: name, Name: name}
	for _, s := range offer.Scopes {
		if s.Value == name {
			w.Text = s.AdminConsentDisplayName
		}
	}
	return w
}

func noService(name string, tenant directory.Tenant) error {
	return aadsts.Fail(400, "invalid_client", 650052, "The app is trying to access a service '%s' that your organization '%s' lacks a service principal for. "+
		"Contact your IT Admin to review the configuration of your service subscriptions or consent to the application in order to "+
		"create the required service principal.", printable(name), tenant.Name)
}

// wanted finds the resource of a request and the scopes that it needs there. A scope that the resource does not have: 650053.
func (g *Grants) wanted(ctx context.Context, app directory.Application, tenant directory.Tenant, a scope.Asked) (offer consent.Principal, names []string, err error) {
	r, _, err := g.resource(ctx, tenant.ID, a.Resource)
	if err != nil {
		if _, ok := errors.AsType[*aadsts.Failure](err); ok && r.AppID != "" {
			err = noService(a.Resource, tenant)
		}
		return offer, nil, err
	}
	if offer, err = g.offer(ctx, tenant.ID, r); err != nil {
		return offer, nil, err
	}
	names, unknown := scopesAt(a, offer, app)
	if unknown != "" {
		return offer, nil, aadsts.Fail(400, "invalid_client", 650053, "The application '%s' asked for scope '%s' that doesn't exist on the resource '%s'. Contact the app vendor.",
			app.DisplayName, aadsts.Clip(unknown), offer.AppID)
	}
	return offer, names, nil
}

// offer reads the service principal of a resource with its permissions.
func (g *Grants) offer(ctx context.Context, tenantID string, r token.Resource) (offer consent.Principal, err error) {
	err = g.Store.View(ctx, func(tx store.Tx) error {
		offer, err = consent.New(g.Directory).ByName(tx, tenantID, r.AppID)
		return err
	})
	return offer, err
}

// scopesAt are the delegated permissions that a request needs, in the resource's spelling: those it names, else those of the resource that the
// registration lists. Resource Manager and Storage have one. unknown is one that the resource has not.
func scopesAt(a scope.Asked, offer consent.Principal, app directory.Application) (names []string, unknown string) {
	if offer.AppID == consent.ARMApp || offer.AppID == consent.StorageApp {
		return []string{scope.Impersonation}, ""
	}
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range a.Scopes {
		_, right := scope.Split(s)
		if right == ".default" {
			continue
		}
		name, ok := offered(offer, right)
		if !ok {
			return nil, right
		}
		add(name)
	}
	for _, r := range app.Requires {
		for _, one := range r.ResourceAccess {
			if w := requiredWant(offer, one); a.Whole() && strings.EqualFold(r.ResourceAppID, offer.AppID) && w.Scope != "" {
				add(w.Scope)
			}
		}
	}
	switch {
	case len(names) > 0:
	case offer.AppID == consent.GraphApp:
		add(consent.ReadSelf)
	default:
		add(scope.Impersonation)
	}
	return names, ""
}

// offered finds a scope whatever its case, as clients write "user.read".
func offered(offer consent.Principal, name string) (string, bool) {
	for _, s := range offer.Scopes {
		if s.IsEnabled && strings.EqualFold(s.Value, name) {
			return s.Value, true
		}
	}
	return scope.Impersonation, strings.EqualFold(name, scope.Impersonation) && !offer.Builtin
}

// basic are the scopes that signing in means, and that need no consent.
func basic(offer consent.Principal, scope string) bool {
	return offer.AppID == consent.GraphApp && slices.Contains([]string{"openid", "profile", "email", "offline_access", consent.ReadSelf}, scope)
}

// missing are the scopes that nobody allowed the client for the person.
func (g *Grants) missing(ctx context.Context, tenantID, clientID, personID string, offer consent.Principal, names []string) ([]string, error) {
	have, err := g.allowed(ctx, tenantID, clientID, personID, offer)
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return basic(offer, s) || slices.Contains(have, s) }), err
}

func (g *Grants) allowed(ctx context.Context, tenantID, clientID, personID string, offer consent.Principal) (have []string, err error) {
	if clientID == "" { // not in the tenant
		return nil, nil
	}
	err = g.Store.View(ctx, func(tx store.Tx) error {
		have, err = consent.New(g.Directory).Scopes(tx, tenantID, clientID, offer.ObjectID, personID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("login: read grants: %w", err)
	}
	return have, nil
}

// scopes are what a token for a person says: all that the client was allowed at the resource, as the resource has it now. What the request needs
// and nobody allowed is refused: 65001.
func (g *Grants) scopes(ctx context.Context, s sign, clientID string) ([]string, error) {
	if firstParty(s.app) {
		return s.asked.Rights(s.app), nil
	}
	offer, names, err := g.wanted(ctx, s.app, s.q.Tenant, s.asked)
	if err != nil {
		return nil, err
	}
	missing, err := g.missing(ctx, s.q.Tenant.ID, clientID, s.person.ObjectID, offer, names)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, NotConsented(s.app)
	}
	have, err := g.allowed(ctx, s.q.Tenant.ID, clientID, s.person.ObjectID, offer)
	for _, h := range have {
		if name, ok := offered(offer, h); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, err
}

// NotConsented is the refusal of a request that an administrator must allow first.
func NotConsented(app directory.Application) error {
	return aadsts.Fail(400, "invalid_grant", 65001, "The user or administrator has not consented to use the application with ID '%s' named '%s'. "+
		"Send an interactive authorization request for this user and resource.", app.AppID, app.DisplayName)
}

// Consent makes the application known in the tenant and allows it, for everybody there, what it asks for, in one transaction with what told
// does. Only an administrator of that tenant may: the right is read again within the transaction.
func (g *Grants) Consent(ctx context.Context, by Person, ask Ask, told func(store.Tx) error) error {
	err := g.Store.Update(ctx, func(tx store.Tx) error {
		u, err := g.Directory.ActiveUserIn(tx, ask.Tenant.ID, by.ObjectID)
		if err != nil || !personOf(u, u).MayAccept(ask) {
			return errors.Join(err, NeedsAdmin(ask.App))
		}
		sp, err := g.Directory.CreateServicePrincipalIn(tx, ask.Tenant.ID, ask.App.AppID)
		if err != nil {
			return err
		}
		for _, w := range append(ask.Wants, scopeWant(consent.Builtins(ask.Tenant.ID)[0], consent.ReadSelf)) {
			if err := g.allow(tx, sp, w); err != nil && !directory.IsMissing(err) { // a resource that went meanwhile can be allowed nothing
				return err
			}
		}
		return told(tx)
	})
	if err == nil {
		g.Log.LogAttrs(ctx, slog.LevelInfo, "consent", slog.String("tenant", ask.Tenant.ID), slog.String("client", ask.App.AppID),
			slog.String("object", by.ObjectID), slog.Int("permissions", len(ask.Wants)))
	}
	return err
}

func (g *Grants) allow(tx store.Tx, sp directory.ServicePrincipal, w Want) error {
	c := consent.New(g.Directory)
	switch {
	case w.Unknown:
		return nil
	case w.Role == "":
		return c.Allow(tx, sp.TenantID, sp.ObjectID, w.Resource.ObjectID, []string{w.Scope})
	}
	_, err := c.Assign(tx, consent.Assignment{TenantID: sp.TenantID, RoleID: w.Role, PrincipalID: sp.ObjectID, ResourceID: w.Resource.ObjectID, Created: g.Now().UTC()})
	if errors.Is(err, directory.ErrExists) {
		return nil
	}
	return err
}

// NeedsAdmin refuses somebody who may not consent.
func NeedsAdmin(app directory.Application) error {
	return aadsts.Fail(403, "consent_required", 90094, "Admin consent is required for the permissions requested by the application '%s'(%s). An "+
		"administrator of the organization must sign in and consent.", app.DisplayName, app.AppID)
}
