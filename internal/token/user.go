package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

// A User is the person for whom a token is made. A nil User in a Request means that the application acts as itself.
type User struct {
	Name       string // as shown
	UPN        string // the name to sign in with
	HomeTenant string // where the person's account lives; another than the token's tenant for a guest
	Scope      string // the delegated rights, by their names, separated by spaces
	Session    string // the family of refresh tokens to which the token belongs; ended, it takes the token with it
	Address    string // from where the person asked
}

// claims adds a person's part to an access token. Groups are not in it: rbac asks the directory, so that leaving a group
// counts at once.
func (u *User) claims(c *Claims, r Request) {
	c.IDType, c.Scope, c.SessionID, c.Methods, c.Address = "user", u.Scope, u.Session, []string{"pwd"}, u.Address
	c.Name, c.IDP = u.Name, ""
	c.Subject = pairwise(r.TenantID, r.ObjectID, r.Resource.AppID)
	if u.HomeTenant != r.TenantID {
		c.IDP = Issuer(u.HomeTenant, 1)
	}
	if c.Version == "2.0" {
		c.PreferredName = u.UPN
		return
	}
	c.UPN, c.UniqueName = u.UPN, u.UPN
	if c.IDP != "" { // a guest has no upn in the tenant that it visits
		c.UPN = ""
	}
}

// pairwise is the subject by which one application knows a person (OpenID Connect Core, 8.1).
func pairwise(tenantID, objectID, appID string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"sub", tenantID, objectID, appID}, "|")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// IDRequest says what an ID token shall say.
type IDRequest struct {
	TenantID string
	AppID    string // the client, for which alone the token is
	ObjectID string
	Nonce    string
	Version  int // of the endpoint: 1 or 2
	User     User
	Roles    []string // app roles at the client
}

// idClaims is what an ID token says. It names no client in appid or azp, so that Verify never takes it for an access
// token.
type idClaims struct {
	Audience      string   `json:"aud"`
	Issuer        string   `json:"iss"`
	IssuedAt      int64    `json:"iat"`
	NotBefore     int64    `json:"nbf"`
	Expiry        int64    `json:"exp"`
	Methods       []string `json:"amr,omitempty"`
	IDP           string   `json:"idp,omitempty"`
	Name          string   `json:"name"`
	Nonce         string   `json:"nonce,omitempty"`
	ObjectID      string   `json:"oid"`
	PreferredName string   `json:"preferred_username,omitempty"`
	Subject       string   `json:"sub"`
	TenantID      string   `json:"tid"`
	UniqueName    string   `json:"unique_name,omitempty"`
	UPN           string   `json:"upn,omitempty"`
	UniqueID      string   `json:"uti"`
	Version       string   `json:"ver"`
	Roles         []string `json:"roles,omitempty"`
}

// IssueID signs an ID token.
func (s *Service) IssueID(ctx context.Context, r IDRequest) (string, error) {
	now := s.cfg.Now()
	c := idClaims{Audience: r.AppID, Issuer: Issuer(r.TenantID, r.Version), IssuedAt: now.Add(-backdate).Unix(),
		NotBefore: now.Add(-backdate).Unix(), Expiry: now.Add(time.Hour).Unix(), Name: r.User.Name, Nonce: r.Nonce,
		ObjectID: r.ObjectID, Subject: pairwise(r.TenantID, r.ObjectID, r.AppID), TenantID: r.TenantID, UniqueID: newUniqueID(), Roles: r.Roles}
	if r.User.HomeTenant != r.TenantID {
		c.IDP = Issuer(r.User.HomeTenant, 1)
	}
	if r.Version == 2 {
		c.Version, c.PreferredName = "2.0", r.User.UPN
	} else {
		c.Version, c.UPN, c.UniqueName, c.Methods = "1.0", r.User.UPN, r.User.UPN, []string{"pwd"}
	}
	return s.sign(ctx, c)
}
