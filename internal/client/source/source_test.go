package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"

	"vitrine/internal/image/format"
	"vitrine/internal/image/format/convert"
)

// quiet is a report that keeps what was said.
type quiet struct{ said []string }

func (q *quiet) Say(line string)            { q.said = append(q.said, line) }
func (q *quiet) Bytes(string, int64, int64) {}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gz(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// disk reads a source to its end.
func disk(ctx context.Context, cfg Config) ([]byte, string, error) {
	cfg.Report = &quiet{}
	s, err := Open(ctx, cfg)
	if err != nil {
		return nil, "", err
	}
	defer s.Close()
	r, size, err := s.Disk(ctx)
	if err != nil {
		return nil, "", err
	}
	b := make([]byte, size)
	_, err = r.ReadAt(b, 0)
	return b, s.Identity(), err
}

func sumOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// The same disk comes from a file, a pipe, a file that stdin is, packed and unpacked, padded to whole MiB.
func TestWays(t *testing.T) {
	raw := bytes.Repeat([]byte("vitrine "), 1<<16)
	want := append(bytes.Clone(raw), make([]byte, WholeSize-len(raw))...)
	footer := format.VHDFooter(int64(len(raw)))
	vhd := append(bytes.Clone(raw), footer[:]...)
	redirected, err := os.Open(write(t, "redirected", gz(t, vhd)))
	if err != nil {
		t.Fatal(err)
	}
	defer redirected.Close()
	for name, c := range map[string]struct {
		cfg  Config
		from []byte
	}{
		"file":       {Config{Name: write(t, "a", raw)}, raw},
		"vhd":        {Config{Name: write(t, "a", vhd)}, vhd},
		"gz":         {Config{Name: write(t, "a", gz(t, raw))}, gz(t, raw)},
		"pipe":       {Config{Name: "-", In: bytes.NewReader(raw)}, raw},
		"packed":     {Config{Name: "-", In: bytes.NewReader(gz(t, vhd))}, gz(t, vhd)},
		"redirected": {Config{Name: "-", In: redirected}, gz(t, vhd)},
		"with a sum": {Config{Name: write(t, "a", raw), SHA256: strings.ToUpper(sumOf(raw)[7:])}, raw},
	} {
		got, identity, err := disk(t.Context(), c.cfg)
		if err != nil || !bytes.Equal(got, want) || identity != sumOf(c.from) {
			t.Errorf("%s: %d bytes, %s, %v", name, len(got), identity, err)
		}
	}
}

// Nothing but a plain file is opened, and a pipe is not waited for.
func TestOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, link, dangling, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling"), filepath.Join(dir, "socket")
	good := write(t, "good", make([]byte, 1<<20))
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		defer syscall.Close(fd)
		err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket})
	}
	if err = errors.Join(err, syscall.Mkfifo(pipe, 0o600), os.Symlink(good, link), os.Symlink("nowhere", dangling)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "pipes and devices", dir: "is not a regular file", "/dev/null": "pipes and devices", "/dev/zero": "pipes and devices",
		link: "is a symbolic link; name the file itself (" + good + ")", dangling: "is a symbolic link", socket: "sockets cannot be imported"} {
		_, _, err := disk(t.Context(), Config{Name: path})
		bad, ok := format.As(err)
		if !ok || bad.Reason != format.NotRegular || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// Whatever is wrong with a file is told in sentences with what to do about it.
func TestFaultsOfFiles(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"six bytes":    {"abcdef", "truncate --size=%512"},
		"empty":        {"", "not empty"},
		"cut off":      {"QFI\xfb\x00\x00\x00\x03", "Copy it again."},
		"old VMDK":     {"COWD" + strings.Repeat("\x00", 508), "qemu-img convert -O raw"},
		"backing file": {"# Disk DescriptorFile\nversion=1\n", "qemu-img convert -O qcow2"},
		"LUKS":         {"LUKS\xba\xbe" + strings.Repeat("\x00", 506), "decrypt it first"},
		"tar":          {strings.Repeat("x", 257) + "ustar" + strings.Repeat("\x00", 250), "unpack it, and import the disk inside"},
		"gz of gz":     {string(gz(t, gz(t, make([]byte, 512)))), "once more"},
		"gz cut":       {string(gz(t, make([]byte, 512))[:15]), "Copy it again."},
	} {
		path := write(t, "x.img", []byte(test.content))
		_, _, err := disk(t.Context(), Config{Name: path})
		var unfit *Unfit
		if !errors.As(err, &unfit) || !strings.HasPrefix(err.Error(), path+" cannot be imported: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), string(unfit.Fault.Reason)+":") {
			t.Errorf("%s shows a code: %v", name, err)
		}
	}
}

func TestRefusedInput(t *testing.T) {
	raw := make([]byte, 1<<20)
	for name, test := range map[string]struct {
		cfg  Config
		want string
	}{
		"wrong sum":   {Config{Name: write(t, "a", raw), SHA256: strings.Repeat("0", 64)}, "not the one that --sha256 gives"},
		"empty input": {Config{Name: "-", In: strings.NewReader("")}, "standard input is empty"},
		"endless":     {Config{Name: "-", In: endless{}, Limits: convert.Limits{Size: 3 << 20}}, "more than 3145728 bytes"},
		"gone":        {Config{Name: filepath.Join(t.TempDir(), "none")}, "no such file"},
	} {
		if _, _, err := disk(t.Context(), test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A pipe on which nothing comes does not hold up an interrupt.
func TestInterruptedPipe(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := disk(ctx, Config{Name: "-", In: r})
		ended <- err
	}()
	if _, err := w.Write([]byte("some")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// What is written for the time being has no name, so that no end leaves it behind.
func TestLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	bad := gz(t, append([]byte("LUKS\xba\xbe"), make([]byte, 1<<20)...))
	s, err := Open(t.Context(), Config{Name: "-", In: bytes.NewReader(bad), Report: &quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("while it is read: %v, %v", entries, err)
	}
	if err := s.Fit(t.Context()); err == nil {
		t.Error("it was taken")
	}
	s.Close()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("afterwards: %v, %v", entries, err)
	}
}

func TestChanged(t *testing.T) {
	path := write(t, "a", make([]byte, 1<<20))
	s, err := Open(t.Context(), Config{Name: path, Report: &quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Unchanged(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Unchanged(); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("changed: %v", err)
	}
}

func TestZeroTail(t *testing.T) {
	z := zeroTail{strings.NewReader("abcdef"), 6}
	for _, test := range []struct {
		off  int64
		want string
	}{{0, "abcdef\x00\x00"}, {4, "ef\x00\x00\x00\x00\x00\x00"}, {6, strings.Repeat("\x00", 8)}, {100, strings.Repeat("\x00", 8)}} {
		got := bytes.Repeat([]byte{0xff}, 8)
		if n, err := z.ReadAt(got, test.off); n != 8 || err != nil || string(got) != test.want {
			t.Errorf("ReadAt(%d) = %q, %d, %v", test.off, got, n, err)
		}
	}
}

// A file with many holes is named by a digest that does not read them, and that does not show which zeros are holes.
func TestSparseIdentity(t *testing.T) {
	const size = sparseFrom + 64<<20 + 512
	made := func(name string, change func(*os.File) error) string {
		t.Helper()
		path := write(t, name, []byte("beginning"))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("end"), size-3); err != nil {
			t.Fatal(err)
		}
		if err := change(f); err != nil {
			t.Fatal(err)
		}
		return path
	}
	named := func(path, sum string) *Source {
		t.Helper()
		s, err := Open(t.Context(), Config{Name: path, SHA256: sum, Report: &quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	put := func(b []byte, at int64) func(*os.File) error {
		return func(f *os.File) error { _, err := f.WriteAt(b, at); return err }
	}
	a := named(made("a", put(nil, 0)), "")
	if !a.holes(sparseFrom) {
		t.Skip("the file system of temporary files keeps no holes")
	}
	if !strings.HasPrefix(a.Identity(), sparseKind) {
		t.Fatalf("named %s", a.Identity())
	}
	if same := named(made("same", put(bytes.Repeat([]byte{0}, 9<<20), 17<<20+1)), ""); same.Identity() != a.Identity() {
		t.Error("zeros that are written count")
	}
	for name, change := range map[string]func(*os.File) error{
		"a byte": put([]byte{1}, 200<<20),
		"moved": func(f *os.File) error {
			return errors.Join(put(bytes.Repeat([]byte{0}, 9), 0)(f), put([]byte("beginning"), sparseWindow)(f))
		},
		"another size": func(f *os.File) error { return f.Truncate(size + 512) },
	} {
		if other := named(made("other", change), ""); other.Identity() == a.Identity() {
			t.Errorf("%s: the same identity", name)
		}
	}
	plain, err := a.name(t.Context(), plainKind)
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.TrimPrefix(plain, plainKind)
	if b := named(a.Name, sum); b.Identity() != plain {
		t.Errorf("with --sha256 it is named %s", b.Identity())
	}
	for identity, want := range map[string]bool{a.Identity(): true, plain: true, plainKind + sumOf(nil): false, "": false, sparseKind: false} {
		if is, err := a.Is(t.Context(), identity); is != want || err != nil {
			t.Errorf("Is(%q) = %v, %v", identity, is, err)
		}
	}
}
