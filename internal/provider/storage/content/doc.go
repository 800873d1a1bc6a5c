// Package content keeps the blobs of storage accounts: their documents and their bytes.
//
// It owns block blobs and page blobs, the blocks that wait for a list, leases, metadata, copies, and the removal of bytes
// that nothing names any more. It knows neither ARM nor HTTP: a container is a Container value, whose unique name its
// provider invented, and what a caller may do was decided before; a condition that a request sets is a Check, asked in
// the transaction that writes.
//
//	Put Blob, Put Block ─▶ pieces of 8 MiB in the region's bucket: storage/<container>/<block>/<n>
//	Put Block List ─▶ blob document names blocks          Put Page ─▶ a sparse file of image.Store, one per page blob
//	overwritten, deleted ─▶ a note of what is left ─▶ Sweep removes the bytes after a grace
package content
