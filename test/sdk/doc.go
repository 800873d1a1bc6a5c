// Package sdk signs in with the identity libraries that people's programs use, and drives the galleries with Azure's own clients.
// It is a module of its own, so that the product never depends on them, and it knows the server only from outside: the
// program, the environment that `vitrine env` prints, HTTP.
package sdk
