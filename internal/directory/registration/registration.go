// Package registration is what an application says of itself: redirect URIs, app roles, scopes, what it requires of others.
//
// It owns the forms and limits of these. It knows neither the store nor other applications, so whether a name is free is for directory to
// say:
//
//	Graph's JSON ──▶ Detail ── Check ──▶ a value that directory stores
package registration

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/directory/rule"
)

// Detail is what an application registration says of itself beyond its name.
type Detail struct {
	Description    string             `json:"description,omitempty"`
	Notes          string             `json:"notes,omitempty"`
	IdentifierURIs []string           `json:"identifierUris,omitempty"` // names by which tokens for it are asked; unique in the installation
	Web            Web                `json:"web,omitzero"`
	SPA            []string           `json:"spaRedirectUris,omitempty"`    // redirect URIs of single-page applications
	Native         []string           `json:"nativeRedirectUris,omitempty"` // redirect URIs of public clients ("publicClient" in Graph)
	AppRoles       []AppRole          `json:"appRoles,omitempty"`
	Scopes         []PermissionScope  `json:"oauth2PermissionScopes,omitempty"`
	Requires       []RequiredResource `json:"requiredResourceAccess,omitempty"`
	Tags           []string           `json:"tags,omitempty"`
	GroupClaims    string             `json:"groupMembershipClaims,omitempty"`
}

// Web is an application's web platform.
type Web struct {
	HomePage      string   `json:"homePageUrl,omitempty"`
	Logout        string   `json:"logoutUrl,omitempty"`
	RedirectURIs  []string `json:"redirectUris,omitempty"`
	ImplicitToken bool     `json:"enableAccessTokenIssuance,omitempty"` // kept for clients; the implicit flow itself is not served
	ImplicitID    bool     `json:"enableIdTokenIssuance,omitempty"`
}

// AppRole is a role that the application defines for those who call it.
type AppRole struct {
	ID                 string   `json:"id"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"` // "User", "Application"
	Description        string   `json:"description"`
	DisplayName        string   `json:"displayName"`
	IsEnabled          bool     `json:"isEnabled"`
	Origin             string   `json:"origin"`
	Value              *string  `json:"value"`
}

// PermissionScope is a delegated permission that the application defines.
type PermissionScope struct {
	ID                      string  `json:"id"`
	AdminConsentDescription string  `json:"adminConsentDescription"`
	AdminConsentDisplayName string  `json:"adminConsentDisplayName"`
	IsEnabled               bool    `json:"isEnabled"`
	Type                    string  `json:"type"`
	UserConsentDescription  *string `json:"userConsentDescription"`
	UserConsentDisplayName  *string `json:"userConsentDisplayName"`
	Value                   string  `json:"value"`
}

// RequiredResource is what an application asks of another one at consent.
type RequiredResource struct {
	ResourceAppID  string           `json:"resourceAppId"`
	ResourceAccess []ResourceAccess `json:"resourceAccess"`
}

// ResourceAccess is one permission: "Role" (the application itself) or "Scope" (on behalf of a user).
type ResourceAccess struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Limits of Entra on registrations.
const (
	maxRedirects = 256 // over all platforms
	maxURI       = 256 // characters of a redirect URI; identifier URIs have 120
	maxRoles     = 1200
	maxText      = 1024
)

// Check finds what is wrong with it, and completes it.
func (d *Detail) Check() error {
	if len(d.Description) > maxText || len(d.Notes) > maxText {
		return fmt.Errorf("description and notes have at most %d bytes: %w", maxText, rule.ErrInvalid)
	}
	if len(d.Web.RedirectURIs)+len(d.SPA)+len(d.Native) > maxRedirects {
		return fmt.Errorf("an application has at most %d redirect URIs: %w", maxRedirects, rule.ErrInvalid)
	}
	for _, platform := range []struct {
		uris   []string
		native bool
	}{{d.Web.RedirectURIs, false}, {d.SPA, false}, {d.Native, true}} {
		for _, uri := range platform.uris {
			if err := checkRedirect(uri, platform.native); err != nil {
				return err
			}
		}
	}
	if len(d.AppRoles)+len(d.Scopes) > maxRoles || len(d.Requires) > 50 || len(d.Tags) > 100 {
		return fmt.Errorf("too many roles, scopes, required resources or tags: %w", rule.ErrInvalid)
	}
	if err := checkScopes(d.Scopes); err != nil {
		return err
	}
	return checkRoles(d.AppRoles)
}

// checkRedirect takes what Entra takes: https, http on this host, and for native clients also schemes of their own.
// A wildcard or a fragment would let a code go where the application is not.
func checkRedirect(uri string, native bool) error {
	bad := func(why string) error { return fmt.Errorf("redirect URI %.300q %s: %w", uri, why, rule.ErrInvalid) }
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > maxURI || u.Scheme == "" || strings.ContainsAny(uri, "*\\") || strings.ContainsFunc(uri, rule.IsSpaceOrControl):
		return bad("is not an absolute URI without wildcards of at most 256 characters")
	case strings.Contains(uri, "#"):
		return bad("has a fragment")
	case u.User != nil:
		return bad("holds a user name")
	case slices.Contains([]string{"javascript", "data", "vbscript", "file", "blob", "about"}, u.Scheme):
		return bad("has a scheme that runs or reads something in the browser")
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case native && u.Scheme != "http" && u.Scheme != "https":
		return nil
	}
	return bad("must use https, or http on localhost")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkRoles(roles []AppRole) error {
	ids, values := map[string]bool{}, map[string]bool{}
	for i := range roles {
		r := &roles[i]
		if r.ID = rule.CanonicalID(r.ID); r.ID == "" || ids[r.ID] {
			return fmt.Errorf("app role %.64q needs an ID of its own, a GUID: %w", r.DisplayName, rule.ErrInvalid)
		}
		ids[r.ID] = true
		if r.Origin == "" {
			r.Origin = "Application"
		}
		if err := rule.CheckName("app role name", r.DisplayName); err != nil {
			return err
		}
		if r.Value != nil {
			if len(*r.Value) > 120 || strings.ContainsFunc(*r.Value, rule.IsSpaceOrControl) || values[*r.Value] {
				return fmt.Errorf("app role value %.130q must be unique and have no spaces: %w", *r.Value, rule.ErrInvalid)
			}
			values[*r.Value] = true
		}
		for _, m := range r.AllowedMemberTypes {
			if m != "User" && m != "Application" {
				return fmt.Errorf("allowedMemberTypes of an app role are User and Application, not %.32q: %w", m, rule.ErrInvalid)
			}
		}
	}
	return nil
}

func checkScopes(scopes []PermissionScope) error {
	ids, values := map[string]bool{}, map[string]bool{}
	for i := range scopes {
		s := &scopes[i]
		if s.ID = rule.CanonicalID(s.ID); s.ID == "" || ids[s.ID] {
			return fmt.Errorf("permission scope %.64q needs an ID of its own, a GUID: %w", s.Value, rule.ErrInvalid)
		}
		if s.Value == "" || len(s.Value) > 120 || strings.ContainsFunc(s.Value, rule.IsSpaceOrControl) || values[s.Value] {
			return fmt.Errorf("permission scope value %.130q must be unique and have no spaces: %w", s.Value, rule.ErrInvalid)
		}
		ids[s.ID], values[s.Value] = true, true
	}
	return nil
}
