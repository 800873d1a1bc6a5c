package graph

import (
	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (d *door) deletedRoutes() []route {
	all := []route{
		get("directory/deletedItems/{}", d.getDeleted), remove("directory/deletedItems/{}", d.purge), post("directory/deletedItems/{}/restore", d.restore),
	}
	for _, typ := range []string{"application", "servicePrincipal", "user", "group"} {
		all = append([]route{get("directory/deletedItems/"+typ, d.listDeleted(typ)), get("directory/deletedItems/"+typ+"/{}", d.getDeleted)}, all...)
	}
	return all
}

// showDeleted shows an object with the time of its deletion.
func (d *door) showDeleted(c *call, item directory.Deleted) (*entity.Entity, error) {
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
func (d *door) listDeleted(typ string) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		if err := c.mayRead(""); err != nil {
			return answer{}, err
		}
		items, err := d.Directory.AllDeletedIn(c.tx, c.who.TenantID, typ)
		if err != nil {
			return answer{}, err
		}
		var list []*entity.Entity
		for _, item := range items {
			e, err := d.showDeleted(c, item)
			if err != nil {
				return answer{}, err
			}
			e.Typed = false
			list = append(list, e)
		}
		return c.listing(typ+"s", entity.ObjectKind(), list)
	}
}

func (d *door) deleted(c *call) (directory.Deleted, error) {
	if err := c.mayRead(""); err != nil {
		return directory.Deleted{}, err
	}
	item, err := d.Directory.DeletedIn(c.tx, c.who.TenantID, c.args[0])
	if directory.IsMissing(err) {
		return item, wire.Missing(c.args[0])
	}
	return item, err
}

func (d *door) getDeleted(c *call) (answer, error) {
	item, err := d.deleted(c)
	if err != nil {
		return answer{}, err
	}
	e, err := d.showDeleted(c, item)
	return answer{entity: e, context: "directoryObjects"}, err
}

// mayBringBack is the right to restore or to delete for good: that of managing the object.
func (c *call) mayBringBack(item directory.Deleted) error {
	var holds []string
	if item.Principal != nil {
		holds = item.Principal.DirectoryRoles
	}
	switch item.Type {
	case "user":
		return c.mayManageUsers(item.User.DirectoryRoles)
	case "application":
		return c.mayManageApps(item.Application.Owners, holds)
	}
	return c.mayManageApps(item.Principal.Owners, holds)
}

func (d *door) restore(c *call) (answer, error) {
	item, err := d.deleted(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayBringBack(item); err != nil {
		return answer{}, err
	}
	if _, err := d.Directory.RestoreIn(c.tx, c.who.TenantID, item.ObjectID); err != nil {
		return answer{}, err
	}
	o, err := d.Directory.ObjectIn(c.tx, c.who.TenantID, item.ObjectID)
	if err != nil {
		return answer{}, err
	}
	e, err := d.show(c, o)
	return answer{entity: e, context: "directoryObjects"}, err
}

func (d *door) purge(c *call) (answer, error) {
	item, err := d.deleted(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayBringBack(item); err != nil {
		return answer{}, err
	}
	return answer{}, d.Directory.PurgeIn(c.tx, c.who.TenantID, item.ObjectID)
}
