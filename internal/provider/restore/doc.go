// Package restore serves Microsoft.Compute/restorePointCollections, their restore points and the disk restore points in them: what
// a machine's disks held at one moment, from which disks are made (createOption Restore).
//
// It owns the documents of collections and points, and pins the manifests that points name. It does not read disks or machines:
// what they hold is asked of source.Sources, what a machine is of Machines. A disk restore point has no document of its own: it is
// a part of its point, shown at its own ID.
//
//	PUT point ─▶ rights on the machine and its disks ─▶ document ─▶ operation: freeze all disks as of one moment, pin ─▶ Succeeded
//	PUT disk, Restore ─▶ Offer ─▶ the same manifest, pinned by the disk: no byte is copied
package restore
