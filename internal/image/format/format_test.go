package format

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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

// Whatever is sent where a fixed VHD must be is named.
func TestNotFixed(t *testing.T) {
	whole := func(b []byte, n int) []byte { return append(bytes.Clone(b), make([]byte, n-len(b)%n)...) }
	vhd := goodVHD(same)
	for name, test := range map[string]struct {
		data []byte
		want Reason
		text string
	}{
		"raw":                {make([]byte, 1<<20), NoFooter, "does not end with a VHD footer"},
		"dynamic":            {vhd, NotFixed, "a dynamic VHD was sent"},
		"dynamic, cut":       {vhd[:len(vhd)-512], NotFixed, "a dynamic VHD was sent"},
		"dynamic, padded":    {whole(vhd, 1<<20), NotFixed, "a dynamic VHD was sent"},
		"differencing":       {goodVHD(big32(60, 4)), BackingFile, "needs its parent"},
		"qcow2":              {whole(goodQCOW2(same), 1<<20), NotFixed, "a qcow2 image was sent"},
		"vhdx":               {goodVHDX(same), NotFixed, "a VHDX was sent"},
		"vmdk":               {goodVMDK(same), NotFixed, "a VMDK was sent"},
		"gzip":               {whole([]byte("\x1f\x8b\x08"), 1024), NotFixed, "a gzip file was sent"},
		"fixed, other size":  {fixed(1<<20, big64(48, 2<<20)), SizeMismatch, "the file has"},
		"fixed, checksum":    {func() []byte { b := fixed(1<<20, same); b[1<<20+90]++; return b }(), Damaged, "checksum"},
		"fixed, absurd size": {fixed(1<<20, big64(48, 1<<63)), AbsurdSize, "virtual size"},
	} {
		_, err := CheckFixedVHD(bytes.NewReader(test.data), int64(len(test.data)))
		if e, ok := As(err); !ok || e.Reason != test.want || !strings.Contains(e.Text, test.text) {
			t.Errorf("%s: %v, want %s: %s", name, err, test.want, test.text)
		}
	}
}

// Every plan puts every byte of the disk in one place, inside the file, and nothing on its tables.
func TestPlans(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		size := (1 + r.Int64N(1<<12)) * 512 * (1 + r.Int64N(2000))
		var spans []Span
		for at := int64(0); at < size; {
			at += r.Int64N(1+size/4) / 512 * 512
			end := min(at+(1+r.Int64N(1+size/2000))*512, size)
			if at < size {
				spans = append(spans, Span{at, end})
			}
			at = end + 512
		}
		p, err := PlanQCOW2(size, spans)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*Plan{p, PlanRaw(size), PlanFixedVHD(size)} {
			checkPlan(t, p, size, spans)
		}
		// The tables alone, and holes for content, are a qcow2 that our own reader passes.
		got, err := Check(t.Context(), headOnly{p}, p.Size)
		if err != nil || got != (Info{QCOW2, size}) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if _, err := PlanQCOW2(8<<40, nil); err == nil {
		t.Error("a plan of 8 TiB")
	}
}

type headOnly struct{ *Plan }

func (h headOnly) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(h.Head)) {
		copy(b, h.Head[off:])
	}
	return len(b), nil
}

func checkPlan(t *testing.T, p *Plan, size int64, spans []Span) {
	t.Helper()
	next, covered := int64(len(p.Head)), func(off int64) bool {
		for _, s := range spans {
			if off < s.End && off+planCluster > s.Start/planCluster*planCluster && off >= s.Start/planCluster*planCluster {
				return true
			}
		}
		return false
	}
	for off := int64(0); off < size; {
		at, n := p.Place(off, min(size-off, 3<<20))
		switch {
		case n <= 0 || n > size-off:
			t.Fatalf("Place(%d) = %d, %d of %d", off, at, n, size)
		case at < 0 && covered(off):
			t.Fatalf("%d goes nowhere, and may hold something", off)
		case at >= 0 && (at < next || at+n > p.Size-int64(len(p.Tail))):
			t.Fatalf("%d goes to %d, %d bytes, after %d, in a file of %d", off, at, n, next, p.Size)
		case at >= 0:
			next = at + n
		}
		off += n
	}
}
