// Package disk serves Microsoft.Compute/disks and snapshots: empty ones, uploads by a signed URL, disks from image versions, copies,
// imports.
//
// It owns the documents of disks and snapshots and of the grants by which clients reach their bytes. It does not keep bytes (image
// does), answer signed URLs (dataplane asks Grant here), or run machines (machine calls Create, Attach, Materialise).
//
//	PUT Upload ─▶ ReadyToUpload ─ beginGetAccess Write ─▶ grant, sparse file ◀── Put Page ── dataplane
//	                              endGetAccess ─▶ footer checked, packed into the tenant's domain, pinned ─▶ Unattached
//	PUT FromImage, Copy, Restore ─▶ the same manifest, pinned by the new disk's ID: no byte is copied
//	PUT Copy of a disk on which a machine ran ─▶ Freeze: overlay over chunks ─▶ a manifest of its own
//	Materialise ─▶ Base of the manifest + DIR/disks/<uniqueId>/disk.qcow2, the overlay that a machine writes to
package disk
