// Package scope reads what a client asks for: one resource, scopes at it, and the scopes of OpenID Connect.
//
// It owns the two forms in which a request says so (a resource at version 1 of the endpoints, scopes at version 2) and how an answer repeats
// them; whether the resource is there and who allowed the scopes is grant's to say:
//
//	scope or resource of a request ──▶ Parse ──▶ Asked ──▶ grant ──▶ Granted: the member scope of the reply
package scope

import (
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/token"
)

// Asked is what a person's client wants, read from scope or resource.
type Asked struct {
	Resource string   // its name, without what follows the last slash of a scope
	Scopes   []string // as they were asked for, without the OpenID ones
	OpenID   bool
	Offline  bool
	extra    []string // the OpenID scopes
}

// Parse reads what is wanted. Version 1 names one resource; version 2 has scopes, all of one resource.
func Parse(version int, resource, scope string) (Asked, error) {
	a := Asked{Resource: resource, OpenID: version == 1, Offline: version == 1}
	if version == 1 {
		if a.Resource == "" {
			a.Resource = Graph
		}
		return a, nil
	}
	for _, s := range strings.Fields(scope) {
		if IsOpenID(s) {
			a.OpenID = a.OpenID || !strings.EqualFold(s, "offline_access")
			a.Offline = a.Offline || strings.EqualFold(s, "offline_access")
			a.extra = append(a.extra, strings.ToLower(s))
			continue
		}
		of, _ := Split(s)
		if a.Resource != "" && !strings.EqualFold(of, a.Resource) {
			return a, aadsts.Fail(400, "invalid_scope", 28000, "Provided value for the input parameter scope is not valid because it "+
				"contains more than one resource. Scope %s is not valid.", aadsts.Clip(scope))
		}
		a.Resource = of
		a.Scopes = append(a.Scopes, s)
	}
	if a.Resource == "" {
		a.Resource = Graph
	}
	return a, nil
}

// IsOpenID says whether a scope is one of OpenID Connect's own, which are of no resource.
func IsOpenID(s string) bool {
	switch strings.ToLower(s) {
	case "openid", "profile", "email", "offline_access":
		return true
	}
	return false
}

// Graph is the resource that is meant by a scope that names no resource.
const Graph = "https://graph.microsoft.com"

// Split takes "https://host//user_impersonation" and "User.Read" apart.
func Split(s string) (resource, right string) {
	i := strings.LastIndex(s, "/")
	if i < 0 {
		return Graph, s
	}
	return s[:i], s[i+1:]
}

// Rights are the delegated permissions of Microsoft's own clients, which nobody need consent to.
func (a Asked) Rights(app directory.Application) []string {
	r, _ := token.ParseResource(a.Resource)
	var named []string
	for _, s := range a.Scopes {
		if _, right := Split(s); right != ".default" && !slices.Contains(named, right) {
			named = append(named, right)
		}
	}
	switch {
	case r.API == token.ARM || r.API == token.Storage:
		return []string{Impersonation}
	case len(named) > 0:
		return named
	case r.API == token.Graph && app.AppID == directory.AzureCLI:
		return []string{"AuditLog.Read.All", "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All",
			"DelegatedPermissionGrant.ReadWrite.All", "Directory.AccessAsUser.All", "Group.ReadWrite.All", "User.ReadWrite.All"}
	}
	return []string{Impersonation}
}

// Words are the scopes that ask for the same once more.
func (a Asked) Words() string {
	scopes := a.Scopes
	if len(scopes) == 0 {
		scopes = []string{a.Resource + "/.default"}
	}
	return strings.Join(slices.Concat(scopes, a.extra), " ")
}

// Granted is the member scope of the reply. MSAL looks tokens up by it, so what was asked for must be in it, word for word.
func (a Asked) Granted(rights string) string {
	var out []string
	for _, right := range strings.Fields(rights) {
		out = append(out, a.Resource+"/"+right)
	}
	for _, s := range slices.Concat(a.Scopes, a.extra) {
		if !slices.Contains(out, s) && s != "offline_access" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

// Whole says that a request names no single scopes, so that it means what the registration lists.
func (a Asked) Whole() bool {
	return !slices.ContainsFunc(a.Scopes, func(s string) bool { _, right := Split(s); return right != ".default" })
}

// Impersonation is the one scope that each resource has: to act as the person.
const Impersonation = "user_impersonation"
