// Package gallery serves Microsoft.Compute/galleries with their image definitions and image versions.
//
// It owns those documents, the publishing of versions and the rule by which a reference becomes a version. It does not
// keep bytes (image does) nor know disks: where a version comes from is asked of Config.Source.
//
//	PUT version ─▶ the source's manifest pinned by the version, in the request's transaction
//	            ─▶ step own: repacked, when it lies in another tenant's domain ─▶ a step per further region: missing chunks
//	               copied, pinned there, the region is Completed and can be used ─▶ Succeeded, or Failed with the regions' reasons
//	machine, disk ── Resolve(reference, region) ─▶ exact version ── Manifest(version, LUN, region) ─▶ what to pin
package gallery
