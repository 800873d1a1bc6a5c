package image

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"vitrine/internal/image/format"
)

func (w *world) upload(t *testing.T, id string, size int64) *Upload {
	t.Helper()
	if err := w.CreateUpload(id, size); err != nil {
		t.Fatal(err)
	}
	u, err := w.OpenUpload(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

func writeAt(t *testing.T, u *Upload, off int64, p []byte) {
	t.Helper()
	if _, err := u.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

func TestUploadRanges(t *testing.T) {
	w := newWorld(t)
	u := w.upload(t, "u-1", 1<<20)
	ones := bytes.Repeat([]byte{1}, 64<<10)
	writeAt(t, u, 512, ones[:512])
	writeAt(t, u, 1536, ones[:1024])
	writeAt(t, u, 100<<10, make([]byte, 4096)) // written zeros are no data
	writeAt(t, u, 512<<10, ones)
	list, err := u.Ranges(t.Context(), 0, u.Size())
	if want := "[{512 1024} {1536 2560} {524288 589824}]"; err != nil || fmt.Sprint(list) != want {
		t.Errorf("Ranges = %v, %v, want %s", list, err, want)
	}
	list, err = u.Ranges(t.Context(), 2048, 512<<10)
	if want := "[{2048 2560} {524288 526336}]"; err != nil || fmt.Sprint(list) != want {
		t.Errorf("Ranges of a part = %v, %v, want %s", list, err, want)
	}
	if err := u.Clear(512<<10, 64<<10-512); err != nil {
		t.Fatal(err)
	}
	list, err = u.Ranges(t.Context(), 4096, u.Size()-4096)
	if want := "[{589312 589824}]"; err != nil || fmt.Sprint(list) != want {
		t.Errorf("after Clear: %v, %v, want %s", list, err, want)
	}
	for _, c := range []struct{ off, n int64 }{{1, 512}, {0, 511}, {1 << 20, 512}, {-512, 512}, {1<<20 - 512, 1024}, {0, 0}} {
		if err := u.Clear(c.off, c.n); !errors.Is(err, ErrInvalid) {
			t.Errorf("Clear(%d, %d) = %v", c.off, c.n, err)
		}
		if _, err := u.WriteAt(make([]byte, c.n), c.off); !errors.Is(err, ErrInvalid) {
			t.Errorf("WriteAt(%d, %d) = %v", c.off, c.n, err)
		}
	}
}

func TestUploadLife(t *testing.T) {
	w := newWorld(t)
	u := w.upload(t, "u-1", 4096)
	writeAt(t, u, 0, bytes.Repeat([]byte{1}, 512))
	if err := w.CreateUpload("u-1", 4096); err != nil {
		t.Errorf("creating it twice = %v", err)
	}
	if err := w.CreateUpload("u-1", 8192); !errors.Is(err, ErrInvalid) {
		t.Errorf("creating it with another size = %v", err)
	}
	if list, err := u.Ranges(t.Context(), 0, 4096); err != nil || len(list) != 1 {
		t.Errorf("what was written is gone: %v, %v", list, err)
	}
	if list, err := w.Uploads(); err != nil || len(list) != 1 || list[0].ID != "u-1" || list[0].Size != 4096 {
		t.Errorf("Uploads = %+v, %v", list, err)
	}
	for range 2 {
		if err := w.RemoveUpload("u-1"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.OpenUpload("u-1"); !errors.Is(err, ErrUpload) {
		t.Errorf("OpenUpload = %v", err)
	}
}

func TestFinishUpload(t *testing.T) {
	w := newWorld(t)
	const size = 2 << 20
	d := disk(40, size)
	u := w.upload(t, "u-1", size+format.FooterSize)
	writeAt(t, u, 0, d)
	footer := func(change func([]byte)) []byte {
		f := format.VHDFooter(size)
		change(f[:])
		return f[:]
	}
	other := format.VHDFooter(size + 512)
	for _, c := range []struct {
		page []byte
		want format.Reason
	}{
		{make([]byte, 512), format.NoFooter},
		{footer(func(f []byte) { f[50] ^= 1 }), format.Damaged},
		{other[:], format.SizeMismatch},
	} {
		writeAt(t, u, size, c.page)
		_, err := w.FinishUpload(t.Context(), "u-1", "eastus", dom)
		if e, ok := format.As(err); !ok || e.Reason != c.want {
			t.Errorf("FinishUpload = %v, want %s", err, c.want)
		}
	}
	writeAt(t, u, size, footer(func([]byte) {}))
	ref, err := w.FinishUpload(t.Context(), "u-1", "eastus", dom)
	if err != nil {
		t.Fatal(err)
	}
	w.wantReadable(t, "eastus", ref, d)
	if _, err := u.WriteAt(make([]byte, 512), 0); !errors.Is(err, ErrUpload) {
		t.Errorf("written after the end: %v", err)
	}
	if err := u.Clear(0, 512); !errors.Is(err, ErrUpload) {
		t.Errorf("cleared after the end: %v", err)
	}
	if again, err := w.FinishUpload(t.Context(), "u-1", "eastus", dom); err != nil || again != ref {
		t.Errorf("a second time: %v, %v", again, err)
	}
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	vhd := r.VHD()
	if got, err := format.CheckFixedVHD(vhd, vhd.Size()); err != nil || got != size {
		t.Errorf("exported VHD: %d, %v", got, err)
	}
	if back := read(t, vhd, vhd.Size()); !bytes.Equal(back[:size], d) {
		t.Error("exported VHD has other bytes")
	}
	list, err := vhd.Ranges(t.Context(), 0, vhd.Size())
	if err != nil || list[len(list)-1].End != vhd.Size() {
		t.Errorf("Ranges without the footer: %v, %v", list, err)
	}
}

// The end waits for a write under way, and holds what comes later off, until the upload is opened once more.
func TestFinishWaitsForWriters(t *testing.T) {
	w := newWorld(t)
	const size = 1 << 20
	d := disk(41, size)
	u := w.upload(t, "u-1", size+format.FooterSize)
	writeAt(t, u, 0, d)
	footer := format.VHDFooter(size)
	writeAt(t, u, size, footer[:])
	page := bytes.Repeat([]byte{7}, 512)
	inside, goOn, written := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		written <- u.WriteIf(func() error { close(inside); <-goOn; return nil }, page, 512)
	}()
	<-inside
	finished := make(chan struct{})
	var ref Ref
	var err error
	go func() {
		defer close(finished)
		ref, err = w.FinishUpload(t.Context(), "u-1", "eastus", dom)
	}()
	select {
	case <-finished:
		t.Error("finished beside a writer")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if err := <-written; err != nil {
		t.Error(err)
	}
	<-finished
	if err != nil {
		t.Fatal(err)
	}
	copy(d[512:], page)
	w.wantReadable(t, "eastus", ref, d)
	if err := w.CreateUpload("u-1", size+format.FooterSize); err != nil {
		t.Fatal(err)
	}
	writeAt(t, u, 0, page)
	refusal := errors.New("no")
	if err := u.WriteIf(func() error { return refusal }, page, 0); !errors.Is(err, refusal) {
		t.Errorf("WriteIf = %v", err)
	}
	if err := w.RemoveUpload("u-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := u.WriteAt(page, 0); !errors.Is(err, ErrUpload) {
		t.Errorf("written after the removal: %v", err)
	}
}

// Readers that hold an upload keep writers out until the last has closed, once each; whoever was writing ends first.
func TestHold(t *testing.T) {
	w := newWorld(t)
	u := w.upload(t, "u-1", 1<<20)
	page := bytes.Repeat([]byte{7}, 512)
	inside, goOn, held := make(chan struct{}), make(chan struct{}), make(chan *Upload, 2)
	written := make(chan error, 1)
	go func() { written <- u.WriteIf(func() error { close(inside); <-goOn; return nil }, page, 0) }()
	<-inside
	for range 2 {
		go func() {
			h, err := w.HoldUpload("u-1")
			if err != nil {
				t.Error(err)
			}
			held <- h
		}()
	}
	select {
	case <-held:
		t.Error("held beside a writer")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if err := <-written; err != nil {
		t.Error(err)
	}
	for range 2 {
		h := <-held
		if _, err := u.WriteAt(page, 0); !errors.Is(err, ErrUpload) {
			t.Errorf("written while it is held: %v", err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err == nil { // must not let go of what another holds
			t.Error("closed twice")
		}
	}
	writeAt(t, u, 0, page)
	if _, err := w.HoldUpload("u-2"); !errors.Is(err, ErrUpload) {
		t.Errorf("HoldUpload of nothing = %v", err)
	}
}
