package operator

import (
	"context"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// scoped reads a scope and finds the tenant that it belongs to; a scope outside subscriptions needs the tenant named.
func (d *door) scoped(ctx context.Context, scope, tenant string) (arm.ID, string, error) {
	id, err := arm.ParseID(scope)
	if err != nil {
		return id, "", arm.Errorf(400, "InvalidParameter", "The scope '%.300s' is not the ID of a scope.", scope).At("scope")
	}
	if id.Subscription == "" {
		if tenant == "" {
			return id, "", arm.Errorf(400, "InvalidParameter", "The scope '%s' is in no subscription; name the tenant.", scope).At("tenant")
		}
		t, err := d.Directory.FindTenant(ctx, tenant)
		id.Tenant = t.ID
		return id, t.ID, err
	}
	var owner string
	err = d.Store.View(ctx, func(tx store.Tx) (err error) {
		owner, err = control.TenantOf(tx, id.Subscription)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return id, "", arm.Errorf(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", id.Subscription)
	}
	return id, owner, err
}

// someone finds a principal of a tenant by its object ID, or a service principal by its client ID.
func (d *door) someone(tx store.Tx, tenant, who string) (authn.Principal, error) {
	typ, err := d.Directory.PrincipalType(tx, tenant, who)
	if err == nil {
		return authn.Principal{TenantID: tenant, ObjectID: strings.ToLower(who), Kind: authn.Kind(typ)}, nil
	}
	sp, byApp := d.Directory.PrincipalIn(tx, tenant, who)
	if byApp == nil {
		return principalOf(sp), nil
	}
	if errors.Is(err, directory.ErrObjectNotFound) {
		return authn.Principal{}, arm.Errorf(404, "PrincipalNotFound", "The tenant '%s' has no user, group or service principal '%.100s'.", tenant, who).At("principal")
	}
	return authn.Principal{}, err
}

func (d *door) why(ctx context.Context, in client.WhyRequest) (any, error) {
	scope, tenant, err := d.scoped(ctx, in.Scope, in.Tenant)
	if err != nil {
		return nil, err
	}
	var out rbac.Explanation
	err = d.Store.View(ctx, func(tx store.Tx) error {
		p, err := d.someone(tx, tenant, in.Principal)
		if err != nil {
			return err
		}
		out, err = d.Control.RBAC().Why(tx, p, in.Action, scope)
		return err
	})
	return out, err
}

func (d *door) whoCan(ctx context.Context, in client.WhoCanRequest) (any, error) {
	scope, tenant, err := d.scoped(ctx, in.Scope, in.Tenant)
	if err != nil {
		return nil, err
	}
	var out []rbac.Holder
	err = d.Store.View(ctx, func(tx store.Tx) (err error) {
		out, err = d.Control.RBAC().WhoCan(tx, tenant, in.Action, scope)
		return err
	})
	return out, err
}

// deny makes a deny assignment: no other door can.
func (d *door) deny(ctx context.Context, in client.DenyRequest) (any, error) {
	scope, tenant, err := d.scoped(ctx, in.Scope, in.Tenant)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Name) == "" || len(in.Name) > 256 || len(in.Actions) == 0 {
		return nil, arm.Errorf(400, "InvalidParameter", "A deny assignment needs a name of 1 to 256 characters and at least one action.")
	}
	if in.NotActions == nil {
		in.NotActions = []string{}
	}
	spec := authorization.DenyAssignment{Name: in.Name, Exact: in.Exact, Principals: []authorization.DenyPrincipal{},
		ExcludePrincipals: []authorization.DenyPrincipal{},
		Permissions:       []rbac.Permission{{Actions: in.Actions, NotActions: in.NotActions, DataActions: in.Actions, NotDataActions: in.NotActions}}}
	var out client.Denied
	err = d.Store.Update(ctx, func(tx store.Tx) error {
		spec.Principals, spec.ExcludePrincipals = spec.Principals[:0], spec.ExcludePrincipals[:0]
		for i, who := range append(append([]string{}, in.Principals...), in.Except...) {
			p, err := d.someone(tx, tenant, who)
			if err != nil {
				return err
			}
			one := authorization.DenyPrincipal{ID: p.ObjectID, Type: string(p.Kind)}
			if i < len(in.Principals) {
				spec.Principals = append(spec.Principals, one)
			} else {
				spec.ExcludePrincipals = append(spec.ExcludePrincipals, one)
			}
		}
		if len(in.Principals) == 0 {
			spec.Principals = append(spec.Principals, authorization.DenyPrincipal{ID: rbac.Everyone, Type: "SystemDefined"})
		}
		out.ID, err = authorization.Deny(tx, tenant, scope, spec, d.Now())
		return err
	})
	return out, err
}

// undeny takes a deny assignment away, by its ID.
func (d *door) undeny(ctx context.Context, in client.DenyRequest) (any, error) {
	id, _, err := d.scoped(ctx, in.Scope, in.Tenant)
	if err == nil && control.Kind(id.Type()) != rbac.DenyKind {
		err = arm.Errorf(400, "InvalidParameter", "'%s' is not the ID of a deny assignment.", in.Scope)
	}
	if err != nil {
		return nil, err
	}
	err = d.Store.Update(ctx, func(tx store.Tx) error { return tx.Delete(id.Key(), 0) })
	if errors.Is(err, store.ErrNotFound) {
		err = arm.Errorf(404, "DenyAssignmentNotFound", "The deny assignment '%s' is not found.", id.Name())
	}
	return client.Denied{ID: id.String()}, err
}
