package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
	"vitrine/internal/store"
)

// damage spoils the chunk at an offset of the disk in a region, and gives its object.
func (w *world) damage(region string, off int64) string {
	w.t.Helper()
	r, err := w.images.Open(w.t.Context(), region, w.ref)
	must(w.t, err)
	for _, e := range r.All() {
		if off < e.Offset || off >= e.End() {
			continue
		}
		bucket, err := w.images.Buckets(region)
		must(w.t, err)
		frame, err := bucket.Get(w.t.Context(), chunk.Object(domain, e.ID))
		must(w.t, err)
		packs, err := filepath.Glob(filepath.Join(w.data, "regions", region, "packs", domain, "*"))
		must(w.t, err)
		for _, path := range packs {
			raw, err := os.ReadFile(path)
			must(w.t, err)
			if at := bytes.Index(raw, frame); at >= 0 {
				raw[at+len(frame)/2] ^= 1
				must(w.t, os.WriteFile(path, raw, 0o600))
				return chunk.Object(domain, e.ID)
			}
		}
	}
	w.t.Fatalf("there is no chunk at %d", off)
	return ""
}

// firstData is an offset that is no zero.
func (w *world) firstData() int64 {
	for i, b := range w.disk {
		if b != 0 && i >= 1<<20 {
			return int64(i) &^ 4095
		}
	}
	return 0
}

// TestDamage: a damaged chunk is an I/O error for the guest and is named, with its holder, in the server's log; with a sound copy
// in another region it is mended and the guest notices nothing.
func TestDamage(t *testing.T) {
	qemuIO := needs(t, "qemu-io")
	w := newWorld(t, 1)
	off := w.firstData()
	object := w.damage("eastus", off)
	b := w.base()
	w.run()
	read := func() (string, error) {
		out, err := exec.Command(qemuIO, "-r", "--image-opts", node(b), "-c", fmt.Sprintf("read -v %d 16", off)).CombinedOutput()
		return string(out), err
	}
	if out, err := read(); !strings.Contains(out, "Input/output error") {
		t.Errorf("a damaged chunk: %v, %s", err, out)
	}
	await(t, "the log to name it", func() bool {
		return strings.Contains(w.log.String(), object) && strings.Contains(w.log.String(), holder) && strings.Contains(w.log.String(), "region=eastus")
	})
	raw, err := w.images.Pack(t.Context(), "westus", domain, bytes.NewReader(w.disk), int64(len(w.disk)), nil)
	if err != nil || raw != w.ref {
		t.Fatal(err)
	}
	await(t, "the chunk to be mended", func() bool {
		out, _ := read()
		return checkDump(t, out, w.disk) == 1
	})
}

// TestShredded: when the tenant's key is destroyed, guests get errors, and nothing of the base is left.
func TestShredded(t *testing.T) {
	w := newWorld(t, 1)
	b := w.base()
	w.run()
	_, err := w.images.Shred(t.Context(), domain, func(store.Tx, []image.Pinned) error { return nil })
	must(t, err)
	await(t, "the export to go", func() bool {
		s, err := w.bases.Status(t.Context())
		return err == nil && len(s) == 0
	})
	if list, err := filepath.Glob(b.Path + "*"); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	if _, err := w.bases.Base(t.Context(), "eastus", w.ref); err == nil {
		t.Error("a base of a shredded image")
	}
}

// TestDeleted: as long as a disk pins the content, a collection leaves the base alone; without pins it and its bytes go.
func TestDeleted(t *testing.T) {
	qemuIO := needs(t, "qemu-io")
	w := newWorld(t, 1)
	b := w.base()
	w.run()
	_, err := w.images.CollectOlder(t.Context(), "eastus", 0)
	must(t, err)
	off := w.firstData()
	out, err := exec.Command(qemuIO, "-r", "--image-opts", node(b), "-c", fmt.Sprintf("read -v %d 16", off)).CombinedOutput()
	if err != nil || checkDump(t, string(out), w.disk) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error { return w.images.Unpin(tx, w.ref, "eastus", holder) }))
	_, err = w.images.CollectOlder(t.Context(), "eastus", 0)
	must(t, err)
	await(t, "the export to go", func() bool {
		s, err := w.bases.Status(t.Context())
		return err == nil && len(s) == 0
	})
	if list, err := filepath.Glob(b.Path + "*"); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

// TestRotated: the tenant's key changes while a guest reads, and what is stored is sealed anew.
func TestRotated(t *testing.T) {
	img := needs(t, "qemu-img")
	w := newWorld(t, 1)
	b := w.base()
	w.run()
	_, err := w.images.Keys().Rotate(t.Context(), domain)
	must(t, err)
	r, _, err := w.images.CheckManifest(t.Context(), "eastus", w.ref, true)
	must(t, err)
	for _, e := range r.Entries() {
		_, err := r.Check(t.Context(), e, true)
		must(t, err)
	}
	if out, err := exec.Command(img, "compare", "-s", "--image-opts", node(b), "driver=raw,file.driver=file,file.filename="+w.raw()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestUnknownExports: names that are none, of nobody, or climb out of the folder are refused.
func TestUnknownExports(t *testing.T) {
	for _, name := range []string{"", "eastus", "eastus/" + domain + "/x", "../" + domain + "/" + strings.Repeat("0", 64), "eastus/../" + strings.Repeat("0", 64),
		"eastus/" + domain + "/" + strings.Repeat("A", 64), "eastus/" + domain + "/" + strings.Repeat("0", 64) + "/", "eastus/" + domain + "/../" + strings.Repeat("0", 64)} {
		if path, ok := baseFile("/bases", name); ok {
			t.Errorf("%q is %s", name, path)
		}
	}
	if path, ok := baseFile("/bases", "eastus/"+domain+"/"+strings.Repeat("0", 64)); !ok || path != "/bases/eastus/"+domain+"/"+strings.Repeat("0", 64)+".raw" {
		t.Errorf("%s, %v", path, ok)
	}
}

// TestNotPinned: a content that nothing pins is not served, since it may be collected at any time.
func TestNotPinned(t *testing.T) {
	w := newWorld(t, 1)
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error { return w.images.Unpin(tx, w.ref, "eastus", holder) }))
	if b, err := w.bases.Base(t.Context(), "eastus", w.ref); err == nil {
		t.Errorf("%+v", b)
	}
}
