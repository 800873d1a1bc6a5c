// Package access drives access control and every way to sign in with the real az: roles, custom roles, locks, management groups,
// service principals by secret, certificate and federated token, people by password, device code and browser. One server, a tenant and
// an az of its own for each table, two tables at a time. docs/compatibility/access.md is written from these tables.
package access
