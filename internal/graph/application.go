package graph

import (
	"encoding/json"
	"errors"
	"net/http"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (d *door) applicationRoutes() []route {
	return []route{
		get("applications", d.listApplications), get("applications/$count", d.counting(d.listApplications)),
		post("applications", d.createApplication), get("applications/{}", d.getApplication),
		patch("applications/{}", d.changeApplication), remove("applications/{}", d.deleteApplication),
		post("applications/{}/addPassword", d.addApplicationPassword), post("applications/{}/removePassword", d.removeApplicationPassword),
		get("applications/{}/owners", d.applicationOwners), post("applications/{}/owners/$ref", d.addApplicationOwner),
		remove("applications/{}/owners/{}/$ref", d.removeApplicationOwner),
		get("applications/{}/federatedIdentityCredentials", d.listFederated), post("applications/{}/federatedIdentityCredentials", d.createFederated),
		get("applications/{}/federatedIdentityCredentials/{}", d.getFederated), patch("applications/{}/federatedIdentityCredentials/{}", d.changeFederated),
		remove("applications/{}/federatedIdentityCredentials/{}", d.deleteFederated),
	}
}

// counting is a list as its number alone.
func (d *door) counting(f func(*call) (answer, error)) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		a, err := f(c)
		a.count = true
		return a, err
	}
}

// application finds what the first key of the path names: an object ID, or appId='…'.
func (d *door) application(c *call) (directory.Application, error) {
	key := c.args[0]
	var a directory.Application
	var err error
	property, value, ok := alternate(key)
	switch {
	case !ok:
		a, err = d.Directory.ApplicationByObjectIn(c.tx, c.who.TenantID, key)
		value = key
	case property == "appId":
		a, err = d.Directory.ApplicationIn(c.tx, value)
	default:
		return a, wire.BadRequest("'%s' is not a key of applications.", property)
	}
	if err == nil && a.TenantID == c.who.TenantID {
		return a, nil
	}
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return a, err
	}
	if err := c.mayRead(""); err != nil { // who may not read learns nothing from the difference
		return a, err
	}
	return a, wire.Missing(value)
}

func (d *door) domain(c *call) (string, error) {
	domains, err := d.Directory.DomainsIn(c.tx, c.who.TenantID)
	if err != nil || len(domains) == 0 {
		return "", err
	}
	return domains[0].Name, nil
}

func (d *door) listApplications(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	domain, err := d.domain(c)
	if err != nil {
		return answer{}, err
	}
	var all []directory.Application
	if appID, ok := c.query.Filter.Pinned("appId"); ok {
		a, err := d.Directory.ApplicationIn(c.tx, appID)
		if err == nil && a.TenantID == c.who.TenantID {
			all = append(all, a)
		} else if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
			return answer{}, err
		}
	} else if all, err = d.Directory.ApplicationsIn(c.tx, c.who.TenantID); err != nil {
		return answer{}, err
	}
	var list []*entity.Entity
	for _, a := range all {
		list = append(list, entity.Application(a, domain))
	}
	return c.listing("applications", entity.ApplicationKind(), list)
}

// listing answers with a collection, once the query is known to fit its type.
func (c *call) listing(context string, k entity.Kind, list []*entity.Entity) (answer, error) {
	if err := c.query.Check(k.Sample); err != nil {
		return answer{}, err
	}
	if err := c.noExpand(); err != nil {
		return answer{}, err
	}
	return answer{isList: true, list: list, context: context}, nil
}

func (c *call) noExpand() error {
	if len(c.query.Expand) > 0 {
		return wire.Unsupported("$expand=" + c.query.Expand[0])
	}
	return nil
}

func (d *door) getApplication(c *call) (answer, error) {
	a, err := d.application(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	return d.oneApplication(c, a, 0)
}

func (d *door) oneApplication(c *call, a directory.Application, status int) (answer, error) {
	if err := c.noExpand(); err != nil {
		return answer{}, err
	}
	domain, err := d.domain(c)
	out := answer{status: status, entity: entity.Application(a, domain), context: "applications"}
	if status == http.StatusCreated {
		out.location = "directoryObjects/" + a.ObjectID + "/Microsoft.DirectoryServices.Application"
	}
	return out, err
}

func (d *door) createApplication(c *call) (answer, error) {
	if !c.who.member() && !c.who.has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator) {
		return answer{}, wire.Denied()
	}
	a := directory.Application{TenantID: c.who.TenantID}
	if c.who.user != nil { // the person who registers an application owns it
		a.Owners = []string{c.who.ObjectID}
	}
	secrets, err := d.secretsAtCreation(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.setApplication(&a); err != nil {
		return answer{}, err
	}
	if a, err = d.Directory.RegisterApplicationIn(c.tx, a); err != nil {
		return answer{}, err
	}
	var shown []map[string]any
	for _, spec := range secrets {
		words, s, err := d.Directory.AddSecretIn(c.tx, a.AppID, spec)
		if err != nil {
			return answer{}, err
		}
		shown = append(shown, entity.Password(s, words))
	}
	out, err := d.oneApplication(c, a, http.StatusCreated)
	if shown != nil {
		out.entity.Props["passwordCredentials"] = shown
	}
	return out, err
}

// secretsAtCreation reads passwordCredentials, which Graph takes when an application is made, and only then.
func (d *door) secretsAtCreation(c *call) ([]directory.SecretSpec, error) {
	var wanted []wire.PasswordCredential
	if err := c.body.Into("passwordCredentials", &wanted); err != nil {
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
	delete(c.body, "passwordCredentials")
	return out, nil
}

func (d *door) changeApplication(c *call) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	_, err = d.Directory.ChangeApplicationIn(c.tx, a.AppID, c.setApplication)
	return answer{}, err
}

// manageable finds the application and makes sure that the caller may change it: what its service principal may do here counts too.
func (d *door) manageable(c *call) (directory.Application, error) {
	a, err := d.application(c)
	if err != nil {
		return a, err
	}
	sp, err := d.Directory.PrincipalIn(c.tx, a.TenantID, a.AppID)
	if err != nil && !errors.Is(err, directory.ErrPrincipalNotFound) {
		return a, err
	}
	return a, c.mayManageApps(a.Owners, sp.DirectoryRoles)
}

// setApplication puts what a body says into an application. Members of api, web, spa and publicClient that it does not name stay.
func (c *call) setApplication(a *directory.Application) error {
	var api, web, spa, native wire.Body
	var certificates []wire.KeyCredential
	var ignored json.RawMessage
	err := c.body.Fields(map[string]any{
		"displayName": &a.DisplayName, "signInAudience": &a.SignInAudience, "identifierUris": &a.IdentifierURIs, "isFallbackPublicClient": &a.PublicClient,
		"description": &a.Description, "notes": &a.Notes, "tags": &a.Tags, "groupMembershipClaims": &a.GroupClaims, "appRoles": &a.AppRoles,
		"requiredResourceAccess": &a.Requires, "keyCredentials": &certificates, "api": &api, "web": &web, "spa": &spa, "publicClient": &native,
		"parentalControlSettings": &ignored, "info": &ignored, "addIns": &ignored,
	})
	if err != nil {
		return err
	}
	if err := c.body.OnlyEmpty("info", "addIns"); err != nil {
		return err
	}
	if _, there := c.body["keyCredentials"]; there {
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
	var settings json.RawMessage
	if err := web.Fields(map[string]any{"redirectUris": &a.Web.RedirectURIs, "homePageUrl": &a.Web.HomePage, "logoutUrl": &a.Web.Logout,
		"implicitGrantSettings": &implicit, "redirectUriSettings": &settings}); err != nil {
		return err
	}
	return implicit.Fields(map[string]any{"enableAccessTokenIssuance": &a.Web.ImplicitToken, "enableIdTokenIssuance": &a.Web.ImplicitID})
}

func (d *door) deleteApplication(c *call) (answer, error) {
	a, err := d.manageable(c)
	if err != nil {
		return answer{}, err
	}
	return answer{}, d.Directory.DeleteApplicationIn(c.tx, a.AppID)
}
