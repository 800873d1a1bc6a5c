// Package operation carries work that outlives the request which began it: importing, replicating, creating machines.
//
// It owns the operation's document, the workers and the rules of resuming. It does not know what a step does. The
// document is written in the transaction that writes the resource, so neither exists without the other:
//
//	request ──Begin(tx)──▶ document (Pending, due now) ──claim by lease──▶ worker ──▶ step, step, … ──▶ Finish(tx)
//	                                                                          │ each step's name is recorded when done
//	crash ──▶ the lease ends ──▶ another worker claims ──▶ goes on after the last recorded step
//
// An operation that has ended is kept for a while, since clients ask for its end, and then removed by Sweep. What it holds
// is bounded by the request which began it, of 4 MiB at most.
//
// A step must be safe to run twice. A step that fails with an *arm.Error ends the operation with that error; with Again
// it is tried later without counting; with anything else it is tried again a few times, and then the operation ends with
// InternalServerError, or with InsufficientStorage when the disk is full. Before a failed operation ends, its work's Undo takes back what was built outside the store.
package operation
