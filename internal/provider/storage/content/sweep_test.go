package content_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"vitrine/internal/provider/storage/content"
)

// TestSweepInterrupted: a sweep that is cut off anywhere goes on later, and never takes what is in use.
func TestSweepInterrupted(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("x"), 17<<20)
	w.must(w.put("kept", data))
	w.must(w.put("replaced", data))
	w.must(w.put("replaced", []byte("new")))
	w.must(w.block("waiting", 1, data))
	w.vhd("page", 1<<20, 1)
	w.vhd("gone", 1<<20, 1)
	w.must(w.blobs.Delete(t.Context(), w.at("gone"), always))
	box := w.box
	w.box = w.container()
	w.must(w.put("b", data))
	w.vhd("page", 1<<20, 1)
	w.forget(w.box)
	w.box = box
	w.sweep()
	w.keeps(3+3+1+3+3, 3) // the grace
	w.pass(11 * time.Minute)
	broken := errors.New("broken")
	for sweeps := 1; ; sweeps++ {
		n := 0
		w.bucket.set(func(verb, _ string) error {
			if verb == "delete" {
				n++
			}
			if n > sweeps {
				return broken
			}
			return nil
		})
		w.restart() // another process
		err := w.blobs.Sweep(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, broken) || sweeps > 20 {
			t.Fatalf("sweep %d: %v", sweeps, err)
		}
	}
	w.bucket.set(nil)
	w.keeps(3+1+3, 1)
	w.holds("kept", data)
	w.holds("replaced", []byte("new"))
	w.must(w.list("waiting", content.Item{ID: id(1)}))
	w.holds("waiting", data)
}

// TestSweepOrphans: what a crash left between bytes and document goes after a day, a block that no list named after a week.
func TestSweepOrphans(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("x"), 9<<20)
	w.must(w.put("kept", data))
	w.must(w.block("waiting", 1, data))
	w.must(w.block("listed", 1, data))
	w.must(w.list("listed", content.Item{ID: id(1)}))
	w.must(w.put("replaced", data))
	killed := errors.New("killed")
	w.bucket.set(func(verb, key string) error {
		if verb == "delete" { // the process ends before it can clean up
			return killed
		}
		return nil
	})
	err := w.blobs.PutBlob(t.Context(), w.box, &content.Blob{Name: "lost"}, bytes.NewReader(data), int64(len(data)), func(*content.Blob) error { return killed })
	if !errors.Is(err, killed) {
		t.Fatal(err)
	}
	w.bucket.set(nil)
	w.keeps(5*2, 0)
	w.sweep()
	w.pass(23 * time.Hour)
	w.restart()
	w.sweep()
	w.keeps(5*2, 0)
	w.copy("kept", "copied")
	w.pass(2 * time.Hour)
	w.restart()
	w.sweep()
	w.keeps(5*2, 0) // a copy that is being made may own them
	stop := w.run()
	w.ended("copied")
	stop()
	w.pass(25 * time.Hour)
	w.must(w.put("replaced", []byte("new"))) // its old bytes are noted, and stay for the grace
	w.sweep()
	w.keeps(4*2+1+2, 0)
	w.pass(11 * time.Minute)
	w.sweep()
	w.keeps(3*2+1+2, 0)
	w.pass(7 * 24 * time.Hour)
	w.sweep()
	w.pass(11 * time.Minute)
	w.sweep()
	w.keeps(2*2+1+2, 0)
	w.holds("kept", data)
	w.holds("copied", data)
	w.holds("listed", data)
	w.holds("waiting", nil)
}
