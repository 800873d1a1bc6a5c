package graph

import (
	"net/http"

	"vitrine/internal/directory/consent"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func (d *door) grantRoutes() []rest.Route {
	return []rest.Route{
		rest.Get("oauth2PermissionGrants", d.listGrants), rest.Post("oauth2PermissionGrants", d.createGrant), rest.Get("oauth2PermissionGrants/{}", d.getGrant),
		rest.Patch("oauth2PermissionGrants/{}", d.changeGrant), rest.Remove("oauth2PermissionGrants/{}", d.revokeGrant),
		rest.Get("servicePrincipals/{}/oauth2PermissionGrants", d.principalGrants), rest.Get("users/{}/oauth2PermissionGrants", d.userGrants),
		rest.Get("me/oauth2PermissionGrants", d.me(d.userGrants)),
	}
}

func (d *door) consents() *consent.Consents { return consent.New(d.Directory) }

func (d *door) listGrants(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	party := ""
	for _, name := range []string{"clientId", "principalId", "resourceId"} {
		if id, ok := c.Query.Filter.Pinned(name); ok {
			party = id
			break
		}
	}
	return d.grantsOf(c, party, func(consent.Grant) bool { return true })
}

// grantsOf lists the grants of a party that fit.
func (d *door) grantsOf(c *rest.Call, party string, fits func(consent.Grant) bool) (rest.Answer, error) {
	all, err := d.consents().Grants(c.Tx, c.Who.TenantID, party)
	if err != nil {
		return rest.Answer{}, err
	}
	var list []*entity.Entity
	for _, g := range all {
		if fits(g) {
			list = append(list, entity.Grant(g))
		}
	}
	return c.Listing("oauth2PermissionGrants", entity.GrantKind(), list)
}

func (d *door) principalGrants(c *rest.Call) (rest.Answer, error) {
	sp, err := d.principal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.grantsOf(c, sp.ObjectID, func(g consent.Grant) bool { return g.ClientID == sp.ObjectID })
}

func (d *door) userGrants(c *rest.Call) (rest.Answer, error) {
	u, err := d.user(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.grantsOf(c, u.ObjectID, func(g consent.Grant) bool { return g.PrincipalID == u.ObjectID })
}

func (d *door) grant(c *rest.Call) (consent.Grant, error) {
	if err := c.MayRead(""); err != nil {
		return consent.Grant{}, err
	}
	return d.consents().Grant(c.Tx, c.Who.TenantID, c.Args[0])
}

func (d *door) getGrant(c *rest.Call) (rest.Answer, error) {
	g, err := d.grant(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Entity: entity.Grant(g), Context: "oauth2PermissionGrants"}, c.NoExpand()
}

func (d *door) createGrant(c *rest.Call) (rest.Answer, error) {
	if err := c.MayConsent(); err != nil {
		return rest.Answer{}, err
	}
	g := consent.Grant{TenantID: c.Who.TenantID}
	var principal *string
	if err := c.Body.Fields(map[string]any{"clientId": &g.ClientID, "consentType": &g.ConsentType, "principalId": &principal, "resourceId": &g.ResourceID,
		"scope": &g.Scope}); err != nil {
		return rest.Answer{}, err
	}
	for name, value := range map[string]string{"clientId": g.ClientID, "resourceId": g.ResourceID, "consentType": g.ConsentType} {
		if value == "" {
			return rest.Answer{}, wire.BadRequest("A value is required for property '%s' of resource 'OAuth2PermissionGrant'.", name)
		}
	}
	if principal != nil {
		g.PrincipalID = *principal
	}
	g, err := d.consents().Create(c.Tx, g)
	return rest.Answer{Status: http.StatusCreated, Entity: entity.Grant(g), Context: "oauth2PermissionGrants", Location: "oauth2PermissionGrants/" + g.ID}, err
}

// changeGrant replaces the scope, which is all that may change.
func (d *door) changeGrant(c *rest.Call) (rest.Answer, error) {
	if err := c.MayConsent(); err != nil {
		return rest.Answer{}, err
	}
	g, err := d.grant(c)
	if err != nil {
		return rest.Answer{}, err
	}
	scope := g.Scope
	if err := c.Body.Fields(map[string]any{"scope": &scope}); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, d.consents().SetScope(c.Tx, c.Who.TenantID, g.ID, scope)
}

func (d *door) revokeGrant(c *rest.Call) (rest.Answer, error) {
	if err := c.MayConsent(); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, d.consents().Revoke(c.Tx, c.Who.TenantID, c.Args[0])
}
