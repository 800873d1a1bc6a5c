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

func (d *door) applicationRoutes() []rest.Route {
	return []rest.Route{
		rest.Get("applications", d.listApplications), rest.Get("applications/$count", d.counting(d.listApplications)),
		rest.Post("applications", d.createApplication), rest.Get("applications/{}", d.getApplication),
		rest.Patch("applications/{}", d.changeApplication), rest.Remove("applications/{}", d.deleteApplication),
		rest.Post("applications/{}/addPassword", d.addApplicationPassword), rest.Post("applications/{}/removePassword", d.removeApplicationPassword),
		rest.Get("applications/{}/owners", d.applicationOwners), rest.Post("applications/{}/owners/$ref", d.editApplicationOwners(d.addOwner)),
		rest.Remove("applications/{}/owners/{}/$ref", d.editApplicationOwners(removeOwner)),
		rest.Get("applications/{}/federatedIdentityCredentials", d.listFederated), rest.Post("applications/{}/federatedIdentityCredentials", d.createFederated),
		rest.Get("applications/{}/federatedIdentityCredentials/{}", d.getFederated), rest.Patch("applications/{}/federatedIdentityCredentials/{}", d.changeFederated),
		rest.Remove("applications/{}/federatedIdentityCredentials/{}", d.deleteFederated),
	}
}

// counting is a list as its number alone.
func (d *door) counting(f func(*rest.Call) (rest.Answer, error)) func(*rest.Call) (rest.Answer, error) {
	return func(c *rest.Call) (rest.Answer, error) {
		a, err := f(c)
		a.Count = true
		return a, err
	}
}

// application finds what the first key of the path names: an object ID, or appId='…'.
func (d *door) application(c *rest.Call) (directory.Application, error) {
	key := c.Args[0]
	var a directory.Application
	var err error
	property, value, ok := rest.Alternate(key)
	switch {
	case !ok:
		a, err = d.Directory.ApplicationByObjectIn(c.Tx, c.Who.TenantID, key)
		value = key
	case property == "appId":
		a, err = d.Directory.ApplicationIn(c.Tx, value)
	default:
		return a, wire.BadRequest("'%s' is not a key of applications.", property)
	}
	if err == nil && a.TenantID == c.Who.TenantID {
		return a, nil
	}
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return a, err
	}
	if err := c.MayRead(""); err != nil { // who may not read learns nothing from the difference
		return a, err
	}
	return a, wire.Missing(value)
}

func (d *door) domain(c *rest.Call) (string, error) {
	domains, err := d.Directory.DomainsIn(c.Tx, c.Who.TenantID)
	if err != nil || len(domains) == 0 {
		return "", err
	}
	return domains[0].Name, nil
}

func (d *door) listApplications(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	domain, err := d.domain(c)
	if err != nil {
		return rest.Answer{}, err
	}
	var all []directory.Application
	if appID, ok := c.Query.Filter.Pinned("appId"); ok {
		a, err := d.Directory.ApplicationIn(c.Tx, appID)
		if err == nil && a.TenantID == c.Who.TenantID {
			all = append(all, a)
		} else if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
			return rest.Answer{}, err
		}
	} else if all, err = d.Directory.ApplicationsIn(c.Tx, c.Who.TenantID); err != nil {
		return rest.Answer{}, err
	}
	var list []*entity.Entity
	for _, a := range all {
		list = append(list, entity.Application(a, domain))
	}
	return c.Listing("applications", entity.ApplicationKind(), list)
}

func (d *door) getApplication(c *rest.Call) (rest.Answer, error) {
	a, err := d.application(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	return d.oneApplication(c, a, 0)
}

func (d *door) oneApplication(c *rest.Call, a directory.Application, status int) (rest.Answer, error) {
	if err := c.NoExpand(); err != nil {
		return rest.Answer{}, err
	}
	domain, err := d.domain(c)
	out := rest.Answer{Status: status, Entity: entity.Application(a, domain), Context: "applications"}
	if status == http.StatusCreated {
		out.Location = "directoryObjects/" + a.ObjectID + "/Microsoft.DirectoryServices.Application"
	}
	return out, err
}

func (d *door) createApplication(c *rest.Call) (rest.Answer, error) {
	if !c.Who.Member() && !c.Who.Has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator) {
		return rest.Answer{}, wire.Denied()
	}
	a := directory.Application{TenantID: c.Who.TenantID}
	if c.Who.User != nil { // the person who registers an application owns it
		a.Owners = []string{c.Who.ObjectID}
	}
	if err := c.Body.Require("Application", "displayName"); err != nil {
		return rest.Answer{}, err
	}
	secrets, err := d.secretsAtCreation(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := setApplication(c, &a); err != nil {
		return rest.Answer{}, err
	}
	if a, err = d.Directory.RegisterApplicationIn(c.Tx, a); err != nil {
		return rest.Answer{}, err
	}
	var shown []map[string]any
	for _, spec := range secrets {
		words, s, err := d.Directory.AddSecretIn(c.Tx, a.AppID, spec)
		if err != nil {
			return rest.Answer{}, err
		}
		shown = append(shown, entity.Password(s, words))
	}
	out, err := d.oneApplication(c, a, http.StatusCreated)
	if shown != nil {
		out.Entity.Props["passwordCredentials"] = shown
	}
	return out, err
}

// secretsAtCreation reads passwordCredentials, which Graph takes when an application is made, and only then.
func (d *door) secretsAtCreation(c *rest.Call) ([]directory.SecretSpec, error) {
	var wanted []wire.PasswordCredential
	if err := c.Body.Into("passwordCredentials", &wanted); err != nil {
		return nil, err
	}
	if len(wanted) > 2 {
		return nil, wire.BadRequest("At most 2 secrets can be made with an application; add others with addPassword.")
	}
	var out []directory.SecretSpec
	for _, p := range wanted {
		spec, err := p.Spec()
		if err != nil {
			return nil, err
		}
		out = append(out, spec)
	}
	delete(c.Body, "passwordCredentials")
	return out, nil
}

func (d *door) changeApplication(c *rest.Call) (rest.Answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return rest.Answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.Tx, a.AppID, func(o *directory.Application) error { return setApplication(c, o) })
	return rest.Answer{}, err
}

// manageable finds the application and makes sure that the caller may change it: what its service principal may do here counts too.
func (d *door) manageable(c *rest.Call) (directory.Application, error) {
	a, err := d.application(c)
	if err != nil {
		return a, err
	}
	sp, err := d.Directory.PrincipalIn(c.Tx, a.TenantID, a.AppID)
	if err != nil && !errors.Is(err, directory.ErrPrincipalNotFound) {
		return a, err
	}
	holds, err := d.holds(c, sp)
	if err != nil {
		return a, err
	}
	return a, c.MayManageApps(a.Owners, holds)
}

// setApplication puts what a body says into an application. Members of api, web, spa and publicClient that it does not name stay.
func setApplication(c *rest.Call, a *directory.Application) error {
	var api, web, spa, native wire.Body
	var certificates []wire.KeyCredential
	var parental parentalControl
	var ignored json.RawMessage
	err := c.Body.Fields(map[string]any{
		"displayName": &a.DisplayName, "signInAudience": &a.SignInAudience, "identifierUris": &a.IdentifierURIs, "isFallbackPublicClient": &a.PublicClient,
		"description": &a.Description, "notes": &a.Notes, "tags": &a.Tags, "groupMembershipClaims": &a.GroupClaims, "appRoles": &a.AppRoles,
		"requiredResourceAccess": &a.Requires, "keyCredentials": &certificates, "api": &api, "web": &web, "spa": &spa, "publicClient": &native,
		"parentalControlSettings": &parental, "info": &ignored, "addIns": &ignored,
	})
	if err != nil {
		return err
	}
	if err := c.Body.OnlyEmpty("info", "addIns"); err != nil {
		return err
	}
	if !parental.usual() {
		return wire.Unsupported("Property 'parentalControlSettings' other than a new application's")
	}
	if _, there := c.Body["keyCredentials"]; there {
		if a.Certificates, err = wire.ReplaceKeys(a.Certificates, certificates); err != nil {
			return err
		}
	}
	if err := setAPI(a, api); err != nil {
		return err
	}
	if err := setWeb(a, web); err != nil {
		return err
	}
	if err := spa.Fields(map[string]any{"redirectUris": &a.SPA}); err != nil {
		return err
	}
	return native.Fields(map[string]any{"redirectUris": &a.Native})
}

// parentalControl is what a client may send back as it read it, and not change.
type parentalControl struct {
	Blocked []string `json:"countriesBlockedForMinors"`
	Rule    string   `json:"legalAgeGroupRule"`
}

func (p parentalControl) usual() bool {
	return len(p.Blocked) == 0 && (p.Rule == "" || p.Rule == "Allow")
}

func setAPI(a *directory.Application, api wire.Body) error {
	var version *int
	var known, preAuthorized []json.RawMessage
	var mapped *bool
	err := api.Fields(map[string]any{"requestedAccessTokenVersion": &version, "oauth2PermissionScopes": &a.Scopes,
		"knownClientApplications": &known, "preAuthorizedApplications": &preAuthorized, "acceptMappedClaims": &mapped})
	switch {
	case err != nil:
		return err
	case len(known) > 0 || len(preAuthorized) > 0 || mapped != nil && *mapped:
		return wire.Unsupported("Of property 'api', knownClientApplications, preAuthorizedApplications or acceptMappedClaims")
	}
	if _, there := api["requestedAccessTokenVersion"]; there {
		a.TokenVersion = 0
		if version != nil {
			if *version == 0 {
				return wire.BadRequest("Invalid value specified for property 'requestedAccessTokenVersion' of resource 'Application'.")
			}
			a.TokenVersion = *version
		}
	}
	return nil
}

func setWeb(a *directory.Application, web wire.Body) error {
	var implicit wire.Body
	if err := web.OnlyEmpty("redirectUriSettings"); err != nil {
		return err
	}
	var settings json.RawMessage
	if err := web.Fields(map[string]any{"redirectUris": &a.Web.RedirectURIs, "homePageUrl": &a.Web.HomePage, "logoutUrl": &a.Web.Logout,
		"implicitGrantSettings": &implicit, "redirectUriSettings": &settings}); err != nil {
		return err
	}
	return implicit.Fields(map[string]any{"enableAccessTokenIssuance": &a.Web.ImplicitToken, "enableIdTokenIssuance": &a.Web.ImplicitID})
}

func (d *door) deleteApplication(c *rest.Call) (rest.Answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, d.Directory.DeleteApplicationIn(c.Tx, a.AppID)
}
