package graph

import (
	"net/http"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

// An app role assignment is reached from both its ends: as an appRoleAssignment of the principal, and as appRoleAssignedTo of the resource.
func (d *door) appRoleRoutes() []rest.Route {
	all := []rest.Route{rest.Get("me/appRoleAssignments", d.me(d.assignments(d.userEnd, false)))}
	for path, end := range map[string]end{"servicePrincipals/{}/appRoleAssignments": d.principalEnd, "users/{}/appRoleAssignments": d.userEnd,
		"groups/{}/appRoleAssignments": d.groupEnd, "servicePrincipals/{}/appRoleAssignedTo": d.principalEnd} {
		resource := strings.HasSuffix(path, "AssignedTo")
		all = append(all, rest.Get(path, d.assignments(end, resource)), rest.Post(path, d.assign(end, resource)), rest.Get(path+"/{}", d.getAssignment(end, resource)),
			rest.Remove(path+"/{}", d.unassign(end, resource)))
	}
	return all
}

// isAt says whether an assignment has an object at that end.
func isAt(a consent.Assignment, id string, resource bool) bool {
	if resource {
		return a.ResourceID == id
	}
	return a.PrincipalID == id
}

func (d *door) assignments(find end, resource bool) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		id, err := find(c)
		if err != nil {
			return rest.Answer{}, err
		}
		all, err := d.consents().Assignments(c.Tx, c.Who.TenantID, id)
		if err != nil {
			return rest.Answer{}, err
		}
		var list []*entity.Entity
		for _, a := range all {
			if !isAt(a, id, resource) {
				continue
			}
			e, err := d.showAssignment(c, a)
			if err != nil {
				return rest.Answer{}, err
			}
			list = append(list, e)
		}
		return c.Listing("appRoleAssignments", entity.AssignmentKind(), list)
	}
}

func (d *door) showAssignment(c *rest.Call, a consent.Assignment) (*entity.Entity, error) {
	resource, err := d.consents().Principal(c.Tx, a.TenantID, a.ResourceID)
	if err != nil {
		return nil, err
	}
	o, err := d.Directory.ObjectIn(c.Tx, a.TenantID, a.PrincipalID)
	if err != nil {
		return nil, err
	}
	return entity.Assignment(a, nameOf(o), resource.DisplayName), nil
}

func nameOf(o directory.Object) string {
	switch {
	case o.User != nil:
		return o.User.DisplayName
	case o.Group != nil:
		return o.Group.DisplayName
	case o.ServicePrincipal != nil:
		return o.ServicePrincipal.DisplayName
	}
	return ""
}

// mayAssign is the right to give or take an app role. One that a service principal holds is a permission without a person, so it takes who
// may consent; one of Graph's is a right over the directory, so it takes who may give directory roles. The owner of a resource says which
// people use it.
func (d *door) mayAssign(c *rest.Call, a consent.Assignment) error {
	resource, err := d.consents().Principal(c.Tx, c.Who.TenantID, a.ResourceID)
	switch {
	case directory.IsMissing(err):
		return c.MayConsent()
	case err != nil:
		return err
	case resource.AppID == consent.GraphApp:
		return c.MayManageRoles()
	}
	if c.MayConsent() == nil {
		return nil
	}
	typ, err := d.Directory.PrincipalType(c.Tx, c.Who.TenantID, a.PrincipalID)
	if err == nil && typ != "ServicePrincipal" && c.Owns(resource.Owners) {
		return nil
	}
	return wire.Denied()
}

func (d *door) assign(find end, resource bool) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		id, err := find(c)
		if err != nil {
			return rest.Answer{}, err
		}
		a := consent.Assignment{TenantID: c.Who.TenantID, Created: d.Now().UTC()}
		if err := c.Body.Fields(map[string]any{"principalId": &a.PrincipalID, "resourceId": &a.ResourceID, "appRoleId": &a.RoleID}); err != nil {
			return rest.Answer{}, err
		}
		for name, value := range map[string]string{"principalId": a.PrincipalID, "resourceId": a.ResourceID, "appRoleId": a.RoleID} {
			if value == "" {
				return rest.Answer{}, wire.BadRequest("A value is required for property '%s' of resource 'AppRoleAssignment'.", name)
			}
		}
		a.PrincipalID, a.ResourceID = strings.ToLower(a.PrincipalID), strings.ToLower(a.ResourceID)
		if !isAt(a, id, resource) {
			return rest.Answer{}, wire.BadRequest("The object of the request's path and that of the body are not the same.")
		}
		if err := d.mayAssign(c, a); err != nil {
			return rest.Answer{}, err
		}
		if a, err = d.consents().Assign(c.Tx, a); err != nil {
			return rest.Answer{}, err
		}
		e, err := d.showAssignment(c, a)
		return rest.Answer{Status: http.StatusCreated, Entity: e, Context: "appRoleAssignments"}, err
	}
}

// assignment finds what the second key of the path names, at the end that the first one does.
func (d *door) assignment(c *rest.Call, find end, resource bool) (consent.Assignment, error) {
	id, err := find(c)
	if err != nil {
		return consent.Assignment{}, err
	}
	a, err := d.consents().Assignment(c.Tx, c.Who.TenantID, c.Args[1])
	if err == nil && !isAt(a, id, resource) {
		err = consent.ErrNotFound
	}
	return a, err
}

func (d *door) getAssignment(find end, resource bool) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		a, err := d.assignment(c, find, resource)
		if err != nil {
			return rest.Answer{}, err
		}
		e, err := d.showAssignment(c, a)
		return rest.Answer{Entity: e, Context: "appRoleAssignments"}, err
	}
}

func (d *door) unassign(find end, resource bool) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		a, err := d.assignment(c, find, resource)
		if err != nil {
			return rest.Answer{}, err
		}
		if err := d.mayAssign(c, a); err != nil {
			return rest.Answer{}, err
		}
		return rest.Answer{}, d.consents().Unassign(c.Tx, c.Who.TenantID, a.ID)
	}
}
