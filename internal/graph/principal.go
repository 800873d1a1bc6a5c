package graph

import (
	"errors"
	"net/http"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (d *door) principalRoutes() []route {
	return []route{
		get("servicePrincipals", d.listPrincipals), get("servicePrincipals/$count", d.counting(d.listPrincipals)),
		post("servicePrincipals", d.createPrincipal), get("servicePrincipals/{}", d.getPrincipal),
		patch("servicePrincipals/{}", d.changePrincipal), remove("servicePrincipals/{}", d.deletePrincipal),
		post("servicePrincipals/{}/addPassword", d.addPrincipalPassword), post("servicePrincipals/{}/removePassword", d.removePrincipalPassword),
		get("servicePrincipals/{}/owners", d.principalOwners), post("servicePrincipals/{}/owners/$ref", d.addPrincipalOwner),
		remove("servicePrincipals/{}/owners/{}/$ref", d.removePrincipalOwner),
		get("servicePrincipals/{}/memberOf", d.principalGroups(false)), get("servicePrincipals/{}/transitiveMemberOf", d.principalGroups(true)),
		get("servicePrincipals/{}/ownedObjects", d.principalOwned),
	}
}

// principal finds what the first key of the path names: an object ID, or appId='…'. A service principal may always read itself.
func (d *door) principal(c *call) (directory.ServicePrincipal, error) {
	key := c.args[0]
	property, value, ok := alternate(key)
	var sp directory.ServicePrincipal
	var err error
	switch {
	case !ok:
		sp, err = d.Directory.PrincipalByObjectIn(c.tx, c.who.TenantID, key)
		value = key
	case property == "appId":
		sp, err = d.Directory.PrincipalIn(c.tx, c.who.TenantID, value)
	default:
		return sp, wire.BadRequest("'%s' is not a key of servicePrincipals.", property)
	}
	if err != nil && !errors.Is(err, directory.ErrPrincipalNotFound) {
		return sp, err
	}
	if denied := c.mayRead(sp.ObjectID); denied != nil {
		return sp, denied
	}
	if err != nil {
		return sp, wire.Missing(value)
	}
	return sp, nil
}

// showPrincipal adds to a service principal what it takes from its application, wherever that is registered.
func (d *door) showPrincipal(c *call, sp directory.ServicePrincipal) (*entity.Entity, error) {
	a, err := d.Directory.ApplicationIn(c.tx, sp.AppID)
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return nil, err
	}
	return entity.Principal(sp, a), nil
}

func (d *door) listPrincipals(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	all, err := d.candidates(c)
	if err != nil {
		return answer{}, err
	}
	var list []*entity.Entity
	for _, sp := range all {
		e, err := d.showPrincipal(c, sp)
		if err != nil {
			return answer{}, err
		}
		list = append(list, e)
	}
	return c.listing("servicePrincipals", entity.PrincipalKind(), list)
}

// candidates are the service principals among which a filter can find some: one, when it pins a name.
func (d *door) candidates(c *call) ([]directory.ServicePrincipal, error) {
	name, ok := c.query.Filter.Pinned("appId")
	if !ok {
		name, ok = c.query.Filter.Pinned("servicePrincipalNames")
	}
	if !ok {
		return d.Directory.PrincipalsIn(c.tx, c.who.TenantID)
	}
	sp, err := d.Directory.PrincipalByNameIn(c.tx, c.who.TenantID, name)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return nil, nil
	}
	return []directory.ServicePrincipal{sp}, err
}

func (d *door) getPrincipal(c *call) (answer, error) {
	sp, err := d.principal(c)
	if err != nil {
		return answer{}, err
	}
	return d.onePrincipal(c, sp, 0)
}

func (d *door) onePrincipal(c *call, sp directory.ServicePrincipal, status int) (answer, error) {
	if err := c.noExpand(); err != nil {
		return answer{}, err
	}
	e, err := d.showPrincipal(c, sp)
	out := answer{status: status, entity: e, context: "servicePrincipals"}
	if status == http.StatusCreated {
		out.location = "directoryObjects/" + sp.ObjectID + "/Microsoft.DirectoryServices.ServicePrincipal"
	}
	return out, err
}

// createPrincipal makes an application known in the tenant: its owner may do so at home, elsewhere it is an administrator's consent.
func (d *door) createPrincipal(c *call) (answer, error) {
	var appID string
	if err := c.body.Into("appId", &appID); err != nil {
		return answer{}, err
	}
	a, err := d.Directory.ApplicationIn(c.tx, appID)
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return answer{}, err
	}
	owner := err == nil && a.TenantID == c.who.TenantID && c.owns(a.Owners)
	if !owner && !c.who.has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator) {
		return answer{}, wire.Denied()
	}
	if err != nil || a.TenantID != c.who.TenantID && !a.Multi() { // a single-tenant application is nobody's business elsewhere
		return answer{}, wire.BadRequest("The appId '%.64s' of the service principal does not reference a valid application object.", appID)
	}
	if _, err := d.Directory.PrincipalIn(c.tx, c.who.TenantID, a.AppID); err == nil {
		return answer{}, wire.Fail(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue",
			"The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", a.AppID)
	}
	sp, err := d.Directory.CreateServicePrincipalIn(c.tx, c.who.TenantID, a.AppID)
	if err != nil {
		return answer{}, err
	}
	sp, err = d.Directory.ChangePrincipalIn(c.tx, c.who.TenantID, sp.AppID, func(p *directory.ServicePrincipal) error {
		if c.who.user != nil {
			p.Owners = []string{c.who.ObjectID}
		}
		return c.setPrincipal(p)
	})
	if err != nil {
		return answer{}, err
	}
	return d.onePrincipal(c, sp, http.StatusCreated)
}

// setPrincipal puts what a body says into a service principal. appId may be said again, not changed.
func (c *call) setPrincipal(p *directory.ServicePrincipal) error {
	var certificates []wire.KeyCredential
	appID, name, kind := p.AppID, p.DisplayName, "Application"
	err := c.body.Fields(map[string]any{"appId": &appID, "accountEnabled": &p.AccountEnabled, "appRoleAssignmentRequired": &p.AssignmentRequired,
		"tags": &p.Tags, "notes": &p.Notes, "description": &p.Description, "keyCredentials": &certificates, "displayName": &name, "servicePrincipalType": &kind})
	switch {
	case err != nil:
		return err
	case !strings.EqualFold(appID, p.AppID):
		return wire.BadRequest("Property 'appId' is read-only and cannot be set.")
	case name != p.DisplayName:
		return wire.BadRequest("Property 'displayName' of a service principal is that of its application.")
	case kind != "Application":
		return wire.Unsupported("A service principal of type '" + wire.Clip(kind) + "'")
	}
	if _, there := c.body["keyCredentials"]; there {
		p.Certificates, err = wire.ReplaceKeys(p.Certificates, certificates)
	}
	return err
}

// managedPrincipal finds the service principal and makes sure that the caller may change it.
func (d *door) managedPrincipal(c *call) (directory.ServicePrincipal, error) {
	sp, err := d.principal(c)
	if err != nil {
		return sp, err
	}
	return sp, c.mayManageApps(sp.Owners, sp.DirectoryRoles)
}

func (d *door) changePrincipal(c *call) (answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangePrincipalIn(c.tx, sp.TenantID, sp.AppID, c.setPrincipal)
	return answer{}, err
}

func (d *door) deletePrincipal(c *call) (answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return answer{}, err
	}
	return answer{}, d.Directory.DeletePrincipalIn(c.tx, sp.TenantID, sp.AppID)
}

func (d *door) addPrincipalPassword(c *call) (answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return answer{}, err
	}
	spec, err := c.passwordSpec()
	if err != nil {
		return answer{}, err
	}
	words, s, err := d.Directory.AddPrincipalSecretIn(c.tx, sp.TenantID, sp.AppID, spec)
	return passwordAnswer(words, s), err
}

func (d *door) removePrincipalPassword(c *call) (answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return answer{}, err
	}
	key, err := c.passwordKey()
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangePrincipalIn(c.tx, sp.TenantID, sp.AppID, func(p *directory.ServicePrincipal) error { return p.RemoveSecret(key) })
	return answer{}, noCredential(err, key)
}
