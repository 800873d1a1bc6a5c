package content_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/provider/storage/content"
)

// vhd makes a page blob of a fixed VHD whose bytes are all fill.
func (w *world) vhd(name string, size int64, fill byte) {
	w.Helper()
	next := &content.Blob{Name: name}
	w.must(w.blobs.CreatePages(context.Background(), w.box, next, size+format.FooterSize, always))
	u, err := w.blobs.Pages(next)
	w.must(err)
	footer := format.VHDFooter(size)
	_, err1 := u.WriteAt(bytes.Repeat([]byte{fill}, int(size)), 0)
	_, err2 := u.WriteAt(footer[:], size)
	w.must(errors.Join(err1, err2, u.Close()))
}

func (w *world) copy(from, to string) *content.Blob {
	w.Helper()
	next := &content.Blob{Name: to}
	w.must(w.blobs.StartCopy(context.Background(), w.box, next, content.Source{At: w.at(from), URL: "https://x/" + from}, always))
	return next
}

// run carries out copies until the returned function is called.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	blobs := w.blobs
	group.Go(func() {
		if err := blobs.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	return func() { cancel(); group.Wait() }
}

// ended waits for the end of a blob's copy.
func (w *world) ended(name string) *content.Copy {
	w.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := w.blobs.Head(context.Background(), w.at(name))
		w.must(err)
		if b.Copy.Status != content.Pending {
			return b.Copy
		}
		if time.Now().After(deadline) {
			w.Fatalf("the copy into %s does not end", name)
		}
		<-tick.C
	}
}

func TestCopies(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("0123456789"), 1<<20)
	w.must(w.put("block", data))
	w.must(w.put("empty", nil))
	w.vhd("page", 1<<20, 7)
	page, err := w.get(w.at("page"))
	w.must(err)
	for _, name := range []string{"block", "empty", "page"} {
		w.copy(name, name+"2")
	}
	if got := w.code(w.put("block2", nil)); got != "PendingCopyOperation" {
		t.Errorf("written while it is filled: %q", got)
	}
	if got := w.code(w.blobs.Delete(t.Context(), w.at("page2"), always)); got != "PendingCopyOperation" {
		t.Errorf("deleted while it is filled: %q", got)
	}
	err = w.blobs.StartCopy(t.Context(), w.box, &content.Blob{Name: "block3"}, content.Source{At: w.at("block2")}, always)
	if got := w.code(err); got != "PendingCopyOperation" {
		t.Errorf("copied from what is filled: %q", got)
	}
	defer w.run()()
	for name, want := range map[string][]byte{"block2": data, "empty2": {}, "page2": page} {
		if c := w.ended(name); c.Status != content.Success || c.Done != c.Total || c.Total != int64(len(want)) {
			t.Errorf("%s: %+v", name, c)
		}
		w.holds(name, want)
	}
	// Onto itself: the bytes stay.
	next := &content.Blob{Name: "block", Metadata: map[string]string{"a": "b"}}
	w.must(w.blobs.StartCopy(t.Context(), w.box, next, content.Source{At: w.at("block")}, always))
	if next.Copy.Status != content.Success || next.Metadata["a"] != "b" {
		t.Errorf("a copy onto itself: %+v", next)
	}
	w.pass(time.Hour)
	w.sweep()
	w.holds("block", data)
}

// TestCopyOfMoment: a source that changes, or goes, makes no copy.
func TestCopyOfMoment(t *testing.T) {
	w := newWorld(t)
	w.must(w.put("replaced", []byte("one")))
	w.must(w.put("deleted", []byte("one")))
	w.must(w.put("described", []byte("one")))
	w.vhd("written", 1<<20, 1)
	for _, name := range []string{"replaced", "deleted", "described", "written"} {
		w.copy(name, name+"2")
	}
	w.must(w.put("replaced", []byte("two")))
	w.must(w.blobs.Delete(t.Context(), w.at("deleted"), always))
	_, err := w.blobs.Change(t.Context(), w.at("described"), func(b *content.Blob) error { b.Headers.Language = "de"; return nil })
	w.must(err)
	b, err := w.blobs.Head(t.Context(), w.at("written"))
	w.must(err)
	_, err = w.blobs.WritePages(t.Context(), b, always, func(u *image.Upload, may func() error) error { return u.ClearIf(may, 0, 512) })
	w.must(err)
	defer w.run()()
	for _, name := range []string{"replaced2", "deleted2", "described2", "written2"} {
		if c := w.ended(name); c.Status != content.Broken || c.Description == "" {
			t.Errorf("%s: %+v", name, c)
		}
		w.holds(name, []byte{})
	}
}

// gate stops a copy of a block blob in its middle.
func (w *world) gate() (inside chan struct{}, goOn func()) {
	inside, open := make(chan struct{}), make(chan struct{})
	var once, release sync.Once
	w.bucket.set(func(verb, key string) error {
		if verb == "put" && strings.HasSuffix(key, "/1") {
			once.Do(func() { close(inside) })
			<-open
		}
		return nil
	})
	return inside, func() { release.Do(func() { w.bucket.set(nil); close(open) }) }
}

// TestCopyCrash: a copy that was cut off is begun anew by the next process, and what the first one wrote goes.
func TestCopyCrash(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("0123456789"), 2<<20)
	w.must(w.put("b", data))
	w.vhd("p", 1<<20, 3)
	page, err := w.get(w.at("p"))
	w.must(err)
	inside, goOn := w.gate()
	w.copy("b", "b2")
	stop := w.run()
	<-inside
	w.bucket.set(func(verb, _ string) error { // the process is killed: nothing it still tries reaches the disk
		if verb != "get" {
			return errors.New("killed")
		}
		return nil
	})
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	w.copy("p", "p2")
	goOn()
	<-ended
	if b, err := w.blobs.Head(t.Context(), w.at("b2")); err != nil || b.Copy.Status == content.Success {
		t.Fatalf("the copy ended after the crash: %+v, %v", b.Copy, err)
	}
	w.bucket.set(nil)
	w.restart()
	defer w.run()()
	for name, want := range map[string][]byte{"b2": data, "p2": page} {
		if c := w.ended(name); c.Status != content.Success {
			t.Errorf("%s: %+v", name, c)
		}
		w.holds(name, want)
	}
	w.pass(25 * time.Hour)
	w.sweep()
	w.keeps(6, 2)
}

// TestCopyAborted: what still runs for an aborted copy does nothing to the blob, and leaves nothing.
func TestCopyAborted(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("0123456789"), 2<<20)
	w.must(w.put("b", data))
	w.vhd("p", 1<<20, 3)
	copied := w.copy("p", "p2")
	if got := w.code(w.blobs.AbortCopy(t.Context(), w.at("p2"), "another", always)); got != "CopyIdMismatch" {
		t.Errorf("aborted by another name: %q", got)
	}
	w.must(w.blobs.AbortCopy(t.Context(), w.at("p2"), copied.Copy.ID, always))
	if got := w.code(w.blobs.AbortCopy(t.Context(), w.at("p2"), copied.Copy.ID, always)); got != "NoPendingCopyOperation" {
		t.Errorf("aborted twice: %q", got)
	}
	w.holds("p2", []byte{})

	inside, goOn := w.gate()
	defer goOn()
	stop := w.run()
	defer stop()
	b2 := w.copy("b", "b2")
	<-inside
	w.must(w.blobs.AbortCopy(t.Context(), w.at("b2"), b2.Copy.ID, always))
	w.must(w.put("b2", []byte("mine")))
	goOn()
	stop()
	w.holds("b2", []byte("mine"))
	w.pass(time.Hour + 12*time.Minute)
	w.sweep()
	w.keeps(3+1, 2)
}

// TestCopyIntoDeletedContainer ends, and leaves nothing.
func TestCopyIntoDeletedContainer(t *testing.T) {
	w := newWorld(t)
	w.must(w.put("b", bytes.Repeat([]byte("0123456789"), 2<<20)))
	from, source := w.box, w.at("b")
	w.box = w.container()
	inside, goOn := w.gate()
	defer goOn()
	stop := w.run()
	defer stop()
	w.must(w.blobs.StartCopy(t.Context(), w.box, &content.Blob{Name: "b"}, content.Source{At: source}, always))
	<-inside
	w.forget(w.box)
	w.pass(time.Hour)
	w.sweep()
	goOn()
	stop()
	w.keeps(3, 0)
	w.box = from
	if data, err := w.get(source); err != nil || len(data) != 20<<20 {
		t.Errorf("the source: %d bytes, %v", len(data), err)
	}
}

// TestCopyNotRecorded: a copy whose end cannot be recorded is begun anew, but not over and over at once.
func TestCopyNotRecorded(t *testing.T) {
	w := newWorld(t)
	w.must(w.put("b", []byte("bytes")))
	from := w.at("b")
	w.box = w.container()
	w.must(w.blobs.StartCopy(t.Context(), w.box, &content.Blob{Name: "b"}, content.Source{At: from}, always))
	w.forget(w.box) // its documents stay for the grace
	begun, often := 0, make(chan struct{})
	w.bucket.set(func(verb, _ string) error {
		if verb == "put" {
			if begun++; begun == 10 {
				close(often)
			}
		}
		return nil
	})
	defer w.run()()
	select {
	case <-often:
		t.Error("the copy is begun again and again")
	case <-time.After(200 * time.Millisecond):
	}
}

// TestCopyInTurn: one container's many copies do not keep another's waiting until all of them are done.
func TestCopyInTurn(t *testing.T) {
	w := newWorld(t)
	w.must(w.put("b", []byte("bytes")))
	many, source := w.box, w.at("b")
	for i := range 40 {
		w.copy("b", id(i))
	}
	w.box = w.container()
	w.must(w.blobs.StartCopy(t.Context(), w.box, &content.Blob{Name: "b"}, content.Source{At: source}, always))
	// Every copy of the first container waits until the second one's has its turn: were all hands full of them, it had none.
	turn, never := make(chan struct{}), time.After(time.Minute)
	var once sync.Once
	w.bucket.set(func(verb, key string) error {
		if verb != "put" {
			return nil
		}
		if strings.Split(key, "/")[1] == w.box.UID {
			once.Do(func() { close(turn) })
		}
		select {
		case <-turn:
			return nil
		case <-never:
			return errors.New("the other container's only copy has no turn")
		}
	})
	defer w.run()()
	if c := w.ended("b"); c.Status != content.Success {
		t.Errorf("%+v", c)
	}
	for i := range 40 {
		b, err := w.blobs.Head(t.Context(), content.Address{Container: many, Name: id(i)})
		if err != nil || b.Copy.Status == content.Broken {
			t.Errorf("%d: %+v, %v", i, b, err)
		}
	}
}
