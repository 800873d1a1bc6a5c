package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	b := make([]byte, 512+20*512)
	le := binary.LittleEndian
	copy(b, "KDMV")
	le.PutUint32(b[4:], 1)
	le.PutUint64(b[12:], 2048)
	le.PutUint64(b[28:], 1)
	le.PutUint64(b[36:], 20)
	copy(b[512:], descriptor)
	change(b)
	return b
}

const goodDescriptor = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW 2048 SPARSE \"x.vmdk\"\n"

func fixed(size int64, change func([]byte)) []byte {
	f := VHDFooter(size)
	change(f[:])
	binary.BigEndian.PutUint32(f[64:], checksum(f[:]))
	return append(make([]byte, size), f[:]...)
}

func dynamic(change func([]byte)) []byte {
	f := VHDFooter(1 << 20)
	be := binary.BigEndian
	be.PutUint32(f[60:], vhdDynamic)
	be.PutUint64(f[16:], 512)
	change(f[:])
	be.PutUint32(f[64:], checksum(f[:]))
	return append(append(f[:], "cxsparse"...), make([]byte, 2048)...)
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
		"qcow2, encrypted":           {qcow2(func(b []byte) { be.PutUint32(b[32:], 1) }), string(Unsupported)},
		"qcow2, version 9":           {qcow2(func(b []byte) { be.PutUint32(b[4:], 9) }), string(Unsupported)},
		"qcow2, clusters":            {qcow2(func(b []byte) { be.PutUint32(b[20:], 40) }), string(Damaged)},
		"qcow2, snapshots":           {qcow2(func(b []byte) { be.PutUint32(b[60:], 1) }), string(Unsupported)},
		"qcow2, no size":             {qcow2(func(b []byte) { be.PutUint64(b[24:], 0) }), string(AbsurdSize)},
		"qcow2, 16 EiB":              {qcow2(func(b []byte) { be.PutUint64(b[24:], 1<<64-512) }), string(AbsurdSize)},
		"qcow2, header length":       {qcow2(func(b []byte) { be.PutUint32(b[100:], 1<<30) }), string(Damaged)},
		"qcow2, truncated":           {qcow2(same)[:60], string(Truncated)},
		"qcow2, truncated v3":        {qcow2(same)[:90], string(Truncated)},
		"vhdx":                       {append([]byte("vhdxfile"), make([]byte, 1<<20)...), "vhdx 0"},
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
		"dynamic vhd":                {dynamic(same), "vpc 1048576"},
		"dynamic vhd, differencing":  {dynamic(func(f []byte) { f[63] = 4 }), string(BackingFile)},
		"dynamic vhd, header away":   {dynamic(func(f []byte) { be.PutUint64(f[16:], 1<<62) }), string(Truncated)},
		"dynamic vhd, no header":     {dynamic(func(f []byte) { be.PutUint64(f[16:], 1024) }), string(Damaged)},
		"dynamic vhd, absurd":        {dynamic(func(f []byte) { be.PutUint64(f[48:], 1<<63) }), string(AbsurdSize)},
		"dynamic vhd, truncated":     {dynamic(same)[:100], string(Truncated)},
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

func needQemuImg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal("qemu-img is missing")
		}
		t.Skip("left out: conversion by qemu-img, which is not installed")
	}
}

func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "qemu-img", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %v: %v\n%s", args, err, out)
	}
}

func TestConvert(t *testing.T) {
	needQemuImg(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	want := make([]byte, 4<<20)
	copy(want[1<<20:], bytes.Repeat([]byte("disk"), 100_000))
	if err := os.WriteFile(raw, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		format, options string
		kind            Kind
	}{
		"qcow2": {"qcow2", "compat=1.1", QCOW2}, "qcow2 v2": {"qcow2", "compat=0.10", QCOW2},
		"qcow2 zstd": {"qcow2", "compression_type=zstd", QCOW2}, "vhdx": {"vhdx", "subformat=dynamic", VHDX},
		"vmdk": {"vmdk", "subformat=monolithicSparse", VMDK}, "vmdk stream": {"vmdk", "subformat=streamOptimized", VMDK},
		"dynamic": {"vpc", "subformat=dynamic,force_size=on", DynamicVHD}, "fixed": {"vpc", "subformat=fixed,force_size=on", FixedVHD},
		"raw": {"raw", "preallocation=off", Raw},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := filepath.Join(t.TempDir(), "in,file=x"), filepath.Join(t.TempDir(), "out")
			tmp := filepath.Join(t.TempDir(), "in")
			qemuImg(t, "convert", "-f", "raw", "-O", c.format, "-o", c.options, raw, tmp)
			if err := os.Rename(tmp, src); err != nil {
				t.Fatal(err)
			}
			info, err := Convert(t.Context(), src, dst, Limits{Time: time.Minute})
			if err != nil || info.Kind != c.kind || info.Size != int64(len(want)) {
				t.Fatalf("Convert = %+v, %v", info, err)
			}
			if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("other bytes came out: %v", err)
			}
		})
	}
}

// Refused files leave nothing, whether we refuse them, qemu-img does, or a limit.
func TestConvertLeavesNothing(t *testing.T) {
	needQemuImg(t)
	dir := t.TempDir()
	vhdx := filepath.Join(dir, "vhdx")
	qemuImg(t, "create", "-f", "vhdx", vhdx, "64M")
	for name, data := range map[string][]byte{
		"backing": corpus()["qcow2, backing file"].data, "broken": qcow2(func(b []byte) { binary.BigEndian.PutUint64(b[40:], 1<<50) }),
		"no vhdx": corpus()["vhdx"].data,
	} {
		src, dst := filepath.Join(dir, name), filepath.Join(dir, name+".out")
		if err := os.WriteFile(src, data, 0o600); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, name, src, dst, Limits{Time: time.Minute})
	}
	wantRefused(t, "size limit", vhdx, filepath.Join(dir, "limit"), Limits{Size: 1 << 20, Time: time.Minute})
}

func wantRefused(t *testing.T, name, src, dst string, l Limits) {
	t.Helper()
	if _, err := Convert(t.Context(), src, dst, l); err == nil {
		t.Errorf("%s was converted", name)
	} else if _, ok := As(err); !ok {
		t.Errorf("%s: %v is not the file's fault", name, err)
	}
	if _, err := os.Lstat(dst); err == nil {
		t.Errorf("%s left a file", name)
	}
}
