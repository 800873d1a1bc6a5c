package graph

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func (d *door) principalRoutes() []rest.Route {
	return []rest.Route{
		rest.Get("servicePrincipals", d.listPrincipals), rest.Get("servicePrincipals/$count", d.counting(d.listPrincipals)),
		rest.Post("servicePrincipals", d.createPrincipal), rest.Get("servicePrincipals/{}", d.getPrincipal),
		rest.Patch("servicePrincipals/{}", d.changePrincipal), rest.Remove("servicePrincipals/{}", d.deletePrincipal),
		rest.Post("servicePrincipals/{}/addPassword", d.addPrincipalPassword), rest.Post("servicePrincipals/{}/removePassword", d.removePrincipalPassword),
		rest.Get("servicePrincipals/{}/owners", d.principalOwners), rest.Post("servicePrincipals/{}/owners/$ref", d.editPrincipalOwners(d.addOwner)),
		rest.Remove("servicePrincipals/{}/owners/{}/$ref", d.editPrincipalOwners(removeOwner)),
		rest.Get("servicePrincipals/{}/memberOf", d.groupsOf(d.principalEnd, false)), rest.Get("servicePrincipals/{}/transitiveMemberOf", d.groupsOf(d.principalEnd, true)),
		rest.Get("servicePrincipals/{}/ownedObjects", of(d.principalEnd, d.owned)),
	}
}

// principal finds what the first key of the path names: an object ID, or appId='…'. A service principal may always read itself.
func (d *door) principal(c *rest.Call) (consent.Principal, error) {
	key := c.Args[0]
	property, value, ok := rest.Alternate(key)
	var sp consent.Principal
	var err error
	switch {
	case !ok:
		sp, err = d.consents().Principal(c.Tx, c.Who.TenantID, key)
		value = key
	case property == "appId" && rest.IsGUID(value):
		sp, err = d.consents().ByName(c.Tx, c.Who.TenantID, value)
	case property == "appId":
		err = directory.ErrPrincipalNotFound
	default:
		return sp, wire.BadRequest("'%s' is not a key of servicePrincipals.", property)
	}
	if err != nil && !errors.Is(err, directory.ErrPrincipalNotFound) {
		return sp, err
	}
	if denied := c.MayRead(sp.ObjectID); denied != nil {
		return sp, denied
	}
	if err != nil {
		return sp, wire.Missing(value)
	}
	return sp, nil
}

// showPrincipal adds to a service principal what it takes from its application, wherever that is registered.
func (d *door) showPrincipal(c *rest.Call, sp directory.ServicePrincipal) (*entity.Entity, error) {
	if sp.HomeTenant == directory.MicrosoftServices {
		p, err := d.consents().Principal(c.Tx, sp.TenantID, sp.ObjectID)
		return entity.Principal(sp, p.Application()), err
	}
	a, err := d.Directory.ApplicationIn(c.Tx, sp.AppID)
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return nil, err
	}
	return entity.Principal(sp, a), nil
}

func (d *door) listPrincipals(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	all, err := d.candidates(c)
	if err != nil {
		return rest.Answer{}, err
	}
	var list []*entity.Entity
	for _, sp := range all {
		e, err := d.showPrincipal(c, sp)
		if err != nil {
			return rest.Answer{}, err
		}
		list = append(list, e)
	}
	return c.Listing("servicePrincipals", entity.PrincipalKind(), list)
}

// candidates are the service principals among which a filter can find some: one, when it pins a name.
func (d *door) candidates(c *rest.Call) ([]directory.ServicePrincipal, error) {
	name, ok := c.Query.Filter.Pinned("appId")
	if !ok {
		name, ok = c.Query.Filter.Pinned("servicePrincipalNames")
	}
	if !ok {
		all, err := d.Directory.PrincipalsIn(c.Tx, c.Who.TenantID)
		for _, p := range consent.Builtins(c.Who.TenantID) {
			all = append(all, p.ServicePrincipal)
		}
		return all, err
	}
	p, err := d.consents().ByName(c.Tx, c.Who.TenantID, name)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return nil, nil
	}
	return []directory.ServicePrincipal{p.ServicePrincipal}, err
}

func (d *door) getPrincipal(c *rest.Call) (rest.Answer, error) {
	sp, err := d.principal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.onePrincipal(c, sp.ServicePrincipal, 0)
}

func (d *door) onePrincipal(c *rest.Call, sp directory.ServicePrincipal, status int) (rest.Answer, error) {
	if err := c.NoExpand(); err != nil {
		return rest.Answer{}, err
	}
	e, err := d.showPrincipal(c, sp)
	out := rest.Answer{Status: status, Entity: e, Context: "servicePrincipals"}
	if status == http.StatusCreated {
		out.Location = "directoryObjects/" + sp.ObjectID + "/Microsoft.DirectoryServices.ServicePrincipal"
	}
	return out, err
}

// createPrincipal makes an application known in the tenant: its owner may do so at home, elsewhere it is an administrator's consent.
func (d *door) createPrincipal(c *rest.Call) (rest.Answer, error) {
	var appID string
	if err := c.Body.Into("appId", &appID); err != nil {
		return rest.Answer{}, err
	}
	a, err := d.Directory.ApplicationIn(c.Tx, appID)
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return rest.Answer{}, err
	}
	owner := err == nil && a.TenantID == c.Who.TenantID && c.Owns(a.Owners)
	if !owner && !c.Who.Has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator) {
		return rest.Answer{}, wire.Denied()
	}
	if err != nil || a.TenantID != c.Who.TenantID && !a.Multi() { // a single-tenant application is nobody's business elsewhere
		return rest.Answer{}, wire.BadRequest("The appId '%.64s' of the service principal does not reference a valid application object.", appID)
	}
	if _, err := d.Directory.PrincipalIn(c.Tx, c.Who.TenantID, a.AppID); err == nil {
		return rest.Answer{}, wire.Fail(http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue",
			"The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", a.AppID)
	}
	sp, err := d.Directory.CreateServicePrincipalIn(c.Tx, c.Who.TenantID, a.AppID)
	if err != nil {
		return rest.Answer{}, err
	}
	sp, err = d.Directory.ChangePrincipalIn(c.Tx, c.Who.TenantID, sp.AppID, func(p *directory.ServicePrincipal) error {
		if c.Who.User != nil {
			p.Owners = []string{c.Who.ObjectID}
		}
		return setPrincipal(c, p)
	})
	if err != nil {
		return rest.Answer{}, err
	}
	return d.onePrincipal(c, sp, http.StatusCreated)
}

// setPrincipal puts what a body says into a service principal. appId may be said again, not changed.
func setPrincipal(c *rest.Call, p *directory.ServicePrincipal) error {
	var certificates []wire.KeyCredential
	appID, name, kind := p.AppID, p.DisplayName, "Application"
	err := c.Body.Fields(map[string]any{"appId": &appID, "accountEnabled": &p.AccountEnabled, "appRoleAssignmentRequired": &p.AssignmentRequired,
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
	if err := c.Body.NotNull("accountEnabled", "appRoleAssignmentRequired"); err != nil {
		return err
	}
	if _, there := c.Body["keyCredentials"]; there {
		p.Certificates, err = wire.ReplaceKeys(p.Certificates, certificates)
	}
	return err
}

// managedPrincipal finds the service principal and makes sure that the caller may change it.
func (d *door) managedPrincipal(c *rest.Call) (directory.ServicePrincipal, error) {
	sp, err := d.principal(c)
	if err != nil {
		return sp.ServicePrincipal, err
	}
	if sp.Builtin {
		return sp.ServicePrincipal, wire.Unsupported("To change or delete '" + sp.DisplayName + "', a service principal of Microsoft's own,")
	}
	holds, err := d.holds(c, sp.ServicePrincipal)
	if err != nil {
		return sp.ServicePrincipal, err
	}
	return sp.ServicePrincipal, c.MayManageApps(sp.Owners, holds)
}

// holds lists the directory roles of a service principal, and those that its permissions on Graph stand for: whoever adds a secret to it has
// them all.
func (d *door) holds(c *rest.Call, sp directory.ServicePrincipal) ([]string, error) {
	more, err := d.consents().Powers(c.Tx, sp.TenantID, sp.ObjectID)
	return append(slices.Clone(sp.DirectoryRoles), more...), err
}

func (d *door) changePrincipal(c *rest.Call) (rest.Answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	_, err = d.Directory.ChangePrincipalIn(c.Tx, sp.TenantID, sp.AppID, func(o *directory.ServicePrincipal) error { return setPrincipal(c, o) })
	return rest.Answer{}, err
}

func (d *door) deletePrincipal(c *rest.Call) (rest.Answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, d.Directory.DeletePrincipalIn(c.Tx, sp.TenantID, sp.AppID)
}

func (d *door) addPrincipalPassword(c *rest.Call) (rest.Answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	spec, err := passwordSpec(c)
	if err != nil {
		return rest.Answer{}, err
	}
	words, s, err := d.Directory.AddPrincipalSecretIn(c.Tx, sp.TenantID, sp.AppID, spec)
	return passwordAnswer(words, s), err
}

func (d *door) removePrincipalPassword(c *rest.Call) (rest.Answer, error) {
	sp, err := d.managedPrincipal(c)
	if err != nil {
		return rest.Answer{}, err
	}
	key, err := passwordKey(c)
	if err != nil {
		return rest.Answer{}, err
	}
	_, err = d.Directory.ChangePrincipalIn(c.Tx, sp.TenantID, sp.AppID, func(p *directory.ServicePrincipal) error { return p.RemoveSecret(key) })
	return rest.Answer{}, noCredential(err, key)
}
