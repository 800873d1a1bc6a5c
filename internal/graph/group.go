package graph

import (
	"encoding/json"
	"errors"
	"net/http"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (d *door) groupRoutes() []route {
	return []route{
		get("groups", d.listGroups), get("groups/$count", d.counting(d.listGroups)), post("groups", d.createGroup),
		get("groups/{}", d.getGroup), patch("groups/{}", d.changeGroup), remove("groups/{}", d.deleteGroup),
		get("groups/{}/members", d.groupMembers(false)), get("groups/{}/transitiveMembers", d.groupMembers(true)),
		get("groups/{}/members/$count", d.counting(d.groupMembers(false))), get("groups/{}/transitiveMembers/$count", d.counting(d.groupMembers(true))),
		post("groups/{}/members/$ref", d.addMember), remove("groups/{}/members/{}/$ref", d.removeMember),
		get("groups/{}/owners", d.groupOwners), post("groups/{}/owners/$ref", d.addGroupOwner), remove("groups/{}/owners/{}/$ref", d.removeGroupOwner),
		get("groups/{}/memberOf", d.groupGroups(false)), get("groups/{}/transitiveMemberOf", d.groupGroups(true)),
		ask("groups/{}/getMemberGroups", d.memberGroups), ask("groups/{}/getMemberObjects", d.memberGroups),
		ask("groups/{}/checkMemberGroups", d.checkGroups), ask("groups/{}/checkMemberObjects", d.checkGroups),
	}
}

// group finds what the first key of the path names.
func (d *door) group(c *call) (directory.Group, error) {
	if err := c.mayRead(""); err != nil {
		return directory.Group{}, err
	}
	g, err := d.Directory.GroupIn(c.tx, c.who.TenantID, c.args[0])
	if errors.Is(err, directory.ErrGroupNotFound) {
		return g, wire.Missing(c.args[0])
	}
	return g, err
}

func (d *door) managedGroup(c *call) (directory.Group, error) {
	g, err := d.group(c)
	if err != nil {
		return g, err
	}
	return g, c.mayManageGroups(g.Owners)
}

func (d *door) listGroups(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	all, err := d.Directory.Groups(c.tx, c.who.TenantID)
	var list []*entity.Entity
	for _, g := range all {
		list = append(list, entity.Group(g))
	}
	if err != nil {
		return answer{}, err
	}
	return c.listing("groups", entity.GroupKind(), list)
}

func (d *door) getGroup(c *call) (answer, error) {
	g, err := d.group(c)
	if err != nil {
		return answer{}, err
	}
	return answer{entity: entity.Group(g), context: "groups"}, c.noExpand()
}

func (d *door) createGroup(c *call) (answer, error) {
	if !c.who.member() {
		if err := c.mayManageGroups(nil); err != nil {
			return answer{}, err
		}
	}
	for _, name := range []string{"displayName", "mailEnabled", "mailNickname", "securityEnabled"} {
		if _, ok := c.body[name]; !ok {
			return answer{}, wire.BadRequest("A value is required for property '%s' of resource 'Group'.", name)
		}
	}
	owners, members, err := c.bound()
	if err != nil {
		return answer{}, err
	}
	g := directory.Group{TenantID: c.who.TenantID}
	if c.who.user != nil {
		g.Owners = []string{c.who.ObjectID}
	}
	if c.mayManageGroups(nil) != nil {
		g.Creator = c.who.ObjectID // an administrator has no quota
	}
	if err := c.setGroup(&g); err != nil {
		return answer{}, err
	}
	for _, target := range owners {
		one := *c
		one.body = wire.Body{"@odata.id": target}
		if g.Owners, err = d.withOwner(&one, g.Owners); err != nil {
			return answer{}, err
		}
	}
	if g, err = d.Directory.CreateGroupIn(c.tx, g); err != nil {
		return answer{}, err
	}
	for _, target := range members {
		one := *c
		one.body = wire.Body{"@odata.id": target}
		id, err := one.reference()
		if err != nil {
			return answer{}, err
		}
		if err := d.Directory.AddMemberIn(c.tx, g.TenantID, g.ObjectID, id); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusCreated, entity: entity.Group(g), context: "groups",
		location: "directoryObjects/" + g.ObjectID + "/Microsoft.DirectoryServices.Group"}, nil
}

func (c *call) setGroup(g *directory.Group) error {
	var mail, assignable bool
	var types []string
	var visibility *string
	err := c.body.Fields(map[string]any{"displayName": &g.DisplayName, "description": &g.Description, "mailNickname": &g.MailNickname,
		"securityEnabled": &g.SecurityEnabled, "mailEnabled": &mail, "groupTypes": &types, "isAssignableToRole": &assignable, "visibility": &visibility})
	switch {
	case err != nil:
		return err
	case mail || len(types) > 0:
		return wire.Unsupported("A mail-enabled, Microsoft 365 or dynamic group (mailEnabled true, groupTypes not empty)")
	case assignable:
		return wire.Unsupported("isAssignableToRole: a group that holds directory roles")
	case !g.SecurityEnabled:
		return wire.BadRequest("A group that is neither mail-enabled nor security-enabled is of no use: securityEnabled must be true.")
	}
	return nil
}

func (d *door) changeGroup(c *call) (answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangeGroupIn(c.tx, g.TenantID, g.ObjectID, c.setGroup)
	return answer{}, err
}

func (d *door) deleteGroup(c *call) (answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return answer{}, err
	}
	return answer{}, d.Directory.DeleteGroupIn(c.tx, g.TenantID, g.ObjectID)
}

func (d *door) groupMembers(transitive bool) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		g, err := d.group(c)
		if err != nil {
			return answer{}, err
		}
		ids, err := d.Directory.MembersIn(c.tx, g.TenantID, g.ObjectID, transitive)
		if err != nil {
			return answer{}, err
		}
		return d.objects(c, ids)
	}
}

func (d *door) addMember(c *call) (answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return answer{}, err
	}
	id, err := c.reference()
	if err != nil {
		return answer{}, err
	}
	err = d.Directory.AddMemberIn(c.tx, g.TenantID, g.ObjectID, id)
	if errors.Is(err, directory.ErrObjectNotFound) {
		err = wire.Missing(id)
	}
	return answer{}, err
}

func (d *door) removeMember(c *call) (answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return answer{}, err
	}
	err = d.Directory.RemoveMemberIn(c.tx, g.TenantID, g.ObjectID, c.args[1])
	if errors.Is(err, directory.ErrObjectNotFound) {
		err = wire.Missing(c.args[1])
	}
	return answer{}, err
}

// bound takes the references out of a body that are to be made with the group: owners@odata.bind and members@odata.bind.
func (c *call) bound() (owners, members []json.RawMessage, err error) {
	if err := c.body.Into("owners@odata.bind", &owners); err != nil {
		return nil, nil, err
	}
	if err := c.body.Into("members@odata.bind", &members); err != nil {
		return nil, nil, err
	}
	if len(owners)+len(members) > 20 { // Graph's limit
		return nil, nil, wire.BadRequest("At most 20 references can be made with a group.")
	}
	delete(c.body, "owners@odata.bind")
	delete(c.body, "members@odata.bind")
	return owners, members, nil
}
