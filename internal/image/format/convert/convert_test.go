package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"vitrine/internal/image/format"
	"vitrine/internal/proc/sandbox"
)

// need skips what lacks a program, unless everything must be there.
func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("VITRINE_FULL") == "1" {
				t.Fatalf("%s is missing", tool)
			}
			t.Skipf("left out: %s is not installed", tool)
		}
	}
}

// boxed skips where the host gives no namespaces.
func boxed(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, sandbox.ErrUnavailable) && os.Getenv("VITRINE_FULL") != "1" {
		t.Skipf("left out: %v", err)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// content is a sparse disk by chance: stretches of noise, of text, of zeros, at odd places.
func content(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for range r.IntN(12) {
		at := r.IntN(size)
		n := min(1+r.IntN(300_000), size-at)
		switch r.IntN(3) {
		case 0:
			for i := range n {
				b[at+i] = byte(r.Uint32())
			}
		case 1:
			copy(b[at:at+n], bytes.Repeat([]byte("a disk holds text "), n/18+1))
		case 2:
			clear(b[at : at+n])
		}
	}
	return b
}

// forms are what qemu-img makes of a raw disk.
var forms = []struct {
	name, format, options string
	compressed            bool
	kind                  format.Kind
}{
	{"qcow2 v3", "qcow2", "compat=1.1", false, format.QCOW2},
	{"qcow2 v2", "qcow2", "compat=0.10", false, format.QCOW2},
	{"qcow2 zlib", "qcow2", "compression_type=zlib", true, format.QCOW2},
	{"qcow2 v2 zlib", "qcow2", "compat=0.10", true, format.QCOW2},
	{"qcow2 zstd", "qcow2", "compression_type=zstd", true, format.QCOW2},
	{"qcow2 small clusters", "qcow2", "cluster_size=512", false, format.QCOW2},
	{"qcow2 large clusters", "qcow2", "cluster_size=2M", true, format.QCOW2},
	{"qcow2 extended", "qcow2", "extended_l2=on,cluster_size=128k", false, format.QCOW2},
	{"qcow2 refcounts of a bit", "qcow2", "refcount_bits=1", false, format.QCOW2},
	{"qcow2 refcounts of 64", "qcow2", "refcount_bits=64,lazy_refcounts=on", false, format.QCOW2},
	{"qcow2 preallocated", "qcow2", "preallocation=metadata", false, format.QCOW2},
	{"vhdx", "vhdx", "subformat=dynamic", false, format.VHDX},
	{"vhdx fixed", "vhdx", "subformat=fixed", false, format.VHDX},
	{"vhdx blocks", "vhdx", "subformat=dynamic,block_size=1M", false, format.VHDX},
	{"vmdk", "vmdk", "subformat=monolithicSparse", false, format.VMDK},
	{"vmdk stream", "vmdk", "subformat=streamOptimized", false, format.VMDK},
	{"vhd dynamic", "vpc", "subformat=dynamic,force_size=on", false, format.DynamicVHD},
	{"vhd fixed", "vpc", "subformat=fixed,force_size=on", false, format.FixedVHD},
}

// raw gives the raw disk in a file, as an import does.
func raw(ctx context.Context, t testing.TB, path string, l Limits) ([]byte, format.Info, error) {
	t.Helper()
	src, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	info, err := format.Check(ctx, src, st.Size())
	if err != nil {
		return nil, info, err
	}
	dst, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if info.Kind == format.Raw || info.Kind == format.FixedVHD {
		b, err := os.ReadFile(path)
		return b[:info.Size], info, err
	}
	if err := ToRaw(ctx, info, Job{Source: src, Size: st.Size(), Dst: dst, Limits: l}); err != nil {
		return nil, info, err
	}
	b, err := os.ReadFile(dst.Name())
	return b, info, err
}

// Whatever qemu-img writes, our checks pass and the same disk comes out.
func TestRoundTrips(t *testing.T) {
	need(t, "qemu-img")
	for i, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			size := 1<<20 + r.IntN(6<<20)/512*512
			want := content(r, size)
			dir := t.TempDir()
			from, packed := filepath.Join(dir, "raw"), filepath.Join(dir, "packed")
			if err := os.WriteFile(from, want, 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"convert", "-f", "raw", "-O", f.format, "-o", f.options}
			if f.compressed {
				args = append(args, "-c")
			}
			run(t, "qemu-img", append(args, from, packed)...)
			got, info, err := raw(t.Context(), t, packed, Limits{Time: time.Minute})
			boxed(t, err)
			if err != nil || info.Kind != f.kind {
				t.Fatalf("%+v, %v", info, err)
			}
			if n := len(got) - len(want); n < 0 || n > 0 && !blank4k(got[len(want):]) || !bytes.Equal(got[:len(want)], want) {
				t.Fatalf("%d bytes came out of %d, or others", len(got), len(want))
			}
		})
	}
}

func blank4k(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func pack(t testing.TB, m Method, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	switch m {
	case Gzip:
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
	case Zstd:
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = z.Write(b)
		_ = z.Close()
	case XZ:
		need(t, "xz")
		c := exec.Command("xz", "--stdout", "-0")
		c.Stdin, c.Stdout = bytes.NewReader(b), &out
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func unpack(t testing.TB, b []byte, l Limits) ([]byte, *os.File, error) {
	t.Helper()
	dst, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dst.Close() })
	n, err := Unpack(t.Context(), Packed(b), Job{Source: bytes.NewReader(b), Size: int64(len(b)), Dst: dst, Limits: l})
	boxed(t, err)
	if err != nil {
		return nil, dst, err
	}
	got, err := os.ReadFile(dst.Name())
	if int64(len(got)) != n {
		t.Errorf("%d bytes are there, it says %d", len(got), n)
	}
	return got, dst, err
}

func TestUnpack(t *testing.T) {
	want := content(rand.New(rand.NewPCG(1, 2)), 5<<20)
	copy(want[3<<20:], make([]byte, 1<<20))
	for _, m := range []Method{Gzip, Zstd, XZ} {
		packed := pack(t, m, want)
		if Packed(packed) != m {
			t.Errorf("%s is taken for %q", m, Packed(packed))
		}
		got, dst, err := unpack(t, append(packed, pack(t, m, want[:4096])...), Limits{}) // two, one behind the other
		if err != nil || !bytes.Equal(got, append(bytes.Clone(want), want[:4096]...)) {
			t.Fatalf("%s: %d bytes, %v", m, len(got), err)
		}
		var st syscall.Stat_t
		if err := syscall.Fstat(int(dst.Fd()), &st); err != nil || st.Blocks*512 >= int64(len(got)) {
			t.Errorf("%s: %d bytes on disk of %d: no holes, %v", m, st.Blocks*512, len(got), err)
		}
	}
}

// What does not unpack, or too much, is refused with its own reason.
func TestUnpackRefuses(t *testing.T) {
	noise := content(rand.New(rand.NewPCG(3, 4)), 2<<20)
	text := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	tight := Limits{Size: 1 << 20}
	for _, m := range []Method{Gzip, Zstd, XZ} {
		good := pack(t, m, noise)
		flipped := bytes.Clone(good)
		flipped[len(flipped)/2] ^= 0x55
		for name, c := range map[string]struct {
			data []byte
			l    Limits
			want format.Reason
		}{
			"cut":      {good[:len(good)-9], Limits{}, format.Truncated},
			"cut half": {good[:len(good)/2], Limits{}, format.Truncated},
			"flipped":  {flipped, Limits{}, format.Damaged},
			"garbage":  {append(bytes.Clone(good), "garbage at the end"...), Limits{}, format.Damaged},
			"too much": {pack(t, m, text), tight, format.AbsurdSize},
			"zeros":    {pack(t, m, make([]byte, 8<<20)), tight, format.AbsurdSize},
		} {
			if _, _, err := unpack(t, c.data, c.l); !refused(err, c.want) {
				t.Errorf("%s, %s: %v, want %s", m, name, err, c.want)
			}
		}
	}
}

func refused(err error, want format.Reason) bool {
	e, ok := format.As(err)
	return ok && e.Reason == want
}

// A bomb is a small file of much that is not zero; zeros take no room.
func TestBomb(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newSink(f, 1000, Limits{Size: 1 << 40, Growth: 4}, nil)
	s.allowed = 1<<20 + 4000 // the grace of a real one is too much for a test
	if err := s.Zero(0, 1<<38); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteAt(make([]byte, 1<<16), 1<<38); err != nil {
		t.Fatal(err)
	}
	ones := bytes.Repeat([]byte{1}, 1<<20)
	if _, err := s.WriteAt(ones, 1<<39); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteAt(ones[:8192], 0); !refused(err, format.Bomb) {
		t.Errorf("beyond: %v", err)
	}
	if _, err := s.WriteAt(ones[:1], 0); !refused(err, format.Bomb) {
		t.Errorf("again: %v", err)
	}
	packed := pack(t, Gzip, bytes.Repeat([]byte{1}, 300<<20))
	if _, _, err := unpack(t, packed, Limits{Growth: 1}); !refused(err, format.Bomb) {
		t.Errorf("a real one: %v", err)
	}
}

// Zeros written over something are written.
func TestSinkOverwrites(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newSink(f, 1<<20, Limits{Size: 1 << 20}, nil)
	for _, step := range []error{second(s.WriteAt([]byte(strings.Repeat("x", 20000)), 0)), second(s.WriteAt(make([]byte, 8192), 4096)), s.Zero(12288, 4096)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	got, err := os.ReadFile(f.Name())
	if want := strings.Repeat("x", 4096) + strings.Repeat("\x00", 12288) + strings.Repeat("x", 20000-16384); err != nil || string(got) != want {
		t.Errorf("other bytes, %v", err)
	}
}

func second(_ int, err error) error { return err }

// The time of a conversion ends, and so does what the caller waits for.
func TestConvertEnds(t *testing.T) {
	need(t, "qemu-img")
	path := filepath.Join(t.TempDir(), "x")
	run(t, "qemu-img", "create", "-f", "qcow2", path, "64M")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := raw(ctx, t, path, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, err := raw(t.Context(), t, path, Limits{Size: 1 << 20}); !refused(err, format.AbsurdSize) {
		t.Errorf("size: %v", err)
	}
	_, _, err := raw(t.Context(), t, path, Limits{Time: time.Millisecond})
	boxed(t, err)
	if !refused(err, format.ConvertFailed) {
		t.Errorf("time: %v", err)
	}
}

// What only the content shows is found by qemu-img, and its words are shown.
func TestBrokenContent(t *testing.T) {
	need(t, "qemu-img")
	dir := t.TempDir()
	from, packed := filepath.Join(dir, "raw"), filepath.Join(dir, "packed")
	if err := os.WriteFile(from, content(rand.New(rand.NewPCG(9, 9)), 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"zlib", "zstd"} {
		run(t, "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type="+f, from, packed)
		b, err := os.ReadFile(packed)
		if err != nil {
			t.Fatal(err)
		}
		for i := 5 * 65536; i < len(b); i++ {
			b[i] = 0xa5
		}
		if err := os.WriteFile(packed, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err = raw(t.Context(), t, packed, Limits{Time: time.Minute})
		boxed(t, err)
		if !refused(err, format.ConvertFailed) || !strings.Contains(fmt.Sprint(err), "Input/output error") {
			t.Errorf("%s: %v", f, err)
		}
	}
}
