// Package storage drives storage accounts with the unmodified az: accounts, containers, blobs, and disks that are made of VHDs in
// them. docs/compatibility/storage.md is written from its tables.
//
//	tables of commands ─▶ az ─▶ server          what az cannot say to it, or it refuses by name, is in the tables as well
package storage
