package graph

import (
	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func (d *door) deletedRoutes() []rest.Route {
	all := []rest.Route{
		rest.Get("directory/deletedItems/{}", d.getDeleted), rest.Remove("directory/deletedItems/{}", d.purge), rest.Post("directory/deletedItems/{}/restore", d.restore),
	}
	for _, typ := range []string{"application", "servicePrincipal", "user", "group"} {
		all = append([]rest.Route{rest.Get("directory/deletedItems/"+typ, d.listDeleted(typ)), rest.Get("directory/deletedItems/"+typ+"/{}", d.getDeleted)}, all...)
	}
	return all
}

// showDeleted shows an object with the time of its deletion.
func (d *door) showDeleted(c *rest.Call, item directory.Deleted) (*entity.Entity, error) {
	var o directory.Object
	switch item.Type {
	case "application":
		o.Application = item.Application
	case "servicePrincipal":
		o.ServicePrincipal = item.Principal
	default:
		o.User = item.User
	}
	e, err := d.show(c, o)
	if err != nil {
		return nil, err
	}
	e.Props["deletedDateTime"] = entity.Stamp(item.DeletedTime)
	return e, nil
}

// listDeleted lists what may be restored. Groups never are among it: security groups go at once, as in Entra.
func (d *door) listDeleted(typ string) func(*rest.Call) (rest.Answer, error) {
	return func(c *rest.Call) (rest.Answer, error) {
		if err := c.MayRead(""); err != nil {
			return rest.Answer{}, err
		}
		items, err := d.Directory.AllDeletedIn(c.Tx, c.Who.TenantID, typ)
		if err != nil {
			return rest.Answer{}, err
		}
		var list []*entity.Entity
		for _, item := range items {
			e, err := d.showDeleted(c, item)
			if err != nil {
				return rest.Answer{}, err
			}
			e.Typed = false
			list = append(list, e)
		}
		return c.Listing(typ+"s", entity.ObjectKind(), list)
	}
}

func (d *door) deleted(c *rest.Call) (directory.Deleted, error) {
	if err := c.MayRead(""); err != nil {
		return directory.Deleted{}, err
	}
	item, err := d.Directory.DeletedIn(c.Tx, c.Who.TenantID, c.Args[0])
	if directory.IsMissing(err) {
		return item, wire.Missing(c.Args[0])
	}
	return item, err
}

func (d *door) getDeleted(c *rest.Call) (rest.Answer, error) {
	item, err := d.deleted(c)
	if err != nil {
		return rest.Answer{}, err
	}
	e, err := d.showDeleted(c, item)
	return rest.Answer{Entity: e, Context: "directoryObjects"}, err
}

// mayBringBack is the right to restore or to delete for good: that of managing the object.
func mayBringBack(c *rest.Call, item directory.Deleted) error {
	var holds []string
	if item.Principal != nil {
		holds = item.Principal.DirectoryRoles
	}
	switch item.Type {
	case "user":
		return c.MayManageUsers(item.User.DirectoryRoles)
	case "application":
		return c.MayManageApps(item.Application.Owners, holds)
	}
	return c.MayManageApps(item.Principal.Owners, holds)
}

func (d *door) restore(c *rest.Call) (rest.Answer, error) {
	item, err := d.deleted(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := mayBringBack(c, item); err != nil {
		return rest.Answer{}, err
	}
	if _, err := d.Directory.RestoreIn(c.Tx, c.Who.TenantID, item.ObjectID); err != nil {
		return rest.Answer{}, err
	}
	o, err := d.Directory.ObjectIn(c.Tx, c.Who.TenantID, item.ObjectID)
	if err != nil {
		return rest.Answer{}, err
	}
	e, err := d.show(c, o)
	return rest.Answer{Entity: e, Context: "directoryObjects"}, err
}

func (d *door) purge(c *rest.Call) (rest.Answer, error) {
	item, err := d.deleted(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := mayBringBack(c, item); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, d.Directory.PurgeIn(c.Tx, c.Who.TenantID, item.ObjectID)
}
