package graph

import (
	"encoding/json"
	"errors"
	"net/http"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func (d *door) groupRoutes() []rest.Route {
	return []rest.Route{
		rest.Get("groups", d.listGroups), rest.Get("groups/$count", d.counting(d.listGroups)), rest.Post("groups", d.createGroup),
		rest.Get("groups/{}", d.getGroup), rest.Patch("groups/{}", d.changeGroup), rest.Remove("groups/{}", d.deleteGroup),
		rest.Get("groups/{}/members", d.groupMembers(false)), rest.Get("groups/{}/transitiveMembers", d.groupMembers(true)),
		rest.Get("groups/{}/members/$count", d.counting(d.groupMembers(false))), rest.Get("groups/{}/transitiveMembers/$count", d.counting(d.groupMembers(true))),
		rest.Post("groups/{}/members/$ref", d.addMember), rest.Remove("groups/{}/members/{}/$ref", d.removeMember),
		rest.Get("groups/{}/owners", d.groupOwners), rest.Post("groups/{}/owners/$ref", d.editGroupOwners(d.addOwner)), rest.Remove("groups/{}/owners/{}/$ref", d.editGroupOwners(removeOwner)),
		rest.Get("groups/{}/memberOf", d.groupsOf(d.groupEnd, false)), rest.Get("groups/{}/transitiveMemberOf", d.groupsOf(d.groupEnd, true)),
	}
}

// group finds what the first key of the path names.
func (d *door) group(c *rest.Call) (directory.Group, error) {
	if err := c.MayRead(""); err != nil {
		return directory.Group{}, err
	}
	g, err := d.Directory.GroupIn(c.Tx, c.Who.TenantID, c.Args[0])
	if errors.Is(err, directory.ErrGroupNotFound) {
		return g, wire.Missing(c.Args[0])
	}
	return g, err
}

func (d *door) managedGroup(c *rest.Call) (directory.Group, error) {
	g, err := d.group(c)
	if err != nil {
		return g, err
	}
	return g, c.MayManageGroups(g.Owners)
}

func (d *door) listGroups(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	all, err := d.Directory.Groups(c.Tx, c.Who.TenantID)
	var list []*entity.Entity
	for _, g := range all {
		list = append(list, entity.Group(g))
	}
	if err != nil {
		return rest.Answer{}, err
	}
	return c.Listing("groups", entity.GroupKind(), list)
}

func (d *door) getGroup(c *rest.Call) (rest.Answer, error) {
	g, err := d.group(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Entity: entity.Group(g), Context: "groups"}, c.NoExpand()
}

func (d *door) createGroup(c *rest.Call) (rest.Answer, error) {
	if !c.Who.Member() {
		if err := c.MayManageGroups(nil); err != nil {
			return rest.Answer{}, err
		}
	}
	if err := c.Body.Require("Group", "displayName", "mailEnabled", "mailNickname", "securityEnabled"); err != nil {
		return rest.Answer{}, err
	}
	owners, members, err := bound(c)
	if err != nil {
		return rest.Answer{}, err
	}
	g := directory.Group{TenantID: c.Who.TenantID}
	if c.Who.User != nil {
		g.Owners = []string{c.Who.ObjectID}
	}
	if c.MayManageGroups(nil) != nil {
		g.Creator = c.Who.ObjectID // an administrator has no quota
	}
	if err := setGroup(c, &g); err != nil {
		return rest.Answer{}, err
	}
	for _, id := range owners {
		if g.Owners, err = d.withOwner(c, g.Owners, id); err != nil {
			return rest.Answer{}, err
		}
	}
	if g, err = d.Directory.CreateGroupIn(c.Tx, g); err != nil {
		return rest.Answer{}, err
	}
	for _, id := range members {
		if err := d.Directory.AddMemberIn(c.Tx, g.TenantID, g.ObjectID, id); err != nil {
			return rest.Answer{}, err
		}
	}
	return rest.Answer{Status: http.StatusCreated, Entity: entity.Group(g), Context: "groups",
		Location: "directoryObjects/" + g.ObjectID + "/Microsoft.DirectoryServices.Group"}, nil
}

func setGroup(c *rest.Call, g *directory.Group) error {
	var mail, assignable bool
	var types []string
	var visibility *string
	err := c.Body.Fields(map[string]any{"displayName": &g.DisplayName, "description": &g.Description, "mailNickname": &g.MailNickname,
		"securityEnabled": &g.SecurityEnabled, "mailEnabled": &mail, "groupTypes": &types, "isAssignableToRole": &assignable, "visibility": &visibility})
	switch {
	case err != nil:
		return err
	case mail || len(types) > 0:
		return wire.Unsupported("A mail-enabled, Microsoft 365 or dynamic group (mailEnabled true, groupTypes not empty)")
	case visibility != nil && *visibility != "":
		return wire.Unsupported("Property 'visibility' of a security group")
	case assignable:
		return wire.Unsupported("isAssignableToRole: a group that holds directory roles")
	case !g.SecurityEnabled:
		return wire.BadRequest("A group that is neither mail-enabled nor security-enabled is of no use: securityEnabled must be true.")
	}
	return nil
}

func (d *door) changeGroup(c *rest.Call) (rest.Answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return rest.Answer{}, err
	}
	_, err = d.Directory.ChangeGroupIn(c.Tx, g.TenantID, g.ObjectID, func(o *directory.Group) error { return setGroup(c, o) })
	return rest.Answer{}, err
}

func (d *door) deleteGroup(c *rest.Call) (rest.Answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, d.Directory.DeleteGroupIn(c.Tx, g.TenantID, g.ObjectID)
}

func (d *door) groupMembers(transitive bool) func(*rest.Call) (rest.Answer, error) {
	return func(c *rest.Call) (rest.Answer, error) {
		g, err := d.group(c)
		if err != nil {
			return rest.Answer{}, err
		}
		ids, err := d.Directory.MembersIn(c.Tx, g.TenantID, g.ObjectID, transitive)
		if err != nil {
			return rest.Answer{}, err
		}
		return d.objects(c, ids)
	}
}

func (d *door) addMember(c *rest.Call) (rest.Answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return rest.Answer{}, err
	}
	id, err := rest.Reference(c.Body)
	if err != nil {
		return rest.Answer{}, err
	}
	err = d.Directory.AddMemberIn(c.Tx, g.TenantID, g.ObjectID, id)
	if errors.Is(err, directory.ErrObjectNotFound) {
		err = wire.Missing(id)
	}
	return rest.Answer{}, err
}

func (d *door) removeMember(c *rest.Call) (rest.Answer, error) {
	g, err := d.managedGroup(c)
	if err != nil {
		return rest.Answer{}, err
	}
	err = d.Directory.RemoveMemberIn(c.Tx, g.TenantID, g.ObjectID, c.Args[1])
	if errors.Is(err, directory.ErrObjectNotFound) {
		err = wire.Missing(c.Args[1])
	}
	return rest.Answer{}, err
}

// bound takes the references out of a body that are to be made with the group: owners@odata.bind and members@odata.bind.
func bound(c *rest.Call) (owners, members []string, err error) {
	for name, ids := range map[string]*[]string{"owners@odata.bind": &owners, "members@odata.bind": &members} {
		var targets []json.RawMessage
		if err := c.Body.Into(name, &targets); err != nil {
			return nil, nil, err
		}
		for _, target := range targets {
			id, err := rest.Reference(wire.Body{"@odata.id": target})
			if err != nil {
				return nil, nil, err
			}
			*ids = append(*ids, id)
		}
		delete(c.Body, name)
	}
	if len(owners)+len(members) > 20 { // Graph's limit
		return nil, nil, wire.BadRequest("At most 20 references can be made with a group.")
	}
	return owners, members, nil
}
