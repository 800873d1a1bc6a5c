package authorization

import (
	"context"

	"vitrine/internal/arm"
	"vitrine/internal/control"
)

const userAccessAdministrator = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"

// routes adds what is no resource: what the caller is permitted at a scope, and the way up to the tenant's root.
func (p *provider) routes(c *control.Control) {
	c.Handle(control.Route{Method: "GET", Pattern: "{scope...}/providers/Microsoft.Authorization/permissions", Do: permissions})
	c.Handle(control.Route{Method: "POST", Pattern: "/providers/Microsoft.Authorization/elevateAccess", Do: p.elevate})
}

// permissions lists what the caller's own roles give at a scope. It says nothing about what exists there.
func permissions(_ context.Context, c *control.Call) (any, error) {
	path, err := arm.ParsePath(c.Names["scope"])
	if err != nil {
		return nil, err
	}
	grants, err := c.Control.RBAC().Grants(c.Tx, c.Caller.Primary)
	if err != nil {
		return nil, err
	}
	list := grants.Permissions(path.ID)
	for i := range list {
		list[i].Actions, list[i].NotActions = some(list[i].Actions), some(list[i].NotActions)
		list[i].DataActions, list[i].NotDataActions = some(list[i].DataActions), some(list[i].NotDataActions)
	}
	return control.Raw(map[string]any{"value": list})
}

// elevate makes a Global Administrator User Access Administrator at the tenant's root, as Azure's elevateAccess does.
func (p *provider) elevate(_ context.Context, c *control.Call) (any, error) {
	who := c.Caller.Primary
	root := arm.ID{Tenant: who.TenantID}
	ok, err := p.principals.Administrator(c.Tx, who.TenantID, who.ObjectID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.Control.RBAC().Check(c.Tx, who, "Microsoft.Authorization/elevateAccess/action", root)
	}
	grants, err := c.Control.RBAC().Grants(c.Tx, who)
	if err != nil || grants.Allows("Microsoft.Authorization/roleAssignments/write", root) {
		return nil, err
	}
	return nil, GrantTo(c.Tx, root, userAccessAdministrator, who, c.Control.Now())
}
