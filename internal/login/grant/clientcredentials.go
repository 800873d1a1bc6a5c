package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/scope"
	"vitrine/internal/token"
)

// clientCredentials answers the grant by which an application acts as itself.
func (g *Grants) clientCredentials(ctx context.Context, q Request) (Reply, error) {
	wanted, err := q.wantedResource()
	if err != nil {
		return Reply{}, err
	}
	app, sp, err := g.client(ctx, q)
	if err != nil {
		return Reply{}, err
	}
	if app.PublicClient {
		return Reply{}, publicClient(q)
	}
	acr, err := g.prove(ctx, q, app)
	if err != nil {
		return Reply{}, err
	}
	if !sp.AccountEnabled { // only who proved to be the client learns it
		return Reply{}, disabledClient(app)
	}
	resource, version, err := g.resource(ctx, q.Tenant.ID, wanted)
	if err != nil {
		return Reply{}, err
	}
	roles, err := g.ownRoles(ctx, sp, resource)
	if err != nil {
		return Reply{}, err
	}
	var r Reply
	r.AccessToken, r.Claims, err = g.Tokens.Issue(ctx, token.Request{TenantID: q.Tenant.ID, Resource: resource, AppID: app.AppID,
		AppIDACR: acr, ObjectID: sp.ObjectID, Version: version, Roles: roles})
	if err != nil {
		return r, fmt.Errorf("login: issue a token: %w", err)
	}
	return r, nil
}

// wantedResource reads which resource the token is for: the parameter resource in version 1, and in version 2 the one
// scope, without its "/.default". The slash before it may be doubled: az asks for a resource that ends in one.
func (q Request) wantedResource() (string, error) {
	if q.Version == 1 {
		if q.Form["resource"] == "" {
			return "", aadsts.MissingParameter("resource")
		}
		return q.Form["resource"], nil
	}
	if strings.TrimSpace(q.Form["scope"]) == "" {
		return "", aadsts.MissingParameter("scope")
	}
	// MSAL for Go sends "openid offline_access profile" here too, and Entra gives the token: there is nobody whom they could be about.
	scopes := slices.DeleteFunc(strings.Fields(q.Form["scope"]), scope.IsOpenID)
	switch {
	case len(scopes) == 0:
		scopes = []string{q.Form["scope"]}
	case len(scopes) > 1:
		return "", aadsts.Fail(400, "invalid_scope", 70011,
			"The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is "+
				"not valid. The scope %s is not valid.", aadsts.Clip(q.Form["scope"]))
	}
	resource, ok := strings.CutSuffix(scopes[0], "/.default")
	if !ok || resource == "" {
		return "", aadsts.Fail(400, "invalid_scope", 1002012,
			"The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default "+
				"suffixed to the resource identifier (application ID URI).", aadsts.Clip(scopes[0]))
	}
	return resource, nil
}

// portalAPI is a resource of the Azure portal for which az asks, and which is refused by name.
const portalAPI = "74658136-14ec-4630-ad9b-26e160ff0fc6"

// resource understands the name of a resource and gives the version of its tokens. Microsoft's APIs are in every tenant;
// an application is one where it has a service principal.
func (g *Grants) resource(ctx context.Context, tenantID, wanted string) (token.Resource, int, error) {
	unknown := aadsts.Fail(400, "invalid_resource", 500011,
		"The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been "+
			"installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your "+
			"authentication request to the wrong tenant.", aadsts.Clip(wanted), tenantID)
	if strings.EqualFold(wanted, portalAPI) {
		unknown.Text = "The resource " + portalAPI + " (the Azure portal's API, which 'az ad app permission admin-consent' calls at main.iam.ad.ext.azure.com) is not served here. " +
			"Open /" + tenantID + "/v2.0/adminconsent?client_id=… in a browser as an administrator, or use 'az ad app permission grant'."
		return token.Resource{}, 0, unknown
	}
	r, ok := token.ParseResource(wanted)
	if !ok {
		return r, 0, unknown
	}
	if r.API != token.Application {
		return r, 1, nil
	}
	sp, err := g.Directory.Principal(ctx, tenantID, r.AppID)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return r, 0, unknown
	}
	if err != nil {
		return r, 0, err
	}
	if !sp.AccountEnabled {
		return token.Resource{}, 0, aadsts.Fail(400, "invalid_resource", 500014, "The service principal for resource '%s' is disabled. This indicate that a subscription within the "+
			"tenant has lapsed, or that the administrator for this tenant has disabled the application, preventing tokens from being issued for it.", aadsts.Clip(wanted))
	}
	app, err := g.Directory.Application(ctx, r.AppID)
	return r, app.TokenVersion, err
}
