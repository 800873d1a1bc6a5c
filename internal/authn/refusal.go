package authn

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/token"
)

// anyTenant is the authority that a refusal names when it knows no tenant.
const anyTenant = "organizations"

// Challenge is the value of WWW-Authenticate for a refusal: it names the authority at which a token for the tenant is to
// be had ("" : not known). Clients read the right tenant from it.
func Challenge(tenantID, description string) string {
	if tenantID == "" {
		tenantID = anyTenant
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r > 0x7e || r == '\\':
			return -1
		}
		return r
	}, description)
	return fmt.Sprintf(`Bearer authorization_uri="https://login.microsoftonline.com/%s", error="invalid_token", error_description="%s"`,
		tenantID, clean)
}

// WrongTenant refuses a primary token of another tenant than the subscription's. Its wording is Azure's, because clients
// read the tenants from it.
func WrongTenant(tokenTenant, subscriptionTenant string) *arm.Error {
	return refusal("InvalidAuthenticationTokenTenant", subscriptionTenant, fmt.Sprintf(
		"The access token is from the wrong issuer 'https://sts.windows.net/%s/'. It must match the tenant "+
			"'https://sts.windows.net/%s/' associated with this subscription. Please use the authority (URL) "+
			"'https://login.windows.net/%s' to get the token. Note, if the subscription is transferred to another tenant "+
			"there is no impact to the services, but information about new tenant could take time to propagate (up to an "+
			"hour). If you just transferred your subscription and see this error message, please try back later.",
		tokenTenant, subscriptionTenant, subscriptionTenant))
}

func refusal(code, tenantID, message string) *arm.Error {
	e := arm.Errorf(401, code, "%s", message)
	e.Header = map[string]string{"WWW-Authenticate": Challenge(tenantID, message)}
	return e
}

// missing refuses a request without a token. Who knows whose subscription it is about may put its tenant into the
// challenge with Challenge.
func missing(message string) *arm.Error { return refusal("AuthenticationFailed", "", message) }

// untrusted refuses a token that Verify did not take. The claims are alleged, except for an expired token's.
func (a *Authenticator) untrusted(c token.Claims, err error, which string) error {
	switch {
	case errors.Is(err, token.ErrExpired):
		return refusal("ExpiredAuthenticationToken", guid(c.TenantID), fmt.Sprintf(
			"The access token expiry UTC time '%s' is earlier than current UTC time '%s'.",
			azureTime(c.Expires()), azureTime(a.cfg.Now()))+naming(c, which)).Because(err)
	case errors.Is(err, token.ErrNotYetValid):
		return a.invalid(c, which, fmt.Sprintf("it is valid from UTC time '%s' on, and the current UTC time is '%s'",
			azureTime(time.Unix(c.NotBefore, 0)), azureTime(a.cfg.Now())))
	case errors.Is(err, token.ErrUnknownKey):
		return a.invalid(c, which, token.ErrUnknownKey.Error())
	case errors.Is(err, token.ErrSignature):
		return a.invalid(c, which, token.ErrSignature.Error())
	case errors.Is(err, token.ErrIssuer):
		return a.invalid(c, which, token.ErrIssuer.Error())
	case errors.Is(err, token.ErrMalformed):
		return a.invalid(c, which, token.ErrMalformed.Error())
	}
	return fmt.Errorf("authn: verify a token: %w", err)
}

func (a *Authenticator) invalid(c token.Claims, which, why string) *arm.Error {
	return refusal("InvalidAuthenticationToken", guid(c.TenantID), "The access token is invalid: "+why+"."+naming(c, which))
}

func (a *Authenticator) wrongAudience(c token.Claims, which string) *arm.Error {
	return refusal("InvalidAuthenticationTokenAudience", guid(c.TenantID), fmt.Sprintf(
		"The access token has been obtained for wrong audience or resource '%s'. It should exactly match with one of the "+
			"allowed audiences '%s'.", c.Audience, strings.Join(token.Audiences(a.cfg.API), "','"))+naming(c, which))
}

// naming adds to the refusal of an auxiliary token which one it is, with client and tenant, as Azure documents it.
func naming(c token.Claims, which string) string {
	if which == "" {
		return ""
	}
	return fmt.Sprintf(" It is %s, of client '%s' and tenant '%s'.", which, orUnknown(c.Client()), orUnknown(c.TenantID))
}

func orUnknown(id string) string {
	if id = guid(id); id == "" {
		return "unknown"
	}
	return id
}

// guid lets only GUIDs of a token's claims into a message, since the token may be forged.
func guid(id string) string {
	if len(id) != 36 || uuid.Validate(id) != nil {
		return ""
	}
	return id
}

// azureTime writes a time as Azure's messages about tokens do: 7/10/2019 12:56:41 PM.
func azureTime(t time.Time) string { return t.UTC().Format("1/2/2006 3:04:05 PM") }
