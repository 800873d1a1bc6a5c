package grant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/limit"
	"vitrine/internal/login/scope"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// Config says what the grants work with.
type Config struct {
	Store     *store.Store
	Directory *directory.Directory
	Tokens    *token.Service
	Log       *slog.Logger
	Now       func() time.Time
	Fetch     func(ctx context.Context, address string) ([]byte, error) // the guarded way out; nil: there is none
	Allowed   func(address string) bool                                 // issuers that the operator allows
	Passwords bool                                                      // the password grant is on
}

// Grants answers token requests and keeps the state of sign-ins. It may be used from many goroutines.
type Grants struct {
	Config
	hashing chan struct{}  // one place per core: hashing a secret is the costly part of a request from anybody
	secrets *limit.Limiter // wrong proofs of clients, by source and client
	codes   *limit.Limiter // wrong user codes, by source
	people  *limit.Limiter // wrong passwords and unknown names, by source; names have locks of their own besides
	devices *limit.Limiter // sign-ins that devices begin, by source: each is kept, and anybody may ask
	issuers *issuers
}

// New returns the grants.
func New(cfg Config) *Grants {
	return &Grants{Config: cfg, hashing: make(chan struct{}, runtime.GOMAXPROCS(0)),
		secrets: limit.New(30, 2*time.Second, cfg.Now), codes: limit.New(10, 6*time.Second, cfg.Now),
		people: limit.New(60, 2*time.Second, cfg.Now), devices: limit.New(30, 2*time.Second, cfg.Now), issuers: newIssuers(cfg)}
}

// Request is one request to the token endpoint, its form read.
type Request struct {
	Form        map[string]string
	Client      Credentials
	Version     int    // of the endpoint
	TenantName  string // as the path names it
	Tenant      directory.Tenant
	Source      string // the address that it came from
	Correlation string
}

// site is by what failures of a request are counted.
func (q Request) site() string { return limit.Site(q.Source) }

// Credentials is what a client says of itself, unproved.
type Credentials struct {
	ID        string
	Secret    string
	Assertion string
	Kind      string // client_assertion_type
	Basic     bool   // it used the Authorization header
}

// Any says whether the client sent any proof.
func (c Credentials) Any() bool { return c.Secret != "" || c.Assertion != "" || c.Kind != "" }

// Reply is what a grant hands out. What is empty is not in the answer.
type Reply struct {
	AccessToken string
	Claims      token.Claims
	Refresh     string
	IDToken     string
	ClientInfo  string
	Scope       string
}

// Common says whether a path names no tenant but a group of them.
func Common(name string) bool {
	switch strings.ToLower(name) {
	case "common", "organizations", "consumers":
		return true
	}
	return false
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// grant is the table of grant types.
func (g *Grants) grant(grantType string) func(context.Context, Request) (Reply, error) {
	switch grantType {
	case "client_credentials":
		return g.clientCredentials
	case "authorization_code":
		return g.authorizationCode
	case "refresh_token":
		return g.refreshToken
	case deviceGrant, "device_code": // az sends the long name, older clients the short one
		return g.deviceCode
	case "password":
		if g.Passwords {
			return g.password
		}
	}
	return nil
}

// Types lists the grant types that are on, for the discovery document.
func (g *Grants) Types() []string {
	types := []string{"client_credentials", "authorization_code", "refresh_token", deviceGrant}
	if g.Passwords {
		types = append(types, "password")
	}
	return types
}

// Check refuses grant types that are not served, before anything is looked up.
func (g *Grants) Check(grantType string) error {
	switch {
	case grantType == "":
		return aadsts.MissingParameter("grant_type")
	case g.grant(grantType) == nil:
		return aadsts.Fail(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", aadsts.Clip(grantType))
	}
	return nil
}

// NeedsTenant says whether a grant works only at a tenant's own endpoint. A person's tenant follows from the person.
func NeedsTenant(grantType string) bool { return grantType == "client_credentials" }

// Token answers a request that Check let through.
func (g *Grants) Token(ctx context.Context, q Request) (Reply, error) {
	reply, err := g.grant(q.Form["grant_type"])(ctx, q)
	if err != nil {
		return Reply{}, err
	}
	c := reply.Claims
	g.Log.LogAttrs(ctx, slog.LevelInfo, "token issued",
		slog.String("grant", q.Form["grant_type"]), slog.String("tenant", c.TenantID), slog.String("client", c.Client()),
		slog.String("object", c.ObjectID), slog.String("audience", c.Audience), slog.String("uti", c.UniqueID),
		slog.Time("expires", c.Expires()), slog.String("correlation", q.Correlation))
	return reply, nil
}

// sign is what a person's tokens are made of.
type sign struct {
	q        Request
	app      directory.Application
	acr      string // how the client proved itself
	person   Person // in the tenant of the token
	asked    scope.Asked
	scopes   []string // what the client may do for the person at the resource
	roles    []string // app roles of the person at the resource
	ownRoles []string // and at the client
	family   string
	refresh  string
	nonce    string
	resource token.Resource // for which the access token is, and the version of its tokens
	version  int
}

// issue makes the reply for a person who was admitted.
func (g *Grants) issue(ctx context.Context, s sign) (Reply, error) {
	user := token.User{Name: s.person.Name, UPN: s.person.UPN, HomeTenant: s.person.HomeTenant, Session: s.family, Address: s.q.Source}
	user.Scope = strings.Join(s.scopes, " ")
	var r Reply
	var err error
	r.AccessToken, r.Claims, err = g.Tokens.Issue(ctx, token.Request{TenantID: s.person.TenantID, Resource: s.resource, AppID: s.app.AppID,
		AppIDACR: s.acr, ObjectID: s.person.ObjectID, Version: s.version, User: &user, Roles: s.roles})
	if err != nil {
		return r, fmt.Errorf("login: issue a token: %w", err)
	}
	r.Scope = s.asked.Granted(user.Scope)
	if s.asked.Offline {
		r.Refresh = s.refresh
	}
	if s.asked.OpenID || s.q.Version == 1 {
		if r.IDToken, err = g.Tokens.IssueID(ctx, token.IDRequest{TenantID: s.person.TenantID, AppID: s.app.AppID, ObjectID: s.person.ObjectID,
			Nonce: s.nonce, Version: s.q.Version, User: user, Roles: s.ownRoles}); err != nil {
			return r, fmt.Errorf("login: issue an ID token: %w", err)
		}
		r.ClientInfo = clientInfo(s.person)
	}
	return r, nil
}

// clientInfo names the account to MSAL, which keys its cache by it: the same in every tenant that the person visits.
func clientInfo(p Person) string {
	doc, err := json.Marshal(struct {
		UID  string `json:"uid"`
		UTID string `json:"utid"`
	}{p.HomeObject, p.HomeTenant})
	if err != nil { // strings: cannot happen
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(doc)
}
