package authn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/token"
)

// Header is where the values of a request's header are read; net/http's Header is one.
type Header interface {
	Values(name string) []string
}

// Config says what an Authenticator works with.
type Config struct {
	Tokens    *token.Service
	Directory *directory.Directory
	API       token.API        // whose audiences are accepted; token.ARM when empty
	Now       func() time.Time // time.Now; the clock of Tokens should be the same
}

// Authenticator answers who sent a request. It may be used from many goroutines.
type Authenticator struct{ cfg Config }

// New returns an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.API == "" {
		cfg.API = token.ARM
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Authenticator{cfg: cfg}
}

// Authenticate proves every token of a request and joins them into one caller. A refusal is an *arm.Error with status
// 401 and WWW-Authenticate. An auxiliary token must be as good as the primary one and of the same application; one for
// a tenant that the request does not touch is kept and simply not used. Other errors are faults of ours.
func (a *Authenticator) Authenticate(ctx context.Context, h Header) (Caller, error) {
	raw, err := a.primary(h.Values(PrimaryHeader))
	if err != nil {
		return Caller{}, err
	}
	credentials, fault := splitAuxiliary(h.Values(AuxiliaryHeader))
	if fault != "" {
		return Caller{}, refusal("InvalidAuthenticationToken", "", fault)
	}
	p, err := a.principal(ctx, raw, "")
	if err != nil {
		return Caller{}, err
	}
	caller := Caller{Primary: p}
	for i, credential := range credentials {
		aux, err := a.auxiliary(ctx, credential, i+1, caller.Primary)
		if err != nil {
			return Caller{}, err
		}
		if _, known := caller.In(aux.TenantID); !known {
			caller.Auxiliary = append(caller.Auxiliary, aux)
		}
	}
	return caller, nil
}

// primary reads the one credential of Authorization. Two of them would leave open whom to believe.
func (a *Authenticator) primary(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", missing("Authentication failed. The 'Authorization' header is missing.")
	case len(values) > 1:
		return "", refusal("InvalidAuthenticationToken", "", "The 'Authorization' header is given more than once.")
	case values[0] == "":
		return "", missing("Authentication failed. The 'Authorization' header is missing the access token.")
	}
	raw, fault := bearer(values[0])
	if fault != "" {
		return "", refusal("InvalidAuthenticationToken", "", fault)
	}
	return raw, nil
}

func (a *Authenticator) auxiliary(ctx context.Context, credential string, position int, primary Principal) (Principal, error) {
	which := fmt.Sprintf("auxiliary token %d of the header '%s'", position, AuxiliaryHeader)
	raw, fault := bearer(credential)
	if fault != "" {
		return Principal{}, refusal("InvalidAuthenticationToken", "", fault+" It is "+which+".")
	}
	p, err := a.principal(ctx, raw, which)
	if err != nil {
		return Principal{}, err
	}
	if p.AppID == primary.AppID && !p.Same(primary) {
		return Principal{}, refusal("InvalidAuthenticationToken", p.TenantID, fmt.Sprintf(
			"The access token is of the identity '%s' whose home is tenant '%s', but the request was authenticated as the identity '%s' whose home "+
				"is tenant '%s'; all access tokens of a request must be of one identity. It is %s.",
			p.Client(), p.HomeTenant, primary.Client(), primary.HomeTenant, which))
	}
	if p.AppID != primary.AppID {
		return Principal{}, refusal("InvalidAuthenticationToken", p.TenantID, fmt.Sprintf(
			"The access token is of client '%s' and tenant '%s', but the request was authenticated as client '%s' of tenant '%s'; "+
				"all access tokens of a request must be of one application. It is %s.",
			p.AppID, p.TenantID, primary.AppID, primary.TenantID, which))
	}
	return p, nil
}

// principal proves one token. which names an auxiliary one and is empty for the primary.
func (a *Authenticator) principal(ctx context.Context, raw, which string) (Principal, error) {
	claims, err := a.cfg.Tokens.Verify(ctx, raw)
	if err != nil {
		return Principal{}, a.untrusted(claims, err, which)
	}
	// Not only the API but each audience by itself is compared: ParseResource understands no other form.
	if r, ok := token.ParseResource(claims.Audience); !ok || r.API != a.cfg.API {
		return Principal{}, a.wrongAudience(claims, which)
	}
	if claims.Person() {
		return a.user(ctx, claims, which)
	}
	return a.application(ctx, claims, which)
}

// application is the service principal behind a token that an application has for itself.
func (a *Authenticator) application(ctx context.Context, claims token.Claims, which string) (Principal, error) {
	sp, err := a.cfg.Directory.Principal(ctx, claims.TenantID, claims.Client())
	if err != nil && !errors.Is(err, directory.ErrPrincipalNotFound) {
		return Principal{}, fmt.Errorf("authn: look up principal: %w", err)
	}
	// The object ID is compared because a principal that was deleted and made anew is another one.
	if err != nil || sp.ObjectID != claims.ObjectID || claims.IDType != "app" {
		return Principal{}, a.invalid(claims, which, fmt.Sprintf(
			"its service principal '%s' does not exist in tenant '%s'", claims.ObjectID, claims.TenantID))
	}
	if !sp.AccountEnabled {
		return Principal{}, a.invalid(claims, which, fmt.Sprintf(
			"its service principal '%s' is disabled in tenant '%s'", claims.ObjectID, claims.TenantID))
	}
	return Principal{TenantID: sp.TenantID, ObjectID: sp.ObjectID, AppID: sp.AppID, Name: sp.DisplayName,
		Kind: ServicePrincipal, HomeTenant: sp.HomeTenant, TokenID: claims.UniqueID}, nil
}

// client looks whether the application that holds a person's token is still in the tenant and enabled there. The CLI is in every tenant.
func (a *Authenticator) client(ctx context.Context, claims token.Claims, which string) error {
	if claims.Client() == directory.AzureCLI {
		return nil
	}
	sp, err := a.cfg.Directory.Principal(ctx, claims.TenantID, claims.Client())
	switch {
	case errors.Is(err, directory.ErrPrincipalNotFound) || err == nil && !sp.AccountEnabled:
		return a.invalid(claims, which, fmt.Sprintf("its application '%s' is not in tenant '%s' any more, or is disabled there", claims.Client(), claims.TenantID))
	case err != nil:
		return fmt.Errorf("authn: look up client: %w", err)
	}
	return nil
}

// user is the person behind a token. It must exist and be enabled, at home too, and the sign-in that the token comes from must not
// have ended.
func (a *Authenticator) user(ctx context.Context, claims token.Claims, which string) (Principal, error) {
	u, home, err := a.cfg.Directory.ActiveUser(ctx, claims.TenantID, claims.ObjectID)
	switch {
	case errors.Is(err, directory.ErrUserNotFound):
		return Principal{}, a.invalid(claims, which, fmt.Sprintf("its user '%s' does not exist in tenant '%s'", claims.ObjectID, claims.TenantID))
	case errors.Is(err, directory.ErrDisabled):
		return Principal{}, a.invalid(claims, which, fmt.Sprintf("its user '%s' is disabled in tenant '%s'", claims.ObjectID, claims.TenantID))
	case err != nil:
		return Principal{}, fmt.Errorf("authn: look up user: %w", err)
	}
	if err := a.client(ctx, claims, which); err != nil {
		return Principal{}, err
	}
	alive, err := a.cfg.Tokens.Alive(ctx, claims)
	if err != nil {
		return Principal{}, fmt.Errorf("authn: look up sign-in: %w", err)
	}
	if !alive || claims.SessionID == "" {
		return Principal{}, a.invalid(claims, which, "the sign-in that it comes from was revoked")
	}
	return Principal{TenantID: u.TenantID, ObjectID: u.ObjectID, AppID: claims.Client(), Name: home.UserPrincipalName, Kind: User,
		HomeTenant: home.TenantID, HomeObject: home.ObjectID, TokenID: claims.UniqueID, Scope: claims.Scope}, nil
}
