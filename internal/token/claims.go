package token

import (
	"strings"
	"time"
)

// Lifetime is how long a token is valid from its issue; Entra answers expires_in 3599.
const Lifetime = 3599 * time.Second

// MaxLifetime is the most that a Request may ask for; a signing key stays known that long after its last use.
const MaxLifetime = 24 * time.Hour

// backdate is how far before its issue a token begins to be valid. Entra does the same (its tokens live 65 minutes by
// their own claims), so that a verifier whose clock is a little slow takes a fresh token. Verify itself therefore
// needs no leeway and has none: a token is refused from the second of its exp on.
const backdate = 5 * time.Minute

// Claims is what an access token says. Version 1.0 names the client in appid, version 2.0 in azp; AppID holds either.
type Claims struct {
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
	IssuedAt  int64  `json:"iat"` // seconds since 1970, as the two below
	NotBefore int64  `json:"nbf"`
	Expiry    int64  `json:"exp"`
	AppID     string `json:"appid,omitempty"`
	AppIDACR  string `json:"appidacr,omitempty"` // how the client proved itself: 0 not, 1 secret, 2 certificate
	AZP       string `json:"azp,omitempty"`
	AZPACR    string `json:"azpacr,omitempty"`
	IDP       string `json:"idp,omitempty"`
	IDType    string `json:"idtyp,omitempty"` // "app" for a service principal, "user" or absent for a user
	ObjectID  string `json:"oid"`
	Subject   string `json:"sub"`
	TenantID  string `json:"tid"`
	UniqueID  string `json:"uti"` // names the token in logs
	Version   string `json:"ver"`

	Roles []string `json:"roles,omitempty"` // app roles at the audience

	// A person's token has these too; see User.
	Name          string   `json:"name,omitempty"`
	UPN           string   `json:"upn,omitempty"`
	UniqueName    string   `json:"unique_name,omitempty"`
	PreferredName string   `json:"preferred_username,omitempty"`
	Scope         string   `json:"scp,omitempty"`
	Methods       []string `json:"amr,omitempty"`
	Address       string   `json:"ipaddr,omitempty"`
	SessionID     string   `json:"sid,omitempty"`
}

// Person says whether a person stands behind the token, and not an application by itself.
func (c Claims) Person() bool { return c.IDType == "user" }

// Client is the client ID, whichever claim holds it.
func (c Claims) Client() string {
	if c.Version == "2.0" {
		return c.AZP
	}
	return c.AppID
}

// Expires is exp as a time.
func (c Claims) Expires() time.Time { return time.Unix(c.Expiry, 0).UTC() }

// ExpiresIn is how long the token was good for when it was issued.
func (c Claims) ExpiresIn() time.Duration {
	return time.Duration(c.Expiry-c.IssuedAt)*time.Second - backdate
}

// Issuer names the issuer of a tenant's tokens of version 1 or 2.
func Issuer(tenantID string, version int) string {
	if version == 2 {
		return "https://login.microsoftonline.com/" + tenantID + "/v2.0"
	}
	return "https://sts.windows.net/" + tenantID + "/"
}

// consistent says whether version, issuer and tenant of the claims agree: a token of one tenant that names another in
// tid must not pass, although this installation signs for both with one key.
func (c Claims) consistent() bool {
	if c.TenantID == "" || strings.ToLower(c.TenantID) != c.TenantID {
		return false
	}
	switch c.Version {
	case "1.0":
		return c.Issuer == Issuer(c.TenantID, 1) && c.AppID != "" && c.AZP == ""
	case "2.0":
		return c.Issuer == Issuer(c.TenantID, 2) && c.AZP != "" && c.AppID == ""
	}
	return false
}
