package grant

import (
	"context"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// rolesOf reads the app roles of a person at the client and at the resource, and keeps out who is assigned to neither though it demands so.
func (g *Grants) rolesOf(ctx context.Context, s *sign, client directory.ServicePrincipal) error {
	if s.resource.API == token.Application {
		offer, err := g.offer(ctx, s.person.TenantID, s.resource)
		if err != nil {
			return err
		}
		if s.roles, err = g.admitted(ctx, offer, s.person); err != nil {
			return err
		}
	}
	if firstParty(s.app) {
		return nil
	}
	var err error
	s.ownRoles, err = g.Admitted(ctx, client, s.person)
	return err
}

// Admitted gives the app roles of a person at an application. 50105: it demands an assignment, and the person has none.
func (g *Grants) Admitted(ctx context.Context, sp directory.ServicePrincipal, who Person) (roles []string, err error) {
	var p consent.Principal
	err = g.Store.View(ctx, func(tx store.Tx) error {
		p, err = consent.New(g.Directory).With(tx, sp)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g.admitted(ctx, p, who)
}

func (g *Grants) admitted(ctx context.Context, p consent.Principal, who Person) ([]string, error) {
	roles, assigned, err := g.appRoles(ctx, p, who.ObjectID)
	if err == nil && p.AssignmentRequired && !assigned {
		err = aadsts.Fail(400, "invalid_grant", 50105, "Your administrator has configured the application %s ('%s') to block users unless they are specifically "+
			"granted ('assigned') access to the application. The signed-in user '%s' is blocked because they are not a direct member of a group with "+
			"access, nor had access directly assigned by an administrator. Please contact your administrator to assign access to this application.",
			p.DisplayName, p.AppID, who.UPN)
	}
	return roles, err
}

func (g *Grants) appRoles(ctx context.Context, p consent.Principal, principalID string) (roles []string, assigned bool, err error) {
	err = g.Store.View(ctx, func(tx store.Tx) error {
		roles, assigned, err = consent.New(g.Directory).Roles(tx, p, principalID)
		return err
	})
	return roles, assigned, err
}

// ownRoles gives the app roles that an application holds at a resource as itself. 501051: the resource demands one.
func (g *Grants) ownRoles(ctx context.Context, sp directory.ServicePrincipal, r token.Resource) ([]string, error) {
	if r.API != token.Application && r.API != token.Graph {
		return nil, nil
	}
	offer, err := g.offer(ctx, sp.TenantID, r)
	if err != nil {
		return nil, err
	}
	roles, assigned, err := g.appRoles(ctx, offer, sp.ObjectID)
	if err == nil && offer.AssignmentRequired && !assigned && offer.AppID != sp.AppID {
		err = aadsts.Fail(400, "invalid_grant", 501051, "Application '%s'(%s) is not assigned to a role for the application '%s'(%s).", sp.AppID, sp.DisplayName, offer.AppID, offer.DisplayName)
	}
	return roles, err
}
