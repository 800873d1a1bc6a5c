// Package grant answers the ways to get a token, one file per grant type.
//
// It owns what a client and a person must prove, the state between the steps of a sign-in (codes, refresh tokens, device
// codes, browser sessions; all kept by package token behind digests of their secrets), and the limits on guessing. It
// speaks no HTTP: login reads forms and renders replies and pages. Data passes like this:
//
//	POST /token ── login ── Request ──▶ Token ── table of grant types
//	                                     ├─ client: secret, certificate, federated token, or public     7000215, 700027, 70021…
//	                                     ├─ person: by code, refresh token, device code or password     50126, 50053, 50020
//	                                     ├─ resource or scope                                           70011, 500011
//	                                     └─ token.Issue ──▶ Reply
//	GET /authorize, /deviceauth ── login ── SignIn, Consent, Code, Approve ──▶ the state that Token redeems
//
// A person is one account of a home tenant, and an object of its own in each tenant that invited it. Whoever signs in
// proves to be the account; the token carries the object of the tenant that it is for.
package grant
