// Command peers measures vitrine beside the programs that people would otherwise use, on the same data and in turns, and writes what
// came out as bench/RESULTS.md. `make bench` builds what it needs and runs it.
//
// It owns no program that it measures: each is a process of its own, ours too (this command again, as `peers work …`, or vitrine). A
// row is one kind of work; what is measured in it are lines. A peer that is not there fails the lines that need it, by name.
//
//	rows ──▶ contenders, in turns, each round begun by another ──▶ samples (wait4's CPU time, wall) ──▶ medians ──▶ lines ──▶ RESULTS.md
//	sizes 1, 4, 16 ──▶ the same ──▶ cost and slope
package main
