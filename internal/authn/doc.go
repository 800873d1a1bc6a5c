// Package authn turns the two headers that carry tokens into a Caller.
//
// It owns the grammar of those headers, the rules that join several tokens into one caller, and the wording of the
// refusals with their WWW-Authenticate. It does not make or verify a token itself (token does), keeps no principals
// (directory does) and says nothing about rights (rbac does). Data passes like this:
//
//	Authorization                ──┐               ┌─ token: signature, issuer, time
//	x-ms-authorization-auxiliary ──┴▶ Authenticate ┼─ audience of this door?           ──▶ Caller{Primary, Auxiliary}
//	                                               └─ directory: exists, enabled?
//
// A Caller holds no token, so it can be stored with an operation and used when the tokens have long expired.
package authn
