// Package directory keeps who exists: tenants, applications with their secrets, and service principals.
//
// It owns the rules of the directory (a name or a client ID is taken once, a single-tenant application gets no service
// principal abroad, a secret is shown once and kept hashed) and its documents in the store. It knows neither tokens nor
// roles on resources: token and authn turn a principal into proof, rbac says what it may do. Subscriptions belong to
// the resources provider. Data passes like this:
//
//	operator ── Create… / …In(tx) ──▶ Directory ──▶ store: directory/tenants/…, applications/…, serviceprincipals/…
//	login    ── VerifySecret ───────▶ Directory (hash, expiry; text never kept)
//	authn    ── Principal ──────────▶ Directory ── exists? enabled? ── read at each request, so a deletion counts at once
//
// An application is one document of the installation, and a service principal is its presence in one tenant, as in
// Entra: same client ID (appId) everywhere, another object ID in each tenant.
package directory
