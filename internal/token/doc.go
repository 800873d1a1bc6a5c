// Package token makes access tokens and verifies them.
//
// It owns the claims and the wire form of a token, the audiences for which there are tokens, and the signing keys: it
// alone reads private keys, which lie sealed in the store. It does not know who may have a token (login decides) nor
// whether a principal still exists (authn asks the directory). Data passes like this:
//
//	login ── Issue(Request) ──▶ Service ── newest active key ──▶ JWT (RS256)
//	authn ── Verify(raw) ─────▶ Service ── key by kid, signature, issuer, time ──▶ Claims
//	login ── Keys ────────────▶ Service ── public halves ──▶ JWKS
//	app   ── Tend ────────────▶ Service ── next key published, old key dropped
//
// The life of a signing key, drawn for two of them. A key is published before it signs, so that a client that keeps the
// key set for a day has it in time, and stays published until the last token it signed has expired:
//
//	key 1  ──signs──────────────────────┐··verifies··┤ dropped
//	key 2             published ········└──signs────────────────────
//
// All servers of an installation share one document of keys. A server that meets an unknown key ID reads it again.
package token
