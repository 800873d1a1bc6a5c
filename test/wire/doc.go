// Package wire holds the golden exchanges: what goes over the wire, request and answer, in files that a person can read.
//
// testdata has a file per group of operations. The server runs in this process, with machines and networks in memory; nothing is
// booted. testdata/README.md tells the format and how an answer gets into a file.
package wire
