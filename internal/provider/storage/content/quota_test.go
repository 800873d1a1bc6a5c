package content_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"vitrine/internal/provider/storage/content"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// held is what the tenant's quota counts.
func (w *world) held() int64 {
	w.Helper()
	var a quota.Account
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) { a, err = quota.Of(tx, "tenant"); return err }))
	return a.Used
}

// waiting are the bytes of the blocks that no list has named.
func (w *world) waiting() (n int64) {
	w.Helper()
	w.must(w.store.View(context.Background(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: "vitrine.storage/blocks"})
		for _, d := range docs {
			var block struct{ Size int64 }
			err = errors.Join(err, json.Unmarshal(d.Body, &block))
			n += block.Size
		}
		return err
	}))
	return n
}

func (w *world) holding(want int64) {
	w.Helper()
	if n := w.held(); n != want {
		w.Errorf("the quota counts %d bytes, want %d", n, want)
	}
}

func (w *world) limit(n int64) {
	w.Helper()
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return quota.Set(tx, "tenant", quota.Limits{Own: &n}) }))
}

func (w *world) exceeded(err error) {
	w.Helper()
	var e *quota.Exceeded
	if !errors.As(err, &e) {
		w.Errorf("got %v, want that the quota is exceeded", err)
	}
}

// unread is a body of which nothing may be read.
type unread struct{ *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.Error("a byte was asked for that there is no room for")
	return 0, errors.New("unread")
}

// What there is no room for is refused before its first byte is read, whatever way it comes.
func TestQuotaBeforeBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.put("old", []byte("12345")))
	w.must(w.block("blocks", 1, []byte("123")))
	w.limit(10)
	w.holding(8)
	w.exceeded(w.blobs.PutBlob(t.Context(), w.box, &content.Blob{Name: "new"}, unread{t}, 3, always))
	w.exceeded(w.blobs.PutBlock(t.Context(), w.at("blocks"), id(2), unread{t}, 3, always))
	w.exceeded(w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "pages"}, 512, always))
	w.exceeded(w.blobs.StartCopy(t.Context(), w.box, &content.Blob{Name: "copy"}, content.Source{At: w.at("old")}, always))
	w.holding(8)
	w.keeps(2, 0)
	w.must(w.block("blocks", 2, []byte("45")))
	w.must(w.list("blocks", content.Item{ID: id(1)}, content.Item{ID: id(2)}))
	w.holding(10)
	w.exceeded(w.list("blocks", content.Item{ID: id(1)}, content.Item{ID: id(2)}, content.Item{ID: id(2)})) // twice is more to hold
	w.must(w.blobs.Delete(t.Context(), w.at("old"), always))
	w.holding(5)
	w.must(w.put("new", []byte("12345")))
	w.forget(w.box)
	w.holding(0)
	w.pass(time.Hour)
	w.sweep() // what it removes was given back before
	w.holding(0)
}

// A body that breaks off, or whose write is refused, gives back what was reserved for it; what a crash reserved goes by itself.
func TestQuotaGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit(100)
	for _, r := range []string{"", "1234"} { // of five bytes
		if code := w.code(w.blobs.PutBlob(t.Context(), w.box, &content.Blob{Name: "b"}, bytes.NewReader([]byte(r)), 5, always)); code != "IncompleteBody" {
			t.Error(code)
		}
		if code := w.code(w.blobs.PutBlock(t.Context(), w.at("b"), id(1), bytes.NewReader([]byte(r)), 5, always)); code != "IncompleteBody" {
			t.Error(code)
		}
	}
	never := func(*content.Blob) error { return &content.Error{Code: "LeaseIdMissing"} }
	body := func() *bytes.Reader { return bytes.NewReader([]byte("12345")) }
	w.code(w.blobs.PutBlob(t.Context(), w.box, &content.Blob{Name: "b"}, body(), 5, never))
	w.code(w.blobs.PutBlock(t.Context(), w.at("b"), id(1), body(), 5, never))
	w.holding(0)
	crashed, err := quota.Reserve(t.Context(), w.store, "vitrine.storage/homes/"+w.box.UID, 90, w.now())
	if err != nil || crashed == (quota.Reservation{}) {
		t.Fatal(err)
	}
	w.exceeded(w.put("b", make([]byte, 11)))
	w.restart()
	w.pass(2 * time.Hour)
	w.sweep()
	w.must(w.put("b", make([]byte, 11)))
	w.holding(11)
}

// Writers who come together, each with more than its share, do not pass the limit together.
func TestQuotaRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit(100)
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			var err error
			if i%2 == 0 {
				err = w.put(fmt.Sprint("blob", i), make([]byte, 30))
			} else {
				err = w.block("blocks", i, make([]byte, 30))
			}
			if err != nil {
				w.exceeded(err)
			}
		})
	}
	group.Wait()
	w.holding(90)
	if pieces, _ := w.kept(); pieces != 3 {
		t.Errorf("%d pieces are kept, want 3", pieces)
	}
}
