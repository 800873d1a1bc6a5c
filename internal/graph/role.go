package graph

import (
	"net/http"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func (d *door) roleRoutes() []rest.Route {
	return []rest.Route{
		rest.Get("directoryRoles", d.listRoles), rest.Get("directoryRoles/{}", d.getRole), rest.Post("directoryRoles", d.activateRole),
		rest.Get("directoryRoles/{}/members", d.roleMembers), rest.Post("directoryRoles/{}/members/$ref", d.addRoleMember),
		rest.Remove("directoryRoles/{}/members/{}/$ref", d.removeRoleMember), rest.Get("directoryRoleTemplates", d.listTemplates),
	}
}

// role finds what the first key of the path names: an object ID, or roleTemplateId='…'.
func (d *door) role(c *rest.Call) (directory.Role, error) {
	key := c.Args[0]
	if err := c.MayRead(""); err != nil {
		return directory.Role{}, err
	}
	if property, value, ok := rest.Alternate(key); ok && property == "roleTemplateId" {
		key = value
	}
	for _, r := range directory.Roles() {
		if strings.EqualFold(key, entity.RoleID(c.Who.TenantID, r)) || key != c.Args[0] && strings.EqualFold(key, r.Template) {
			return r, nil
		}
	}
	return directory.Role{}, wire.Missing(key)
}

func (d *door) listRoles(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	var list []*entity.Entity
	for _, r := range directory.Roles() {
		list = append(list, entity.Role(c.Who.TenantID, r))
	}
	return c.Listing("directoryRoles", entity.RoleKind(), list)
}

func (d *door) listTemplates(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	k := entity.Kind{Name: "directoryRoleTemplate"}
	var list []*entity.Entity
	for _, r := range directory.Roles() {
		k.Sample = map[string]any{"id": r.Template, "deletedDateTime": nil, "description": r.Description, "displayName": r.Name}
		list = append(list, entity.New(k, k.Sample))
	}
	return c.Listing("directoryRoleTemplates", k, list)
}

func (d *door) getRole(c *rest.Call) (rest.Answer, error) {
	r, err := d.role(c)
	return rest.Answer{Entity: entity.Role(c.Who.TenantID, r), Context: "directoryRoles"}, err
}

// activateRole answers as Entra does for a role that is active already: all are, here.
func (d *door) activateRole(c *rest.Call) (rest.Answer, error) {
	var template string
	if err := c.MayManageRoles(); err != nil {
		return rest.Answer{}, err
	}
	if err := c.Body.Fields(map[string]any{"roleTemplateId": &template}); err != nil {
		return rest.Answer{}, err
	}
	if _, ok := directory.RoleByName(template); !ok {
		return rest.Answer{}, wire.Missing(template)
	}
	return rest.Answer{}, wire.Fail(http.StatusBadRequest, "Request_BadRequest", "A conflicting object with one or more of the specified property values is present in the directory.")
}

func (d *door) roleMembers(c *rest.Call) (rest.Answer, error) {
	r, err := d.role(c)
	if err != nil {
		return rest.Answer{}, err
	}
	found, err := d.Directory.RoleHolders(c.Tx, c.Who.TenantID, r.Name)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.showAll(c, found)
}

func (d *door) addRoleMember(c *rest.Call) (rest.Answer, error) {
	r, err := d.managedRole(c)
	if err != nil {
		return rest.Answer{}, err
	}
	id, err := rest.Reference(c.Body)
	if err != nil {
		return rest.Answer{}, err
	}
	held, err := d.Directory.RolesOf(c.Tx, c.Who.TenantID, id)
	if err != nil {
		return rest.Answer{}, err
	}
	for _, name := range held {
		if name == r.Name {
			return rest.Answer{}, wire.BadRequest("One or more added object references already exist for the following modified properties: 'members'.")
		}
	}
	return rest.Answer{}, d.Directory.SetRoleIn(c.Tx, c.Who.TenantID, id, r.Name, true)
}

func (d *door) managedRole(c *rest.Call) (directory.Role, error) {
	r, err := d.role(c)
	if err != nil {
		return r, err
	}
	return r, c.MayManageRoles()
}

func (d *door) removeRoleMember(c *rest.Call) (rest.Answer, error) {
	r, err := d.managedRole(c)
	if err != nil {
		return rest.Answer{}, err
	}
	held, err := d.Directory.RolesOf(c.Tx, c.Who.TenantID, c.Args[1])
	if err != nil {
		return rest.Answer{}, err
	}
	for _, name := range held {
		if name == r.Name {
			return rest.Answer{}, d.Directory.SetRoleIn(c.Tx, c.Who.TenantID, c.Args[1], r.Name, false)
		}
	}
	return rest.Answer{}, wire.Missing(c.Args[1])
}
