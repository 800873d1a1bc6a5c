// Package audit is the activity log: who did what, when, from where, with which result, kept so that a change of it shows.
//
// It owns events, their keeping and the hash chain of each tenant. It does not decide what is an event: control, login and
// operator do, and what they hand over holds no bodies and no tokens. Data passes like this:
//
//	write ──Record(tx)──▶ event, in the transaction of what it tells, in the tenant's open batch
//	denial, sign-in ──Note──▶ event at once, repeats counted ──a minute later──▶ one event with the count
//	worker by lease ──▶ closes the batch ──▶ hashes it outside any write ──▶ seal, chained to the seal before
//	Verify, Export, provider/insights ◀── events and seals
//
// Commits do not wait for one another: an event carries the number of the open batch, not a hash, and writers take turns
// in the store, so that after the transaction that closes a batch nothing can join it, however early its ID is.
package audit
