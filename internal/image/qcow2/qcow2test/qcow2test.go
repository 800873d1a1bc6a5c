// Package qcow2test writes overlays as QEMU does, for tests on hosts without QEMU.
//
// It owns a writer of the least that the format needs: a header, the tables, the clusters given. Reference counts are left out,
// which reading does not need.
package qcow2test

import (
	"encoding/binary"
	"fmt"
	"os"
)

// Cluster is the size of a cluster, QEMU's default.
const Cluster = 64 << 10

// Write makes an overlay of a disk of size bytes at path. data holds clusters by number, of at most Cluster bytes each; a
// nil one is marked as zeros.
func Write(path string, size int64, data map[int64][]byte) error {
	const perTable = Cluster / 8
	be := binary.BigEndian
	tables := int((size + Cluster*perTable - 1) / (Cluster * perTable))
	file := make([]byte, 2*Cluster)
	copy(file, "QFI\xfb")
	be.PutUint32(file[4:], 3)
	be.PutUint32(file[20:], 16)
	be.PutUint64(file[24:], uint64(size))
	be.PutUint32(file[36:], uint32(tables))
	be.PutUint64(file[40:], Cluster)
	be.PutUint32(file[100:], 104)
	for number, bytes := range data {
		if number*Cluster >= size || len(bytes) > Cluster {
			return fmt.Errorf("cluster %d of %d bytes does not fit", number, len(bytes))
		}
		l1 := Cluster + number/perTable*8
		table := int64(be.Uint64(file[l1:]) &^ (1 << 63))
		if table == 0 {
			table = int64(len(file))
			be.PutUint64(file[l1:], uint64(table)|1<<63)
			file = append(file, make([]byte, Cluster)...)
		}
		entry := uint64(1)
		if bytes != nil {
			entry = uint64(len(file)) | 1<<63
			file = append(file, append(bytes[:len(bytes):len(bytes)], make([]byte, Cluster-len(bytes))...)...)
		}
		be.PutUint64(file[table+number%perTable*8:], entry)
	}
	return os.WriteFile(path, file, 0o600)
}
