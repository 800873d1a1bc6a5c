// Package guide executes the commands of docs/guide/first-walk.md and galleries.md, in order and in one shell, against the real program,
// the real az and a real machine, so that the guide cannot rot.
//
// A fence that begins with ```sh is executed; one with ```sh port22 needs port 22 of loopback addresses and is left
// out, by name, where another listener has it. Other fences (```console) are for reading.
package guide
