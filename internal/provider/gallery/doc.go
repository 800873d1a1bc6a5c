// Package gallery serves Microsoft.Compute/galleries with their image definitions and image versions.
//
// It owns those documents, when they may be written or deleted, and the rule by which a reference becomes a version. What the
// documents are and which values they allow is in catalog; the bytes of versions are brought by publish; VM applications, with
// their packages, are in application.
//
//	PUT version ─▶ catalog.Settle ─▶ publish.Take, in the request's transaction ─▶ publish.Steps, as an operation
//	machine, disk ── Resolve(reference, region) ─▶ exact version ── Manifest(version, LUN, region) ─▶ what to pin
package gallery
