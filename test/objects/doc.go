// Package objects plays an installation whose image bytes lie in an object store: the program, and versitygw as the store.
package objects
