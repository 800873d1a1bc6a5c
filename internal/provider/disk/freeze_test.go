package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/image/qcow2/qcow2test"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

const cluster = qcow2test.Cluster

// uploaded makes a disk that holds content.
func (w *world) uploaded(name string, content []byte) arm.ID {
	w.Helper()
	w.done("PUT", disks+name, creation(fmt.Sprintf(`"createOption":"Upload","uploadSizeBytes":%d`, len(content)+format.FooterSize)))
	foot := format.VHDFooter(int64(len(content)))
	w.write(w.grant(name, "Write"), 0, append(content[:len(content):len(content)], foot[:]...))
	w.done("POST", disks+name+"/endGetAccess", "")
	return w.id(name)
}

func (w *world) id(name string) arm.ID {
	w.Helper()
	id, err := arm.ParseID(disks + name)
	w.must(err)
	return id
}

// writes does what a machine does that runs on a disk; it gives the path of the overlay.
func (w *world) writes(id arm.ID, sizeGB int64, data map[int64][]byte) string {
	w.Helper()
	file, err := w.disks.Materialise(context.Background(), id)
	w.must(err)
	w.must(qcow2test.Write(file.Path, sizeGB<<30, data))
	return file.Path
}

// holds freezes a disk and compares how it begins.
func (w *world) holds(id arm.ID, sizeGB int64, want []byte) image.Ref {
	w.Helper()
	ref, err := w.disks.Freeze(context.Background(), id, "")
	w.must(err)
	r, err := w.images.Open(context.Background(), "eastus", ref)
	w.must(err)
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) || ref.Size != sizeGB<<30 || ref.Domain != tenant {
		w.Fatalf("%v: %v; the content is the wanted one: %v", ref, err, bytes.Equal(got, want))
	}
	return ref
}

func TestFreeze(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	if _, err := w.disks.Freeze(ctx, w.id("none"), ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a disk that does not exist: %v", err)
	}
	w.done("PUT", disks+"up", creation(upload))
	_, err := w.disks.Freeze(ctx, w.id("up"), "")
	w.refuse(err, 409, "OperationNotAllowed", "its upload must be ended")
	w.done("PUT", disks+"empty", `{"location":"eastus","properties":{"diskSizeGB":4,"creationData":{"createOption":"Empty"}}}`)
	w.holds(w.id("empty"), 4, make([]byte, cluster))

	below := bytes.Repeat([]byte("below "), cluster)[:3*cluster]
	id := w.uploaded("d", below)
	ref, err := w.disks.Freeze(ctx, id, "")
	if err != nil || ref.Size != int64(len(below)) {
		t.Fatalf("a disk that no machine used: %v, %v", ref, err)
	}
	path := w.writes(id, 1, map[int64][]byte{1: []byte("written"), 2: nil, 3: []byte("more")})
	want := append(append(bytes.Clone(below[:cluster]), fit("written")...), make([]byte, cluster)...)
	want = append(want, fit("more")...)
	first := w.holds(id, 1, want)
	if again := w.holds(id, 1, want); again != first {
		t.Errorf("the same bytes are %v and %v", first, again)
	}
	w.must(qcow2test.Write(path, 1<<30, map[int64][]byte{0: []byte("later")}))
	w.holds(id, 1, append(fit("later"), below[cluster:]...))
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("files left: %v", left)
	}
	var offer []image.Ref
	w.must(w.store.View(ctx, func(tx store.Tx) error {
		for _, name := range []string{"empty", "d"} {
			s, err := w.disks.Offer(tx, w.id(name))
			w.must(err)
			if s.Location != "eastus" || len(s.Disks) != 1 || s.Disks[0].LUN != -1 || s.Disks[0].UniqueID == "" {
				t.Errorf("%s offers %+v", name, s)
			}
			offer = append(offer, s.Disks[0].Ref)
		}
		return nil
	}))
	if offer[0].ID != "" || offer[1].ID != "" {
		t.Errorf("a manifest is told that is not the whole truth: %v", offer)
	}
	w.must(qcow2test.Write(path, 2<<30, nil))
	if ref, err := w.disks.Freeze(ctx, id, ""); err == nil {
		t.Errorf("an overlay larger than its disk became %v", ref)
	}
	w.must(os.WriteFile(path, []byte("not an overlay"), 0o600))
	if ref, err := w.disks.Freeze(ctx, id, ""); err == nil {
		t.Errorf("a damaged overlay became %v", ref)
	}
}

func fit(text string) []byte {
	b := make([]byte, cluster)
	copy(b, text)
	return b
}

// TestFreezeRunning: a running machine's disk is read from a copy; a machine that starts while its file is read makes that be
// done again.
func TestFreezeRunning(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	id, machine := w.id("m"), arm.ID{Subscription: sub, ResourceGroup: "rg"}.Child("Microsoft.Compute/virtualMachines", "m")
	w.must(w.store.Update(ctx, func(tx store.Tx) error {
		return w.disks.Create(tx, disk.NewDisk{ID: id, Location: "eastus", SizeGB: 1, Owner: machine, Now: time.Now()})
	}))
	path := w.writes(id, 1, map[int64][]byte{0: []byte("at rest")})
	w.holds(id, 1, fit("at rest"))

	w.live = func(_ context.Context, m arm.ID, from, target string) error {
		if m.Key() != machine.Key() || from != path {
			t.Errorf("copy of %s of %s", from, m)
		}
		return qcow2test.Write(target, 1<<30, map[int64][]byte{0: []byte("in flight")})
	}
	w.holds(id, 1, fit("in flight"))
	w.live = func(context.Context, arm.ID, string, string) error { return errors.New("no space") }
	if ref, err := w.disks.Freeze(ctx, id, ""); err == nil {
		t.Errorf("a copy that failed became %v", ref)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("copies left: %v", left)
	}

	times := 0
	w.live = func(context.Context, arm.ID, string, string) error { // started right after it was found not to run
		if times++; times <= 2 {
			w.must(qcow2test.Write(path, 1<<30, map[int64][]byte{0: []byte("written meanwhile")}))
		}
		return disk.ErrNotRunning
	}
	w.holds(id, 1, fit("written meanwhile"))
	if times != 3 {
		t.Errorf("it was read %d times, want 3", times)
	}
	w.live = func(context.Context, arm.ID, string, string) error {
		w.must(qcow2test.Write(path, 1<<30, map[int64][]byte{0: []byte("always")}))
		return disk.ErrNotRunning
	}
	if ref, err := w.disks.Freeze(ctx, id, ""); err == nil {
		t.Errorf("a disk that is written to all the time became %v", ref)
	}
}

// TestSweepCopies: what a crash leaves of a copy goes, once it is old.
func TestSweepCopies(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	path := w.writes(w.id("d"), 1, nil)
	stray := filepath.Join(filepath.Dir(path), "copy-1")
	w.must(os.WriteFile(stray, nil, 0o600))
	for _, there := range []bool{true, false} {
		w.must(w.disks.Sweep(context.Background()))
		if _, err := os.Stat(stray); (err == nil) != there {
			t.Errorf("the copy is there: %v, want %v", err == nil, there)
		}
		w.clock(2 * time.Hour)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
