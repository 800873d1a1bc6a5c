// Package attack sends what must be refused: one running server, two tenants, and a table of requests, each with the status and the
// error that must come back. It needs neither az nor QEMU. The table's outcome is printed with -v and kept in build/attack.txt.
package attack
