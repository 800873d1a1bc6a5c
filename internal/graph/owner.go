package graph

import (
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

// ownerEdit changes a list of owners as a request asks.
type ownerEdit func(c *rest.Call, owners []string) ([]string, error)

func (d *door) addOwner(c *rest.Call, owners []string) ([]string, error) {
	id, err := rest.Reference(c.Body)
	if err != nil {
		return nil, err
	}
	return d.withOwner(c, owners, id)
}

func (d *door) withOwner(c *rest.Call, owners []string, id string) ([]string, error) {
	o, err := d.Directory.ObjectIn(c.Tx, c.Who.TenantID, id)
	switch {
	case directory.IsMissing(err):
		return nil, wire.Missing(id)
	case err != nil:
		return nil, err
	case o.User == nil && o.ServicePrincipal == nil:
		return nil, wire.BadRequest("The reference target '%s' of type '%s' is invalid for the 'owners' reference.", o.ID(), o.Type())
	case slices.Contains(owners, o.ID()):
		return nil, wire.BadRequest("One or more added object references already exist for the following modified properties: 'owners'.")
	}
	return append(slices.Clone(owners), o.ID()), nil
}

func removeOwner(c *rest.Call, owners []string) ([]string, error) {
	kept := slices.DeleteFunc(slices.Clone(owners), func(id string) bool { return strings.EqualFold(id, c.Args[1]) })
	if len(kept) == len(owners) {
		return nil, wire.Missing(c.Args[1])
	}
	return kept, nil
}

func (d *door) applicationOwners(c *rest.Call) (rest.Answer, error) {
	a, err := d.application(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.objects(c, a.Owners)
}

func (d *door) editApplicationOwners(edit ownerEdit) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		a, err := d.manageable(c)
		if err != nil {
			return rest.Answer{}, err
		}
		_, err = d.Directory.ChangeApplicationIn(c.Tx, a.AppID, func(a *directory.Application) (err error) {
			a.Owners, err = edit(c, a.Owners)
			return err
		})
		return rest.Answer{}, err
	}
}

func (d *door) principalOwners(c *rest.Call) (rest.Answer, error) {
	sp, err := d.principal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.objects(c, sp.Owners)
}

func (d *door) editPrincipalOwners(edit ownerEdit) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		sp, err := d.managedPrincipal(c)
		if err != nil {
			return rest.Answer{}, err
		}
		_, err = d.Directory.ChangePrincipalIn(c.Tx, sp.TenantID, sp.AppID, func(p *directory.ServicePrincipal) (err error) {
			p.Owners, err = edit(c, p.Owners)
			return err
		})
		return rest.Answer{}, err
	}
}

func (d *door) groupOwners(c *rest.Call) (rest.Answer, error) {
	g, err := d.group(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.objects(c, g.Owners)
}

func (d *door) editGroupOwners(edit ownerEdit) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		g, err := d.managedGroup(c)
		if err != nil {
			return rest.Answer{}, err
		}
		_, err = d.Directory.ChangeGroupIn(c.Tx, g.TenantID, g.ObjectID, func(g *directory.Group) (err error) {
			g.Owners, err = edit(c, g.Owners)
			return err
		})
		return rest.Answer{}, err
	}
}
