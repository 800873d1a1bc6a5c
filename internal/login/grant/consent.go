package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// KindConsent is the kind of the documents that say what an administrator allowed an application to do for the people of a tenant.
const KindConsent = "login/consent"

// consent is one of them.
type consent struct {
	Rights []string  `json:"rights"` // "<resource client ID>/<right>"
	By     string    `json:"by"`     // object ID of the administrator
	At     time.Time `json:"at"`
}

func consentKey(tenantID, appID string) string {
	return "login/consents/" + strings.ToLower(tenantID) + "/" + strings.ToLower(appID)
}

// Ask is what an authorization request wants, looked up.
type Ask struct {
	App       directory.Application
	Publisher directory.Tenant // where the application is registered
	Tenant    directory.Tenant // for which it is to be consented
	Rights    []string         // what is not consented yet, "<resource client ID>/<right>"
	Present   bool             // the tenant has the service principal
	Enabled   bool
}

// Needed says whether somebody must consent before the application may act.
func (a Ask) Needed() bool { return !a.Present || len(a.Rights) > 0 }

// Ask looks up what a request for a resource or scopes at a tenant needs.
func (g *Grants) Ask(ctx context.Context, app directory.Application, tenant directory.Tenant, version int, resource, scope string) (Ask, error) {
	a := Ask{App: app, Tenant: tenant, Present: true, Enabled: true}
	wanted, err := parseAsked(version, resource, scope)
	if err != nil {
		return a, err
	}
	rights, err := g.rightsOf(ctx, app, tenant, wanted)
	if err != nil || firstParty(app) {
		return a, err
	}
	if a.Publisher, err = g.Directory.Tenant(ctx, app.TenantID); err != nil {
		return a, err
	}
	sp, err := g.Directory.Principal(ctx, tenant.ID, app.AppID)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		if app.TenantID != tenant.ID && !app.Multi() {
			return a, unknownClient(app.AppID, tenant.ID)
		}
		a.Present, err = false, nil
	} else {
		a.Enabled = sp.AccountEnabled
	}
	if err != nil {
		return a, err
	}
	if a.Rights = rights; a.Present { // what was consented to before its service principal was deleted counts no more
		a.Rights, err = g.missingRights(ctx, tenant.ID, app.AppID, rights)
	}
	return a, err
}

// AskAll is Ask for an administrator's consent without a sign-in: everything that the registration lists, or the given scopes.
func (g *Grants) AskAll(ctx context.Context, app directory.Application, tenant directory.Tenant, scope string) (Ask, error) {
	a, err := g.Ask(ctx, app, tenant, 2, "", scope)
	for _, r := range app.Requires {
		for _, one := range r.ResourceAccess {
			a.Rights = append(a.Rights, r.ResourceAppID+"/"+one.Type+" "+one.ID)
		}
	}
	return a, err
}

// rightsOf spells out what is wanted. An application as a resource must be in the tenant: 650052.
func (g *Grants) rightsOf(ctx context.Context, app directory.Application, tenant directory.Tenant, wanted asked) ([]string, error) {
	r, _, err := g.resource(ctx, tenant.ID, wanted.resource)
	if err != nil {
		if f, ok := errors.AsType[*aadsts.Failure](err); ok && r.AppID != "" {
			f.Code, f.OAuth = 650052, "invalid_client"
			f.Text = fmt.Sprintf("The app is trying to access a service '%s' that your organization '%s' lacks a service principal for. "+
				"Contact your IT Admin to review the configuration of your service subscriptions or consent to the application in order to "+
				"create the required service principal.", printable(wanted.resource), tenant.Name)
		}
		return nil, err
	}
	var rights []string
	for _, right := range wanted.rights(r, app) {
		rights = append(rights, r.AppID+"/"+right)
	}
	return rights, nil
}

// missingRights are those that nobody consented to. Reading one's own profile is what signing in means, and needs no consent.
func (g *Grants) missingRights(ctx context.Context, tenantID, appID string, rights []string) ([]string, error) {
	var c consent
	err := g.Store.View(ctx, func(tx store.Tx) error {
		doc, err := tx.Get(consentKey(tenantID, appID))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(doc.Body, &c)
	})
	if err != nil {
		return nil, fmt.Errorf("login: read a consent: %w", err)
	}
	graph, _ := token.ParseResource(graphResource)
	return slices.DeleteFunc(rights, func(r string) bool { return slices.Contains(c.Rights, r) || r == graph.AppID+"/User.Read" }), nil
}

// consented refuses tokens for rights that nobody consented to: 65001.
func (g *Grants) consented(ctx context.Context, s sign) error {
	if firstParty(s.app) {
		return nil
	}
	tenant := s.q.Tenant
	rights, err := g.rightsOf(ctx, s.app, tenant, s.asked)
	if err != nil {
		return err
	}
	missing, err := g.missingRights(ctx, tenant.ID, s.app.AppID, rights)
	if err == nil && len(missing) > 0 {
		err = NotConsented(s.app)
	}
	return err
}

// NotConsented is the refusal of a request that an administrator must allow first.
func NotConsented(app directory.Application) error {
	return aadsts.Fail(400, "invalid_grant", 65001, "The user or administrator has not consented to use the application with ID '%s' named '%s'. "+
		"Send an interactive authorization request for this user and resource.", app.AppID, app.DisplayName)
}

// Consent makes the application known in the tenant and notes what it may do for people there, in one transaction. Only an
// administrator of that tenant may: the right is read again within the transaction.
func (g *Grants) Consent(ctx context.Context, by Person, ask Ask) error {
	err := g.Store.Update(ctx, func(tx store.Tx) error {
		u, err := g.Directory.ActiveUserIn(tx, ask.Tenant.ID, by.ObjectID)
		if err != nil || !personOf(u, u).Admin {
			return errors.Join(err, NeedsAdmin(ask.App))
		}
		if _, err := g.Directory.CreateServicePrincipalIn(tx, ask.Tenant.ID, ask.App.AppID); err != nil {
			return err
		}
		doc, err := tx.Get(consentKey(ask.Tenant.ID, ask.App.AppID))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		doc.Key, doc.Kind = consentKey(ask.Tenant.ID, ask.App.AppID), KindConsent
		doc.Terms = []string{"tenant:" + ask.Tenant.ID, "app:" + ask.App.AppID}
		var c consent
		if len(doc.Body) > 0 && ask.Present {
			if err := json.Unmarshal(doc.Body, &c); err != nil {
				return err
			}
		}
		for _, r := range ask.Rights {
			if !slices.Contains(c.Rights, r) {
				c.Rights = append(c.Rights, r)
			}
		}
		c.By, c.At = u.ObjectID, g.Now().UTC()
		if doc.Body, err = json.Marshal(c); err != nil {
			return err
		}
		_, err = tx.Put(doc)
		return err
	})
	if err == nil {
		g.Log.LogAttrs(ctx, slog.LevelInfo, "consent", slog.String("tenant", ask.Tenant.ID), slog.String("client", ask.App.AppID),
			slog.String("object", by.ObjectID), slog.Any("rights", ask.Rights))
	}
	return err
}

// NeedsAdmin refuses somebody who may not consent.
func NeedsAdmin(app directory.Application) error {
	return aadsts.Fail(403, "consent_required", 90094, "Admin consent is required for the permissions requested by the application '%s'(%s). An "+
		"administrator of the organization must sign in and consent.", app.DisplayName, app.AppID)
}
