package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

func qcow2(change func([]byte)) []byte {
	b := make([]byte, 4096)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], 1<<20)
	be.PutUint32(b[100:], 104)
	change(b)
	return b
}

func vmdk(descriptor string, change func([]byte)) []byte {
	return goodVMDK(func(b []byte) {
		clear(b[512 : 21*512])
		copy(b[512:], descriptor)
		change(b)
	})
}

const goodDescriptor = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW 2048 SPARSE \"x.vmdk\"\n"

func fixed(size int64, change func([]byte)) []byte {
	f := VHDFooter(size)
	change(f[:])
	binary.BigEndian.PutUint32(f[64:], checksum(f[:]))
	return append(make([]byte, size), f[:]...)
}

func same([]byte) {}

func ext(kind uint32, n uint32) func([]byte) {
	return func(b []byte) {
		binary.BigEndian.PutUint32(b[104:], kind)
		binary.BigEndian.PutUint32(b[108:], n)
	}
}

// corpus has the hostile files and what is said to each; an empty reason means that it is taken.
func corpus() map[string]struct {
	data []byte
	want string
} {
	be, le := binary.BigEndian, binary.LittleEndian
	return map[string]struct {
		data []byte
		want string
	}{
		"raw":                        {make([]byte, 1024), "raw 1024"},
		"raw, odd":                   {make([]byte, 1000), string(AbsurdSize)},
		"empty":                      {nil, string(AbsurdSize)},
		"qcow2":                      {qcow2(same), "qcow2 1048576"},
		"qcow2, backing file":        {qcow2(func(b []byte) { be.PutUint64(b[8:], 200); be.PutUint32(b[16:], 5) }), string(BackingFile)},
		"qcow2, backing length only": {qcow2(func(b []byte) { be.PutUint32(b[16:], 5) }), string(BackingFile)},
		"qcow2, external data":       {qcow2(func(b []byte) { be.PutUint64(b[72:], 4) }), string(BackingFile)},
		"qcow2, data file name":      {qcow2(ext(0x44415441, 8)), string(BackingFile)},
		"qcow2, backing format":      {qcow2(ext(0xE2792ACA, 8)), string(BackingFile)},
		"qcow2, lying extension":     {qcow2(ext(0x6803f857, 1<<31)), string(Damaged)},
		"qcow2, corrupt bit":         {qcow2(func(b []byte) { be.PutUint64(b[72:], 2) }), string(Damaged)},
		"qcow2, unknown feature":     {qcow2(func(b []byte) { be.PutUint64(b[72:], 1<<9) }), string(Unsupported)},
		"qcow2, encrypted":           {qcow2(func(b []byte) { be.PutUint32(b[32:], 1) }), string(Encrypted)},
		"qcow2, version 9":           {qcow2(func(b []byte) { be.PutUint32(b[4:], 9) }), string(Unsupported)},
		"qcow2, clusters":            {qcow2(func(b []byte) { be.PutUint32(b[20:], 40) }), string(Damaged)},
		"qcow2, snapshots":           {qcow2(func(b []byte) { be.PutUint32(b[60:], 1) }), string(Snapshots)},
		"qcow2, no size":             {qcow2(func(b []byte) { be.PutUint64(b[24:], 0) }), string(AbsurdSize)},
		"qcow2, 16 EiB":              {qcow2(func(b []byte) { be.PutUint64(b[24:], 1<<64-512) }), string(AbsurdSize)},
		"qcow2, header length":       {qcow2(func(b []byte) { be.PutUint32(b[100:], 1<<30) }), string(Damaged)},
		"qcow2, truncated":           {qcow2(same)[:60], string(Truncated)},
		"qcow2, truncated v3":        {qcow2(same)[:90], string(Truncated)},
		"vhdx":                       {goodVHDX(same), "vhdx 3145728"},
		"vhdx, truncated":            {[]byte("vhdxfile"), string(Truncated)},
		"vmdk":                       {vmdk(goodDescriptor, same), "vmdk 1048576"},
		"vmdk, descriptor alone":     {[]byte(goodDescriptor + strings.Repeat(" ", 512)), string(BackingFile)},
		"vmdk, descriptor, spaced":   {[]byte("\n\t" + goodDescriptor + strings.Repeat(" ", 512)), string(BackingFile)},
		"vmdk, flat extent":          {vmdk(strings.Replace(goodDescriptor, "SPARSE", "FLAT", 1), same), string(BackingFile)},
		"vmdk, two extents":          {vmdk(goodDescriptor+"RW 2048 SPARSE \"/etc/passwd\"\n", same), string(Unsupported)},
		"vmdk, parent":               {vmdk(strings.Replace(goodDescriptor, "ffffffff", "12345678", 1), same), string(BackingFile)},
		"vmdk, parent's name":        {vmdk(goodDescriptor+"parentFileNameHint=\"/etc/passwd\"\n", same), string(BackingFile)},
		"vmdk, type":                 {vmdk(strings.Replace(goodDescriptor, "monolithicSparse", "vmfs", 1), same), string(BackingFile)},
		"vmdk, no descriptor":        {vmdk(goodDescriptor, func(b []byte) { le.PutUint64(b[28:], 0) }), string(Damaged)},
		"vmdk, descriptor outside":   {vmdk(goodDescriptor, func(b []byte) { le.PutUint64(b[28:], 1<<60) }), string(Damaged)},
		"vmdk, huge descriptor":      {vmdk(goodDescriptor, func(b []byte) { le.PutUint64(b[36:], 1<<60) }), string(Damaged)},
		"vmdk, absurd":               {vmdk(goodDescriptor, func(b []byte) { le.PutUint64(b[12:], 1<<63) }), string(AbsurdSize)},
		"vmdk, truncated":            {vmdk(goodDescriptor, same)[:100], string(Truncated)},
		"vmdk, ESX":                  {append([]byte("COWD"), make([]byte, 508)...), string(Unsupported)},
		"fixed vhd":                  {fixed(1<<20, same), "fixed-vhd 1048576"},
		"fixed vhd, other size":      {fixed(1<<20, func(f []byte) { be.PutUint64(f[48:], 2<<20) }), string(SizeMismatch)},
		"fixed vhd, version":         {fixed(1<<20, func(f []byte) { f[12] = 9 }), string(Unsupported)},
		"fixed vhd, differencing":    {fixed(1<<20, func(f []byte) { f[63] = 4 }), string(BackingFile)},
		"fixed vhd, dynamic at end":  {fixed(1<<20, func(f []byte) { f[63] = 3 }), string(NotFixed)},
		"dynamic vhd":                {goodVHD(same), "vpc 8192"},
		"dynamic vhd, differencing":  {goodVHD(func(f []byte) { f[63] = 4 }), string(BackingFile)},
		"dynamic vhd, header away":   {goodVHD(func(f []byte) { be.PutUint64(f[16:], 1<<62) }), string(Truncated)},
		"dynamic vhd, no header":     {goodVHD(func(f []byte) { be.PutUint64(f[16:], 1024) }), string(Damaged)},
		"dynamic vhd, absurd":        {goodVHD(func(f []byte) { be.PutUint64(f[48:], 1<<63) }), string(AbsurdSize)},
		"dynamic vhd, truncated":     {goodVHD(same)[:100], string(Truncated)},
	}
}

func TestSniff(t *testing.T) {
	for name, c := range corpus() {
		info, err := Sniff(bytes.NewReader(c.data), int64(len(c.data)))
		got := fmt.Sprintf("%s %d", info.Kind, info.Size)
		if e, ok := As(err); ok {
			got = string(e.Reason)
		} else if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, got, c.want, err)
		}
	}
}

func FuzzSniff(f *testing.F) {
	for _, c := range corpus() {
		if len(c.data) < 1<<16 {
			f.Add(c.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := Sniff(bytes.NewReader(b), int64(len(b)))
		if err == nil && (info.Size < 0 || info.Size > MaxSize || info.Size%512 != 0) {
			t.Errorf("size %d was taken", info.Size)
		}
	})
}

func TestVHDReader(t *testing.T) {
	d := bytes.Repeat([]byte("0123456789abcdef"), 64)
	v := NewVHD(bytes.NewReader(d), 1024)
	f := VHDFooter(1024)
	all := append(bytes.Clone(d), f[:]...)
	for off := int64(0); off < v.Size(); off += 100 {
		for _, n := range []int{1, 100, 600, 1536} {
			p := make([]byte, n)
			got, _ := v.ReadAt(p, off)
			if want := all[off:min(int64(len(all)), off+int64(n))]; !bytes.Equal(p[:got], want) {
				t.Fatalf("ReadAt(%d, %d) = %d bytes, or others", n, off, got)
			}
		}
	}
}
