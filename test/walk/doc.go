// Package walk tests the whole program from outside: the real az, real tokens, real bytes, a real machine.
//
// TestWalk is the published way, TestDeniedWalk what happens when a step of it is missing, TestCrash what a kill at any
// moment leaves. They need az, QEMU and the tiny guest; make test provides them.
package walk
