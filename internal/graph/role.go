package graph

import (
	"net/http"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (d *door) roleRoutes() []route {
	return []route{
		get("directoryRoles", d.listRoles), get("directoryRoles/{}", d.getRole), post("directoryRoles", d.activateRole),
		get("directoryRoles/{}/members", d.roleMembers), post("directoryRoles/{}/members/$ref", d.addRoleMember),
		remove("directoryRoles/{}/members/{}/$ref", d.removeRoleMember), get("directoryRoleTemplates", d.listTemplates),
	}
}

// role finds what the first key of the path names: an object ID, or roleTemplateId='…'.
func (d *door) role(c *call) (directory.Role, error) {
	key := c.args[0]
	if err := c.mayRead(""); err != nil {
		return directory.Role{}, err
	}
	if property, value, ok := alternate(key); ok && property == "roleTemplateId" {
		key = value
	}
	for _, r := range directory.Roles() {
		if strings.EqualFold(key, entity.RoleID(c.who.TenantID, r)) || key != c.args[0] && strings.EqualFold(key, r.Template) {
			return r, nil
		}
	}
	return directory.Role{}, wire.Missing(key)
}

func (d *door) listRoles(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	var list []*entity.Entity
	for _, r := range directory.Roles() {
		list = append(list, entity.Role(c.who.TenantID, r))
	}
	return c.listing("directoryRoles", entity.RoleKind(), list)
}

func (d *door) listTemplates(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	k := entity.Kind{Name: "directoryRoleTemplate"}
	var list []*entity.Entity
	for _, r := range directory.Roles() {
		k.Sample = map[string]any{"id": r.Template, "deletedDateTime": nil, "description": r.Description, "displayName": r.Name}
		list = append(list, entity.New(k, k.Sample))
	}
	return c.listing("directoryRoleTemplates", k, list)
}

func (d *door) getRole(c *call) (answer, error) {
	r, err := d.role(c)
	return answer{entity: entity.Role(c.who.TenantID, r), context: "directoryRoles"}, err
}

// activateRole answers as Entra does for a role that is active already: all are, here.
func (d *door) activateRole(c *call) (answer, error) {
	var template string
	if err := c.mayManageRoles(); err != nil {
		return answer{}, err
	}
	if err := c.body.Fields(map[string]any{"roleTemplateId": &template}); err != nil {
		return answer{}, err
	}
	if _, ok := directory.RoleByName(template); !ok {
		return answer{}, wire.Missing(template)
	}
	return answer{}, wire.Fail(http.StatusBadRequest, "Request_BadRequest", "A conflicting object with one or more of the specified property values is present in the directory.")
}

func (d *door) roleMembers(c *call) (answer, error) {
	r, err := d.role(c)
	if err != nil {
		return answer{}, err
	}
	found, err := d.Directory.RoleHolders(c.tx, c.who.TenantID, r.Name)
	if err != nil {
		return answer{}, err
	}
	return d.showAll(c, found)
}

func (d *door) addRoleMember(c *call) (answer, error) {
	r, err := d.managedRole(c)
	if err != nil {
		return answer{}, err
	}
	id, err := c.reference()
	if err != nil {
		return answer{}, err
	}
	held, err := d.Directory.RolesOf(c.tx, c.who.TenantID, id)
	if err != nil {
		return answer{}, err
	}
	for _, name := range held {
		if name == r.Name {
			return answer{}, wire.BadRequest("One or more added object references already exist for the following modified properties: 'members'.")
		}
	}
	return answer{}, d.Directory.SetRoleIn(c.tx, c.who.TenantID, id, r.Name, true)
}

func (d *door) managedRole(c *call) (directory.Role, error) {
	r, err := d.role(c)
	if err != nil {
		return r, err
	}
	return r, c.mayManageRoles()
}

func (d *door) removeRoleMember(c *call) (answer, error) {
	r, err := d.managedRole(c)
	if err != nil {
		return answer{}, err
	}
	held, err := d.Directory.RolesOf(c.tx, c.who.TenantID, c.args[1])
	if err != nil {
		return answer{}, err
	}
	for _, name := range held {
		if name == r.Name {
			return answer{}, d.Directory.SetRoleIn(c.tx, c.who.TenantID, c.args[1], r.Name, false)
		}
	}
	return answer{}, wire.Missing(c.args[1])
}
