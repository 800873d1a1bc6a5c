package content_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/image"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// hooked is a bucket's back-end that fails or waits where a test says so.
type hooked struct {
	*blob.Bucket
	mu   sync.Mutex
	hook func(verb, key string) error
}

func (h *hooked) set(f func(verb, key string) error) { h.mu.Lock(); defer h.mu.Unlock(); h.hook = f }

func (h *hooked) call(verb, key string) error {
	h.mu.Lock()
	f := h.hook
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(verb, key)
}

func (h *hooked) Put(ctx context.Context, key string, data []byte) (bool, error) {
	if err := h.call("put", key); err != nil {
		return false, err
	}
	return h.Bucket.Put(ctx, key, data)
}

func (h *hooked) Get(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := h.call("get", key); err != nil {
		return nil, err
	}
	if n < 0 {
		return h.Bucket.Get(ctx, key)
	}
	return h.GetRange(ctx, key, off, n)
}

func (h *hooked) Delete(ctx context.Context, key string) error {
	if err := h.call("delete", key); err != nil {
		return err
	}
	return h.Bucket.Delete(ctx, key)
}

// lossy is a store's back-end that loses the first race of every transaction, as one does beside other servers.
type lossy struct{ store.Driver }

func (l lossy) Update(ctx context.Context, f func(store.Tx) error) error {
	lost := errors.New("lost")
	err := l.Driver.Update(ctx, func(tx store.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return lost
	})
	if !errors.Is(err, lost) {
		return err
	}
	return l.Driver.Update(ctx, f)
}

// world is the blobs of one server, with one container.
type world struct {
	*testing.T
	driver store.Driver
	store  *store.Store
	blobs  *content.Store
	images *image.Store
	bucket *hooked
	box    content.Container
	ahead  atomic.Int64
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) pass(d time.Duration) { w.ahead.Add(int64(d)) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, driver: lossy{memstore.Open()}, bucket: &hooked{Bucket: memblob.New()}}
	w.store = store.New(w.driver)
	t.Cleanup(func() { w.store.Close() })
	var err error
	w.images, err = image.New(image.Config{Store: w.store, Dir: t.TempDir(), Workers: 2, Buckets: w.buckets})
	w.must(err)
	t.Cleanup(func() { w.images.Close() })
	w.restart()
	w.box = w.container()
	return w
}

func (w *world) buckets(string) (*blob.Bucket, error) { return blob.New(w.bucket), nil }

// restart is another process on the same store and bytes.
func (w *world) restart() {
	w.blobs = content.New(content.Config{Store: w.store, Images: w.images, Bucket: w.buckets, Now: w.now})
}

func (w *world) container() content.Container {
	w.Helper()
	c := content.Container{UID: uuid.NewString(), Region: "westeurope"}
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return w.blobs.Welcome(tx, c, "tenant") }))
	return c
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// code is the refusal's; empty when there was none.
func (w *world) code(err error) string {
	w.Helper()
	var e *content.Error
	if errors.As(err, &e) {
		return e.Code
	}
	w.must(err)
	return ""
}

func (w *world) at(name string) content.Address { return content.Address{Container: w.box, Name: name} }

func always(*content.Blob) error { return nil }

func (w *world) put(name string, data []byte) error {
	return w.blobs.PutBlob(context.Background(), w.box, &content.Blob{Name: name}, bytes.NewReader(data), int64(len(data)), always)
}

func id(n int) string { return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%06d", n)) }

func (w *world) block(name string, n int, data []byte) error {
	return w.blobs.PutBlock(context.Background(), w.at(name), id(n), bytes.NewReader(data), int64(len(data)), always)
}

func (w *world) list(name string, items ...content.Item) error {
	return w.blobs.PutBlockList(context.Background(), w.box, &content.Blob{Name: name}, items, always)
}

// get reads a whole blob.
func (w *world) get(at content.Address) ([]byte, error) {
	b, err := w.blobs.Head(context.Background(), at)
	if err != nil {
		return nil, err
	}
	var r io.ReaderAt
	if b.Kind == content.Page {
		u, err := w.blobs.Pages(b)
		if err != nil {
			return nil, err
		}
		defer u.Close()
		r = u
	} else if r, err = w.blobs.Open(context.Background(), b); err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, b.Size))
}

// holds compares a blob with what it must be; nil: it must not be there.
func (w *world) holds(name string, want []byte) {
	w.Helper()
	got, err := w.get(w.at(name))
	if want == nil {
		if w.code(err) != "BlobNotFound" {
			w.Errorf("%s: %v, want BlobNotFound", name, err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, want) {
		w.Errorf("%s holds %.60q… (%d bytes, %v), want %.60q… (%d bytes)", name, got, len(got), err, want, len(want))
	}
}

// kept counts the stored pieces, and the files of page blobs.
func (w *world) kept() (pieces, files int) {
	w.Helper()
	for info, err := range w.bucket.All(context.Background(), "") {
		w.must(err)
		if strings.HasPrefix(info.Key, "storage/") {
			pieces++
		}
	}
	list, err := w.images.Uploads()
	w.must(err)
	return pieces, len(list)
}

func (w *world) keeps(pieces, files int) {
	w.Helper()
	if p, f := w.kept(); p != pieces || f != files {
		w.Errorf("%d pieces and %d files are kept, want %d and %d", p, f, pieces, files)
	}
}

func (w *world) sweep() {
	w.Helper()
	w.must(w.blobs.Sweep(context.Background()))
}

func (w *world) forget(c content.Container) {
	w.Helper()
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return w.blobs.Forget(tx, c) }))
}
