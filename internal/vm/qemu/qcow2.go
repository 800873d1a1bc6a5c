package qemu

import (
	"encoding/binary"
	"fmt"
	"os"

	"vitrine/internal/vm"
)

// What QEMU's docs/interop/qcow2.txt prescribes for an empty file of clusters of 64 KiB, which is qemu-img's choice too.
const (
	clusterBits   = 16
	cluster       = 1 << clusterBits
	perL1         = cluster / 8 * cluster // bytes of the disk that one entry of the L1 table stands for
	headerLength  = 104
	formatOfBase  = 0xE2792ACA // header extension: the base's format
	maxBaseName   = 1023
	refcountOrder = 4 // 16 bits each
)

// writeQCOW2 writes a disk without any cluster: header, refcount table, one refcount block, L1 table.
func writeQCOW2(f *os.File, d vm.NewDisk) error {
	if len(d.Base) > maxBaseName {
		return fmt.Errorf("the name of the base is too long for a header: %d bytes", len(d.Base))
	}
	be := binary.BigEndian
	entries := (d.Size + perL1 - 1) / perL1
	clusters := 3 + (entries*8+cluster-1)/cluster
	h := make([]byte, headerLength, 4096)
	copy(h, "QFI\xfb")
	be.PutUint32(h[4:], 3)
	be.PutUint32(h[20:], clusterBits)
	be.PutUint64(h[24:], uint64(d.Size))
	be.PutUint32(h[36:], uint32(entries))
	be.PutUint64(h[40:], 3*cluster) // L1 table
	be.PutUint64(h[48:], 1*cluster) // refcount table
	be.PutUint32(h[56:], 1)         // of one cluster
	be.PutUint32(h[96:], refcountOrder)
	be.PutUint32(h[100:], headerLength)
	if d.Base != "" {
		format := string(d.BaseFormat)
		h = be.AppendUint32(be.AppendUint32(h, formatOfBase), uint32(len(format)))
		h = append(h, format...)
		h = append(h, make([]byte, -len(format)&7)...)
	}
	h = append(h, make([]byte, 8)...) // the end of the extensions
	if d.Base != "" {
		be.PutUint64(h[8:], uint64(len(h)))
		be.PutUint32(h[16:], uint32(len(d.Base)))
		h = append(h, d.Base...)
	}
	counts := make([]byte, 2*clusters)
	for i := range clusters {
		be.PutUint16(counts[2*i:], 1)
	}
	if err := f.Truncate(clusters * cluster); err != nil {
		return err
	}
	for _, w := range []struct {
		off  int64
		data []byte
	}{{0, h}, {1 * cluster, be.AppendUint64(nil, 2*cluster)}, {2 * cluster, counts}} {
		if _, err := f.WriteAt(w.data, w.off); err != nil {
			return err
		}
	}
	return nil
}
