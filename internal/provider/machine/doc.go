// Package machine is the provider of Microsoft.Compute/virtualMachines: what a client says of a machine, and the work
// that makes it so.
//
// It owns the machine's document, its power state and its first-boot seed. It does not own images, disks, interfaces or
// processes: those come by the interfaces Images, Disks, Network and vm.Runtime, which the assembly plugs in.
//
//	PUT ─▶ image resolved, OS profile checked ─▶ machine, disks, interfaces written in one transaction ─▶ operation
//	operation: disks ─▶ network ─▶ start (with seed) ─▶ running           (undone in the other direction)
//	Reconcile: documents that want a machine to run ─▶ start it again; processes without a document ─▶ ended
//
// What a document wants (Own.Desired) is written by requests; what is comes from the runtime. A guest that powers
// itself off changes what is wanted; a crash does not.
package machine
