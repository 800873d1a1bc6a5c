// Package application serves Microsoft.Compute/galleries/applications and their versions: VM applications.
//
// It owns those documents, and it brings the packages of versions to where they can be used. A package is a blob of a storage
// account here, never what any other URL leads to; who may read it is decided before its bytes are read. Machines do not run
// packages: what they would do in the guest is refused there, by name.
//
//	PUT version ─▶ fetch: which links open their blobs by themselves ─▶ settle ─▶ take: rights, blobs, sizes, in the transaction
//	            ─▶ steps: package, configuration ─▶ image store, in the gallery's domain ─▶ region by region ─▶ published
package application
