package graph

import (
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/wire"
)

// reference reads the object that a $ref body points at: {"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/{id}"}.
func (c *call) reference() (string, error) {
	var target string
	if err := c.body.Into("@odata.id", &target); err != nil {
		return "", err
	}
	u, err := url.Parse(target)
	if err != nil || target == "" || len(target) > 512 {
		return "", wire.BadRequest("A value is required for property '@odata.id' of resource, the URL of a directory object.")
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	last := parts[len(parts)-1]
	if m := keyed.FindStringSubmatch(last); m != nil {
		last = m[3]
	}
	return last, nil
}

// withOwner and withoutOwner change a list of owners.
func (d *door) withOwner(c *call, owners []string) ([]string, error) {
	id, err := c.reference()
	if err != nil {
		return nil, err
	}
	o, err := d.Directory.ObjectIn(c.tx, c.who.TenantID, id)
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

func (c *call) withoutOwner(owners []string) ([]string, error) {
	kept := slices.DeleteFunc(slices.Clone(owners), func(id string) bool { return strings.EqualFold(id, c.args[1]) })
	if len(kept) == len(owners) {
		return nil, wire.Missing(c.args[1])
	}
	return kept, nil
}

func (d *door) applicationOwners(c *call) (answer, error) {
	a, err := d.application(c)
	if err != nil {
		return answer{}, err
	}
	return d.objects(c, a.Owners)
}

func (d *door) addApplicationOwner(c *call) (answer, error) {
	return d.editApplicationOwners(c, func(owners []string) ([]string, error) { return d.withOwner(c, owners) })
}

func (d *door) removeApplicationOwner(c *call) (answer, error) {
	return d.editApplicationOwners(c, c.withoutOwner)
}

func (d *door) editApplicationOwners(c *call, edit func([]string) ([]string, error)) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.tx, a.AppID, func(a *directory.Application) (err error) {
		a.Owners, err = edit(a.Owners)
		return err
	})
	return answer{}, err
}

func (d *door) principalOwners(c *call) (answer, error) {
	sp, err := d.principal(c)
	if err != nil {
		return answer{}, err
	}
	return d.objects(c, sp.Owners)
}

func (d *door) addPrincipalOwner(c *call) (answer, error) {
	return d.editPrincipalOwners(c, func(owners []string) ([]string, error) { return d.withOwner(c, owners) })
}

func (d *door) removePrincipalOwner(c *call) (answer, error) {
	return d.editPrincipalOwners(c, c.withoutOwner)
}

func (d *door) editPrincipalOwners(c *call, edit func([]string) ([]string, error)) (answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangePrincipalIn(c.tx, sp.TenantID, sp.AppID, func(p *directory.ServicePrincipal) (err error) {
		p.Owners, err = edit(p.Owners)
		return err
	})
	return answer{}, err
}

func (d *door) groupOwners(c *call) (answer, error) {
	g, err := d.group(c)
	if err != nil {
		return answer{}, err
	}
	return d.objects(c, g.Owners)
}

func (d *door) addGroupOwner(c *call) (answer, error) {
	return d.editGroupOwners(c, func(owners []string) ([]string, error) { return d.withOwner(c, owners) })
}

func (d *door) removeGroupOwner(c *call) (answer, error) {
	return d.editGroupOwners(c, c.withoutOwner)
}

func (d *door) editGroupOwners(c *call, edit func([]string) ([]string, error)) (answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangeGroupIn(c.tx, g.TenantID, g.ObjectID, func(g *directory.Group) (err error) {
		g.Owners, err = edit(g.Owners)
		return err
	})
	return answer{}, err
}
