package grant

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
)

// How a client proved itself, by the claim appidacr.
const (
	unprovedACR    = "0"
	secretACR      = "1"
	certificateACR = "2"
)

// client finds the application and its service principal in the tenant. Entra tells anybody who asks whether they exist,
// and clients depend on the difference.
func (g *Grants) client(ctx context.Context, q Request) (directory.Application, directory.ServicePrincipal, error) {
	app, err := g.application(ctx, q.Client.ID, q.Tenant.ID)
	if err != nil {
		return app, directory.ServicePrincipal{}, err
	}
	if firstParty(app) {
		return app, directory.ServicePrincipal{AccountEnabled: true}, nil
	}
	sp, err := g.Directory.Principal(ctx, q.Tenant.ID, app.AppID)
	if !errors.Is(err, directory.ErrPrincipalNotFound) {
		return app, sp, err
	}
	if app.TenantID != q.Tenant.ID && !app.Multi() {
		return app, sp, unknownClient(q.Client.ID, q.Tenant.ID) // a single-tenant application is nobody's business elsewhere
	}
	return app, sp, aadsts.Fail(400, "unauthorized_client", 7000229,
		"The client application %s is missing service principal in the tenant %s. See instructions here: "+
			"https://go.microsoft.com/fwlink/?linkid=2225119", app.AppID, q.Tenant.ID)
}

func (g *Grants) application(ctx context.Context, id, tenant string) (directory.Application, error) {
	app, err := g.Directory.Application(ctx, id)
	if errors.Is(err, directory.ErrApplicationNotFound) {
		return app, unknownClient(id, tenant)
	}
	return app, err
}

func unknownClient(id, tenant string) error {
	return aadsts.Fail(400, "unauthorized_client", 700016,
		"Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been "+
			"installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your "+
			"authentication request to the wrong tenant.", aadsts.Clip(id), tenant)
}

// firstParty says whether an application is Microsoft's own, which every tenant knows without a service principal.
func firstParty(app directory.Application) bool { return app.AppID == directory.AzureCLI }

func disabledClient(app directory.Application) error {
	return aadsts.Fail(400, "unauthorized_client", 7000112, "Application '%s'(%s) is disabled.", app.AppID, app.DisplayName)
}

// publicClient refuses the grant to a client that cannot keep a secret, whether it sent one or not.
func publicClient(q Request) error {
	if q.Client.Any() {
		return unproved(q, 700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	}
	return noCredential(q)
}

func noCredential(q Request) error {
	return unproved(q, 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
}

// unproved is invalid_client: 401, and a challenge when the client tried Basic (RFC 6749, 5.2).
func unproved(q Request, code int, format string, args ...any) *aadsts.Failure {
	f := aadsts.Fail(401, "invalid_client", code, format, args...)
	if q.Client.Basic {
		return f.With("WWW-Authenticate", `Basic realm="token service", charset="UTF-8"`)
	}
	return f
}

// prove checks the one proof that a confidential client sent and gives its appidacr. Guesses are counted by source and
// client, and only hold up who guesses: an application is never locked, since anybody could lock it.
func (g *Grants) prove(ctx context.Context, q Request, app directory.Application) (string, error) {
	switch {
	case q.Client.Secret != "" && (q.Client.Assertion != "" || q.Client.Kind != ""):
		return "", aadsts.Malformed("the client authenticates in more than one way")
	case !q.Client.Any():
		return "", noCredential(q)
	}
	key := q.site() + "|" + app.AppID
	if wait := g.secrets.Wait(key); wait > 0 {
		return "", tooMany(wait)
	}
	acr, err := secretACR, error(nil)
	if q.Client.Secret != "" {
		err = g.proveSecret(ctx, q, app)
	} else {
		acr, err = certificateACR, g.proveAssertion(ctx, q, app)
	}
	if f, ok := errors.AsType[*aadsts.Failure](err); ok && f.OAuth == "invalid_client" {
		g.secrets.Count(key)
	}
	return acr, err
}

// proveUser is prove for a person's password, where a public client has nothing to prove.
func (g *Grants) proveUser(ctx context.Context, q Request, app directory.Application) (string, error) {
	if app.PublicClient || len(app.Native) > 0 {
		return g.provePublic(ctx, q, app)
	}
	return g.prove(ctx, q, app)
}

// provePublic is prove where no proof is needed. One that comes is checked all the same, unless the client must not have any.
func (g *Grants) provePublic(ctx context.Context, q Request, app directory.Application) (string, error) {
	switch {
	case !q.Client.Any():
		return unprovedACR, nil
	case app.PublicClient:
		return "", publicClient(q)
	}
	return g.prove(ctx, q, app)
}

// tooMany asks a source to wait.
func tooMany(seconds int) error {
	return aadsts.Fail(429, "temporarily_unavailable", 90055, "The server is terminating the request due to too many failed attempts "+
		"from this address. Try again in %d seconds.", seconds).With("Retry-After", strconv.Itoa(seconds))
}

func (g *Grants) proveSecret(ctx context.Context, q Request, app directory.Application) error {
	done, err := g.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = g.Directory.VerifyClientSecret(ctx, q.Tenant.ID, app.AppID, q.Client.Secret, g.Now())
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

// turn waits until one more secret or password may be judged.
func (g *Grants) turn(ctx context.Context) (done func(), err error) {
	select {
	case g.hashing <- struct{}{}:
		return func() { <-g.hashing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("login: wait to verify a secret: %w", ctx.Err())
	}
}
