package content_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
)

// doubtful is a store's back-end whose commits get no answer, once a test says so.
type doubtful struct {
	store.Driver
	doubt *bool
}

func (d doubtful) Update(ctx context.Context, f func(store.Tx) error) error {
	if err := d.Driver.Update(ctx, f); err != nil || !*d.doubt {
		return err
	}
	return fmt.Errorf("%w: the connection ended", store.ErrInDoubt)
}

// TestInDoubt: bytes stay whose document was written, though nobody heard of it.
func TestInDoubt(t *testing.T) {
	w := newWorld(t)
	doubt := false
	old, next := []byte("what was acknowledged"), []byte("what may have been written")
	for _, row := range []struct {
		name  string
		write func() error
		holds []byte
	}{
		{"one request", func() error { return w.put("b", next) }, next},
		{"a block", func() error { return w.block("b", 1, next) }, nil},
		{"pages", func() error {
			return w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "b"}, 1024, always)
		}, make([]byte, 1024)},
	} {
		w.must(w.put("b", old))
		w.blobs.Store, doubt = store.New(doubtful{w.driver, &doubt}), true
		err := row.write()
		if doubt = false; !errors.Is(err, store.ErrInDoubt) {
			t.Fatalf("%s: %v", row.name, err)
		}
		if row.holds == nil {
			w.must(w.list("b", content.Item{ID: id(1)}))
			row.holds = next
		}
		w.holds("b", row.holds)
	}
}

// TestCopyInDoubt: the same for what a copy has brought, and what takes the place of one that was aborted.
func TestCopyInDoubt(t *testing.T) {
	w := newWorld(t)
	doubt := false
	w.must(w.put("from", []byte("bytes")))
	w.must(w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "pages"}, 1024, always))
	w.blobs.Store = store.New(doubtful{w.driver, &doubt})
	copied := &content.Blob{Name: "aborted"}
	w.must(w.blobs.StartCopy(t.Context(), w.box, copied, content.Source{At: w.at("pages")}, always))
	doubt = true
	if err := w.blobs.AbortCopy(t.Context(), w.at("aborted"), copied.Copy.ID, always); !errors.Is(err, store.ErrInDoubt) {
		t.Fatal(err)
	}
	w.holds("aborted", []byte{})
	doubt = false
	w.must(w.blobs.StartCopy(t.Context(), w.box, &content.Blob{Name: "to"}, content.Source{At: w.at("from")}, always))
	doubt = true
	stop := w.run()
	if c := w.ended("to"); c.Status != content.Success {
		t.Error(c)
	}
	stop()
	if got, err := w.get(w.at("to")); err != nil || !bytes.Equal(got, []byte("bytes")) {
		t.Errorf("%q, %v", got, err)
	}
}
