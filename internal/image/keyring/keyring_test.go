package keyring_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vitrine/internal/image/keyring"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const dom = "tenant-1"

func load(t *testing.T, path string) *seal.Sealer {
	t.Helper()
	s, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Callers that come at once on many servers get one key, and none shows in the document.
func TestFirstKey(t *testing.T) {
	docs, sealer := store.New(memstore.Open()), load(t, filepath.Join(t.TempDir(), "k"))
	var group sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		r := keyring.New(docs, sealer, nil)
		group.Go(func() {
			k, err := r.Current(t.Context(), dom)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.ID()
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] || len(id) != 16 {
			t.Errorf("keys %v", ids)
		}
	}
	r := keyring.New(docs, sealer, nil)
	if other, err := r.Current(t.Context(), "tenant-2"); err != nil || other.ID() == ids[0] {
		t.Errorf("two tenants have one key: %v", err)
	}
	if _, err := r.Find(t.Context(), "tenant-2", ids[0]); !errors.Is(err, keyring.ErrUnknown) {
		t.Errorf("another tenant's key: %v", err)
	}
	if _, err := r.Current(t.Context(), "../x"); err == nil {
		t.Error("a bad domain has a key")
	}
}

// Another server's shredding is felt after Fresh, without a word between the two.
func TestOtherServer(t *testing.T) {
	docs, sealer := store.New(memstore.Open()), load(t, filepath.Join(t.TempDir(), "k"))
	now := time.Now()
	here, there := keyring.New(docs, sealer, func() time.Time { return now }), keyring.New(docs, sealer, nil)
	k, err := here.Current(t.Context(), dom)
	if err != nil {
		t.Fatal(err)
	}
	if err := docs.Update(t.Context(), func(tx store.Tx) error { return there.ShredIn(tx, dom) }); err != nil {
		t.Fatal(err)
	}
	now = now.Add(keyring.Fresh)
	if _, err := here.Find(t.Context(), dom, k.ID()); !errors.Is(err, keyring.ErrShredded) {
		t.Errorf("Find = %v", err)
	}
	if err := docs.View(t.Context(), func(tx store.Tx) error { return keyring.Held(tx, dom, k.ID()) }); !errors.Is(err, keyring.ErrShredded) {
		t.Errorf("Held = %v", err)
	}
	if next, err := here.Current(t.Context(), dom); err != nil || next.ID() == k.ID() {
		t.Errorf("the key came back: %v", err)
	}
}

// A key that was copied from one tenant's document into another's does not open there.
func TestBoundToTenant(t *testing.T) {
	docs, sealer := store.New(memstore.Open()), load(t, filepath.Join(t.TempDir(), "k"))
	r := keyring.New(docs, sealer, nil)
	if _, err := r.Current(t.Context(), dom); err != nil {
		t.Fatal(err)
	}
	err := docs.Update(t.Context(), func(tx store.Tx) error {
		d, err := tx.Get("image/key/" + dom)
		if err != nil {
			return err
		}
		_, err = tx.Put(store.Document{Key: "image/key/tenant-2", Kind: d.Kind, Body: d.Body})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Current(t.Context(), "tenant-2"); !errors.Is(err, seal.ErrResource) {
		t.Errorf("Current = %v", err)
	}
}

func TestRewrap(t *testing.T) {
	docs, path := store.New(memstore.Open()), filepath.Join(t.TempDir(), "master.key")
	first := keyring.New(docs, load(t, path), nil)
	k, err := first.Current(t.Context(), dom)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Rotate(t.Context(), dom); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+seal.FormerSuffix); err != nil {
		t.Fatal(err)
	}
	second := keyring.New(docs, load(t, path), nil)
	if same, err := second.Find(t.Context(), dom, k.ID()); err != nil || !bytes.Equal([]byte(same.ID()), []byte(k.ID())) {
		t.Fatalf("under the former master key: %v", err)
	}
	if n, err := second.Rewrap(t.Context()); err != nil || n != 2 {
		t.Fatalf("Rewrap = %d, %v", n, err)
	}
	if n, err := second.Rewrap(t.Context()); err != nil || n != 0 {
		t.Errorf("again = %d, %v", n, err)
	}
	if err := os.Remove(path + seal.FormerSuffix); err != nil {
		t.Fatal(err)
	}
	third := keyring.New(docs, load(t, path), nil)
	if same, err := third.Find(t.Context(), dom, k.ID()); err != nil || same.ID() != k.ID() {
		t.Errorf("without the former master key: %v", err)
	}
}
