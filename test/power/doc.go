// Package power cuts the power of the disk under an image store, and looks at what is left.
//
// It owns a disk that forgets: ext4 on a loop device on QEMU's blklogwrites, which writes down every write and every flush in their order.
// A store works on it and notes, with each acknowledgement, how long that log was. Any moment of the log can then be the one at which the
// power went: what was written before the last flush is there, of what came after it a random part.
//
//	image store ─▶ ext4 ─▶ loop ─▶ qemu-storage-daemon ─▶ log ── cut at n, seed ──▶ another disk ─▶ ext4 ─▶ image store ─▶ all acknowledged?
package power
