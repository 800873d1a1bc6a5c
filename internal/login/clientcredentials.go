package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/token"
)

// clientCredentials answers the grant by which an application acts as itself.
func (d *door) clientCredentials(q tokenRequest) error {
	wanted, err := q.wantedResource()
	if err != nil {
		return err
	}
	app, sp, err := d.client(q)
	if err != nil {
		return err
	}
	if err := d.proveSecret(q, app); err != nil {
		return err
	}
	if !sp.AccountEnabled { // only who proved to be the client learns it
		return fail(http.StatusBadRequest, "unauthorized_client", 7000112, "Application '%s'(%s) is disabled.", app.AppID, app.DisplayName)
	}
	resource, version, err := d.resource(q.r.Context(), q.tenant, wanted)
	if err != nil {
		return err
	}
	return d.issue(q, token.Request{TenantID: q.tenant.ID, Resource: resource, AppID: app.AppID, AppIDACR: "1",
		ObjectID: sp.ObjectID, Version: version})
}

// client finds the application and its service principal in the tenant. Entra tells anybody who asks whether they exist,
// and clients depend on the difference.
func (d *door) client(q tokenRequest) (directory.Application, directory.ServicePrincipal, error) {
	ctx := q.r.Context()
	unknown := fail(http.StatusBadRequest, "unauthorized_client", 700016,
		"Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been "+
			"installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your "+
			"authentication request to the wrong tenant.", clip(q.client.id), q.tenant.ID)
	app, err := d.Directory.Application(ctx, q.client.id)
	if errors.Is(err, directory.ErrApplicationNotFound) {
		return app, directory.ServicePrincipal{}, unknown
	}
	if err != nil {
		return app, directory.ServicePrincipal{}, err
	}
	if app.PublicClient {
		return app, directory.ServicePrincipal{}, publicClient(q)
	}
	sp, err := d.Directory.Principal(ctx, q.tenant.ID, app.AppID)
	if !errors.Is(err, directory.ErrPrincipalNotFound) {
		return app, sp, err
	}
	if app.TenantID != q.tenant.ID && !app.Multi() {
		return app, sp, unknown // a single-tenant application is nobody's business elsewhere
	}
	return app, sp, fail(http.StatusBadRequest, "unauthorized_client", 7000229,
		"The client application %s is missing service principal in the tenant %s. See instructions here: "+
			"https://go.microsoft.com/fwlink/?linkid=2225119", app.AppID, q.tenant.ID)
}

// publicClient refuses the grant to a client that cannot keep a secret, whether it sent one or not.
func publicClient(q tokenRequest) error {
	if q.client.secret != "" || q.client.assertion {
		return unproved(q, 700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	}
	return noCredential(q)
}

func noCredential(q tokenRequest) error {
	return unproved(q, 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
}

// unproved is invalid_client: 401, and a challenge when the client tried Basic (RFC 6749, 5.2).
func unproved(q tokenRequest, code int, format string, args ...any) *failure {
	f := fail(http.StatusUnauthorized, "invalid_client", code, format, args...)
	if q.client.basic {
		f.header = map[string]string{"WWW-Authenticate": `Basic realm="token service", charset="UTF-8"`}
	}
	return f
}

func (d *door) proveSecret(q tokenRequest, app directory.Application) error {
	switch {
	case q.client.assertion:
		return fail(http.StatusBadRequest, "invalid_request", 0, "Certificates and federated credentials (client_assertion) are "+
			"not supported by this server yet. Use a client secret.")
	case q.client.secret == "":
		return noCredential(q)
	}
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
	case <-q.r.Context().Done():
		return fmt.Errorf("login: wait to verify a secret: %w", q.r.Context().Err())
	}
	_, err := d.Directory.VerifySecret(q.r.Context(), app.AppID, q.client.secret, d.Now())
	switch {
	case errors.Is(err, directory.ErrExpiredSecret):
		return unproved(q, 7000222, "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create "+
			"new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added "+
			"security: https://aka.ms/certCreds.", app.AppID)
	case errors.Is(err, directory.ErrWrongSecret):
		return unproved(q, 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client "+
			"secret value, not the client secret ID, for a secret added to app '%s'.", app.AppID)
	}
	return err
}

// wantedResource reads which resource the token is for: the parameter resource in version 1, and in version 2 the one
// scope, without its "/.default". The slash before it may be doubled: az asks for a resource that ends in one.
func (q tokenRequest) wantedResource() (string, error) {
	if q.version == 1 {
		if q.form["resource"] == "" {
			return "", missingParameter("resource")
		}
		return q.form["resource"], nil
	}
	scopes := strings.Fields(q.form["scope"])
	switch {
	case len(scopes) == 0:
		return "", missingParameter("scope")
	case len(scopes) > 1:
		return "", fail(http.StatusBadRequest, "invalid_scope", 70011,
			"The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is "+
				"not valid. The scope %s is not valid.", clip(q.form["scope"]))
	}
	resource, ok := strings.CutSuffix(scopes[0], "/.default")
	if !ok || resource == "" {
		return "", fail(http.StatusBadRequest, "invalid_scope", 1002012,
			"The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default "+
				"suffixed to the resource identifier (application ID URI).", clip(scopes[0]))
	}
	return resource, nil
}

// resource understands the name of a resource and gives the version of its tokens. Microsoft's APIs are in every tenant;
// an application is one where it has a service principal.
func (d *door) resource(ctx context.Context, t directory.Tenant, wanted string) (token.Resource, int, error) {
	unknown := fail(http.StatusBadRequest, "invalid_resource", 500011,
		"The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been "+
			"installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your "+
			"authentication request to the wrong tenant.", clip(wanted), t.ID)
	r, ok := token.ParseResource(wanted)
	if !ok {
		return r, 0, unknown
	}
	if r.API != token.Application {
		return r, 1, nil
	}
	_, err := d.Directory.Principal(ctx, t.ID, r.AppID)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return r, 0, unknown
	}
	if err != nil {
		return r, 0, err
	}
	app, err := d.Directory.Application(ctx, r.AppID)
	return r, app.TokenVersion, err
}
