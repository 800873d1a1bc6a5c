package dataplane

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/client/pages"
	"vitrine/internal/image/format"
)

// A download by client/pages from the real door: in every form, cut off, gone on with, and read back by the real qemu-img.

// readable puts a disk behind the world's signed URL for reading.
func (w *world) readable(t *testing.T, d []byte) {
	t.Helper()
	up := pages.Blob{URL: w.write, HTTP: w.http}
	if err := up.UploadVHD(t.Context(), bytes.NewReader(d), int64(len(d))); err != nil {
		t.Fatal(err)
	}
	ref, err := w.images.FinishUpload(t.Context(), "up", "eastus", "dom")
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.images.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	w.read = w.grant(Grant{ID: "g-9", LastModified: time.Now(), Open: func(context.Context) (Content, error) { return r.VHD(), nil }})
}

// exported is one run into a file.
func exported(ctx context.Context, w *world, path, form, disk string, replace bool) (int64, string, error) {
	b := pages.Blob{URL: w.read, HTTP: w.http, Workers: 2}
	spans, size, err := b.Content(ctx)
	if err != nil {
		return 0, "", err
	}
	plan := format.PlanRaw(size)
	switch form {
	case "vhd":
		plan = format.PlanFixedVHD(size)
	case "qcow2":
		if plan, err = format.PlanQCOW2(size, spans); err != nil {
			return 0, "", err
		}
	}
	to, err := pages.OpenFile(path, replace, plan, pages.Note{Version: "v", Disk: disk, Format: form, Size: size, File: plan.Size})
	if err != nil {
		return 0, "", err
	}
	defer to.Abandon()
	n, err := b.Download(ctx, spans, plan, to)
	if err == nil {
		err = to.Finish()
	}
	return n, b.Sum.String(), err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExportForms(t *testing.T) {
	w := newWorld(t)
	d := testDisk()
	clear(d[2<<20 : 5<<20])
	w.readable(t, d)
	footer := format.VHDFooter(size)
	dir := t.TempDir()
	sums := map[string]bool{}
	for _, form := range []string{"raw", "vhd", "qcow2"} {
		path := filepath.Join(dir, form)
		_, sum, err := exported(t.Context(), w, path, form, "d", false)
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		sums[sum] = true
		got := read(t, path)
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || form != "qcow2" && st.Blocks*512 > size-(2<<20) {
			t.Errorf("%s is not sparse: %d bytes on disk, %v", form, st.Blocks*512, err)
		}
		switch form {
		case "raw":
			if !bytes.Equal(got, d) {
				t.Error("raw: other bytes")
			}
		case "vhd":
			if !bytes.Equal(got, append(bytes.Clone(d), footer[:]...)) {
				t.Error("vhd: other bytes")
			}
		case "qcow2":
			if info, err := format.Check(t.Context(), bytes.NewReader(got), int64(len(got))); err != nil || info != (format.Info{Kind: format.QCOW2, Size: size}) {
				t.Errorf("qcow2: %+v, %v", info, err)
			}
		}
		if entries, _ := filepath.Glob(path + ".part*"); len(entries) > 0 {
			t.Errorf("%s leaves %v", form, entries)
		}
	}
	if len(sums) != 1 {
		t.Errorf("the digest depends on the form: %v", sums)
	}
	img, err := exec.LookPath("qemu-img")
	if err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal(err)
		}
		t.Skip("left out: reading back by qemu-img, which is not installed")
	}
	for _, args := range [][]string{{"check", "-f", "qcow2", dir + "/qcow2"}, {"compare", "-f", "qcow2", "-F", "raw", dir + "/qcow2", dir + "/raw"},
		{"compare", "-f", "vpc", "-F", "raw", dir + "/vhd", dir + "/raw"}} {
		if out, err := exec.Command(img, args...).CombinedOutput(); err != nil {
			t.Errorf("qemu-img %v: %v\n%s", args, err, out)
		}
	}
}

// cutFrom fails requests for a range.
type cutFrom struct {
	http.RoundTripper
	prefix string
}

func (c cutFrom) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.Header.Get("x-ms-range"), c.prefix) {
		return nil, errors.New("the network is cut")
	}
	return c.RoundTripper.RoundTrip(r)
}

// A run that was cut off is gone on with; what it lost is fetched again, and another disk's bytes are not mixed in.
func TestExportResumes(t *testing.T) {
	w := newWorld(t)
	d := make([]byte, size)
	for i := range d {
		d[i] = byte(i*7 + i>>8 | 1)
	}
	w.readable(t, d)
	for _, form := range []string{"raw", "qcow2"} {
		path := filepath.Join(t.TempDir(), "x")
		whole := w.http
		w.http = &http.Client{Transport: cutFrom{whole.Transport, "bytes=4194304-"}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		go func() { // it would try again and again: it is ended when what came before the cut is written down
			defer cancel()
			for tick := time.Tick(5 * time.Millisecond); ctx.Err() == nil; <-tick {
				if journal, _ := os.ReadFile(path + ".part.json"); bytes.Contains(journal, []byte(`"at":4194304,`)) { // none yet: not there
					return
				}
			}
		}()
		_, _, err := exported(ctx, w, path, form, "d", false)
		cancel()
		w.http = whole
		if err == nil {
			t.Fatalf("%s: the first run was not cut", form)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%s: half a file has the name of a whole one", form)
		}
		kept, journal := read(t, path+".part"), read(t, path+".part.json")
		again := func(name, disk string, want int64) {
			t.Helper()
			n, _, err := exported(t.Context(), w, path, form, disk, true)
			if err != nil || n != want {
				t.Errorf("%s, %s: %d bytes came, want %d, %v", form, name, n, want, err)
			}
			raw := path
			if form == "raw" && !bytes.Equal(read(t, raw), d) {
				t.Errorf("%s, %s: other bytes", form, name)
			}
			for name, b := range map[string][]byte{".part": kept, ".part.json": journal} {
				if err := os.WriteFile(path+name, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		again("goes on", "d", size-4<<20)
		if err := os.WriteFile(path+".part.json", append(bytes.Clone(journal), `{"at":4194304,"su`...), 0o600); err != nil {
			t.Fatal(err)
		}
		again("with half a line", "d", size-4<<20)
		again("of another disk", "e", size)
		lost := bytes.Clone(kept)
		lost[len(lost)/3] ^= 1
		if form == "qcow2" {
			lost[len(kept)-size+5] ^= 1
		}
		if err := os.WriteFile(path+".part", lost, 0o600); err != nil {
			t.Fatal(err)
		}
		again("with a bit lost", "d", size)
		if err := os.Truncate(path+".part", 100); err != nil {
			t.Fatal(err)
		}
		again("with the file cut", "d", size)
	}
}

// What is there is not written over, nor what a link leads to; two do not write one file; a checksum is believed.
func TestExportRefuses(t *testing.T) {
	w := newWorld(t)
	w.readable(t, testDisk())
	dir := t.TempDir()
	there, link, precious := filepath.Join(dir, "there"), filepath.Join(dir, "link"), filepath.Join(dir, "precious")
	for _, err := range []error{os.WriteFile(there, []byte("mine"), 0o600), os.WriteFile(precious, []byte("mine"), 0o600), os.Symlink(precious, link), os.Symlink(precious, filepath.Join(dir, "x.part"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, replace := range map[string]bool{"there": false, "link": false} {
		if _, _, err := exported(t.Context(), w, filepath.Join(dir, name), "raw", "d", replace); !errors.Is(err, pages.ErrThere) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := exported(t.Context(), w, link, "raw", "d", true); !errors.Is(err, pages.ErrThere) {
		t.Errorf("a link is replaced: %v", err)
	}
	if _, _, err := exported(t.Context(), w, filepath.Join(dir, "x"), "raw", "d", false); err == nil {
		t.Error("a link in the place of the part was followed")
	}
	if string(read(t, precious)) != "mine" || string(read(t, there)) != "mine" {
		t.Error("something was written over")
	}
	plan := format.PlanRaw(size)
	one, err := pages.OpenFile(filepath.Join(dir, "y"), false, plan, pages.Note{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Abandon()
	if _, err := pages.OpenFile(filepath.Join(dir, "y"), false, plan, pages.Note{}); err == nil || !strings.Contains(err.Error(), "another export") {
		t.Errorf("two at once: %v", err)
	}
}

// A stream is the file.
func TestExportStream(t *testing.T) {
	w := newWorld(t)
	d := testDisk()
	w.readable(t, d)
	b := pages.Blob{URL: w.read, HTTP: w.http}
	spans, n, err := b.Content(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	plan := format.PlanFixedVHD(n)
	to := pages.Stream(&out, plan.Size)
	if _, err := b.Download(t.Context(), spans, plan, to); err != nil {
		t.Fatal(err)
	}
	if err := to.Finish(); err != nil {
		t.Fatal(err)
	}
	footer := format.VHDFooter(size)
	if !bytes.Equal(out.Bytes(), append(d, footer[:]...)) {
		t.Errorf("%d bytes, or others", out.Len())
	}
}
