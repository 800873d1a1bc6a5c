package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vitrine/internal/image"
	"vitrine/internal/image/qcow2/qcow2test"
)

// plain is a disk in memory that says where its data is, in stretches of 4 KiB.
type plain []byte

func (p plain) ReadAt(b []byte, off int64) (int, error) { return bytes.NewReader(p).ReadAt(b, off) }
func (p plain) Size() int64                             { return int64(len(p)) }
func (p plain) NextData(off int64) (image.Range, error) {
	for ; off < int64(len(p)); off++ {
		if p[off] != 0 {
			return image.Range{Start: off, End: min(off/4096*4096+4096, int64(len(p)))}, nil
		}
	}
	return image.Range{}, io.EOF
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func open(t *testing.T, path string, below Below) *Overlay {
	t.Helper()
	o, err := Open(path, below)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// check reads the overlay in several ways and compares with what it must hold.
func check(t *testing.T, o *Overlay, want []byte) {
	t.Helper()
	if o.Size() != int64(len(want)) {
		t.Fatalf("%d bytes, want %d", o.Size(), len(want))
	}
	got := make([]byte, len(want))
	if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the whole: %v, first difference at %d", err, difference(got, want))
	}
	sparse := make([]byte, len(want))
	for off := int64(0); ; {
		r, err := o.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || r.Start < off || r.End <= r.Start {
			t.Fatalf("next data after %d: %v, %v", off, r, err)
		}
		if _, err := o.ReadAt(sparse[r.Start:r.End], r.Start); err != nil {
			t.Fatal(err)
		}
		off = r.End
	}
	if !bytes.Equal(sparse, want) {
		t.Fatalf("by its data: first difference at %d", difference(sparse, want))
	}
	tail := make([]byte, 1000)
	if n, err := o.ReadAt(tail, o.Size()-10); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("over the end: %d, %v", n, err)
	}
}

func difference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func TestLayers(t *testing.T) {
	const c = qcow2test.Cluster
	below := plain(append(append(fill('b', 3*c), make([]byte, c)...), fill('e', 1000)...)) // ends within its fifth cluster
	for _, size := range []int64{5 * c, 40 * c} {
		data := map[int64][]byte{1: fill('o', c), 2: nil, 3: fill('n', 512), size/c - 1: fill('l', c)}
		want := make([]byte, size)
		copy(want, below)
		copy(want[c:], fill('o', c))
		clear(want[2*c : 3*c])
		copy(want[3*c:], fill('n', 512))
		copy(want[size-c:], fill('l', c))
		path := filepath.Join(t.TempDir(), "o.qcow2")
		if err := qcow2test.Write(path, size, data); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(size), func(t *testing.T) { check(t, open(t, path, below), want) })
		copy(want, make([]byte, c))
		if size > 5*c {
			clear(want[4*c : 5*c])
		}
		t.Run(fmt.Sprint(size, " alone"), func(t *testing.T) { check(t, open(t, path, nil), want) })
	}
}

// TestSecondTable: what an absent table spans is passed over in one stride.
func TestSecondTable(t *testing.T) {
	const c, at = qcow2test.Cluster, int64(qcow2test.Cluster) * 8192
	path := filepath.Join(t.TempDir(), "o.qcow2")
	if err := qcow2test.Write(path, at+c, map[int64][]byte{8192: fill('x', c)}); err != nil {
		t.Fatal(err)
	}
	o := open(t, path, plain(fill('b', 10)))
	if r, err := o.NextData(0); err != nil || r.Start != 0 || r.End > c {
		t.Errorf("below: %v, %v", r, err)
	}
	if r, err := o.NextData(c); err != nil || r.Start != at || r.End != at+c {
		t.Errorf("in the second table: %v, %v", r, err)
	}
	got := make([]byte, 20)
	if _, err := o.ReadAt(got, at-10); err != nil || string(got) != string(make([]byte, 10))+"xxxxxxxxxx" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	if err := qcow2test.Write(good, 1<<20, map[int64][]byte{0: {1}}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte){
		"magic":             func(b []byte) { b[0] = 'X' },
		"version":           func(b []byte) { b[7] = 4 },
		"small clusters":    func(b []byte) { b[23] = 8 },
		"huge clusters":     func(b []byte) { b[23] = 40 },
		"no size":           func(b []byte) { clear(b[24:32]) },
		"absurd size":       func(b []byte) { b[24] = 0x7f },
		"odd size":          func(b []byte) { b[31] = 1 },
		"encrypted":         func(b []byte) { b[35] = 1 },
		"corrupt":           func(b []byte) { b[79] = 2 },
		"external data":     func(b []byte) { b[79] = 4 },
		"short L1":          func(b []byte) { clear(b[36:40]) },
		"L1 of 4 G entries": func(b []byte) { copy(b[36:], fill(0xff, 4)) },
		"L1 before zero":    func(b []byte) { b[40] = 0xff },
	} {
		bad := bytes.Clone(raw)
		change(bad)
		path := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if o, err := Open(path, nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, %v", name, o, err)
		}
	}
	compressed := bytes.Clone(raw)
	compressed[2*qcow2test.Cluster] |= 0x40
	path := filepath.Join(t.TempDir(), "compressed")
	if err := os.WriteFile(path, compressed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path, nil).ReadAt(make([]byte, 512), 0); !errors.Is(err, ErrFormat) {
		t.Errorf("a compressed cluster: %v", err)
	}
}

// FuzzOverlay: whatever a file says, reading it ends, and stays within what was asked for.
func FuzzOverlay(f *testing.F) {
	good := filepath.Join(f.TempDir(), "good")
	if err := qcow2test.Write(good, 1<<20, map[int64][]byte{0: {1}, 3: nil, 9: fill('x', 600)}); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(24), uint64(1<<40))
	f.Add(uint32(qcow2test.Cluster), uint64(1<<50))
	f.Add(uint32(2*qcow2test.Cluster), uint64(1<<62|1<<20))
	path := filepath.Join(f.TempDir(), "fuzzed")
	f.Fuzz(func(t *testing.T, at uint32, value uint64) {
		bad := bytes.Clone(raw)
		binary.BigEndian.PutUint64(bad[int(at)%(len(bad)-8):], value)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := Open(path, plain(fill('b', 5000)))
		if err != nil {
			return
		}
		defer o.Close()
		if n, err := o.ReadAt(make([]byte, 3*qcow2test.Cluster), qcow2test.Cluster/2); n > 3*qcow2test.Cluster || n == 0 && err == nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		for off, i := int64(0), 0; i < 1000; i++ {
			r, err := o.NextData(off)
			if err != nil {
				return
			}
			if r.Start < off || r.End <= r.Start || r.End > o.Size() {
				t.Fatalf("after %d: %v of %d", off, r, o.Size())
			}
			off = r.End
		}
	})
}

// TestQEMU reads what QEMU wrote: random writes, zeros and discards over a base, and after a resize.
func TestQEMU(t *testing.T) {
	for _, program := range []string{"qemu-img", "qemu-io"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("VITRINE_FULL") == "1" {
				t.Fatal(err)
			}
			t.Skip("left out, nothing written by QEMU is read: ", err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	base, path, flat := filepath.Join(dir, "base"), filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "flat")
	below := make(plain, 3<<20+512)
	for i := 0; i < len(below); i += 4096 {
		if random.IntN(2) == 0 {
			copy(below[i:], fill(byte(1+random.IntN(255)), 4096))
		}
	}
	if err := os.WriteFile(base, below, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path, "4M")
	commands := []string{}
	for range 60 {
		off, n := random.IntN(4<<20-128<<10)/512*512, 512*(1+random.IntN(250))
		switch random.IntN(4) {
		case 0:
			commands = append(commands, "-c", fmt.Sprintf("write -z %d %d", off, n))
		case 1:
			commands = append(commands, "-c", fmt.Sprintf("discard %d %d", off, n))
		default:
			commands = append(commands, "-c", fmt.Sprintf("write -P %d %d %d", 1+random.IntN(255), off, n))
		}
	}
	run(t, "qemu-io", append(append([]string{"-f", "qcow2", "-d", "unmap"}, commands...), path)...)
	run(t, "qemu-img", "resize", "-q", path, "5M")
	run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, flat)
	want, err := os.ReadFile(flat)
	if err != nil {
		t.Fatal(err)
	}
	check(t, open(t, path, below), want)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
