package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"vitrine/internal/image/chunk"
	"vitrine/internal/image/keyring"
	"vitrine/internal/store"
)

// text makes a disk whose content would show anywhere.
func text(mark string, n int) []byte {
	return bytes.Repeat([]byte(mark+"-0123456789abcdef "), n/(len(mark)+18)+1)[:n]
}

func plainly(c *Config) { c.Sealer = nil }

// Neither what is stored nor what it is called tells what is in it.
func TestNothingShows(t *testing.T) {
	w := newWorld(t)
	d := text("secret", 1<<20)
	w.pack(t, "eastus", d)
	sum := sha256.Sum256(d[:chunk.Max])
	n := 0
	for i, err := range w.buckets["eastus"].All(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.buckets["eastus"].Get(t.Context(), i.Key)
		if err != nil || bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("VITRINEM")) || chunk.SealedWith(b) == "" {
			t.Errorf("%s can be read: %v", i.Key, err)
		}
		if strings.Contains(i.Key, hex.EncodeToString(sum[:])) {
			t.Errorf("%s is the content's digest", i.Key)
		}
		n++
	}
	if n < 2 {
		t.Errorf("%d objects", n)
	}
	other := w.pack(t, "westus", d)
	if r, err := w.Pack(t.Context(), "eastus", "tenant-2", bytes.NewReader(d), int64(len(d)), nil); err != nil || r.ID == other.ID {
		t.Errorf("two tenants' names of the same content can be compared: %v", err)
	}
}

// What a server without encryption wrote is read, replicated and collected by one with it, under the same names.
func TestOldStore(t *testing.T) {
	old := newWorld(t, plainly)
	d := disk(40, 3<<20)
	ref := old.pack(t, "eastus", d)
	old.pin(t, ref, "eastus", "/v")
	w := newWorld(t, func(c *Config) { c.Store = old.Config.Store; c.Buckets = old.Config.Buckets })
	w.buckets = old.buckets
	w.wantReadable(t, "eastus", ref, d)
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); err != nil {
		t.Fatal(err)
	}
	w.wantReadable(t, "westus", ref, d)
	again := w.pack(t, "eastus", d)
	if again == ref {
		t.Error("what is packed now has an old name")
	}
	w.wantReadable(t, "eastus", again, d)
	w.unpin(t, ref, "eastus", "/v")
	if r, err := w.CollectOlder(t.Context(), "eastus", -time.Minute); err != nil || r.Manifests != 2 || r.Kept != 0 {
		t.Errorf("collected %+v, %v", r, err)
	}
}

func TestRotate(t *testing.T) {
	w := newWorld(t, noGrace)
	d := disk(41, 2<<20)
	first := w.pack(t, "eastus", d)
	w.pin(t, first, "eastus", "/a")
	before, err := w.Keys().Current(t.Context(), dom)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Keys().Rotate(t.Context(), dom); err != nil {
		t.Fatal(err)
	}
	second := w.pack(t, "eastus", d)
	w.pin(t, second, "eastus", "/b")
	r, err := w.Open(t.Context(), "eastus", second)
	if err != nil || second == first || r.key.ID() == before.ID() {
		t.Fatalf("written with the former key: %v", err)
	}
	w.wantReadable(t, "eastus", first, d)
	w.wantReadable(t, "eastus", second, d)
	w.collect(t, "eastus")
	if i, err := w.Keys().Info(t.Context(), dom); err != nil || len(i.Keys) != 2 {
		t.Fatalf("a key in use was retired: %+v, %v", i, err)
	}
	// A manifest of the former key keeps it, wherever it is.
	if err := w.Replicate(t.Context(), first, "eastus", "westus", nil); err != nil {
		t.Fatal(err)
	}
	w.pin(t, first, "westus", "/a")
	w.unpin(t, first, "eastus", "/a")
	w.collect(t, "eastus")
	w.wantReadable(t, "westus", first, d)
	w.unpin(t, first, "westus", "/a")
	w.collect(t, "westus")
	if i, err := w.Keys().Info(t.Context(), dom); err != nil || len(i.Keys) != 1 || !i.Keys[0].Current {
		t.Errorf("the former key is kept for nothing: %+v, %v", i, err)
	}
	w.wantReadable(t, "eastus", second, d)
}

// A writer whose key is retired under its hands, for nothing had been written with it, takes the new one.
func TestRetiredUnderWriter(t *testing.T) {
	w := newWorld(t, noGrace)
	if _, err := w.Keys().Current(t.Context(), dom); err != nil {
		t.Fatal(err)
	}
	once := true
	src := &hooked{disk(42, 1<<20), func() {
		if once {
			once = false
			if _, err := w.Keys().Rotate(t.Context(), dom); err != nil {
				t.Error(err)
			}
			if err := w.retire(t.Context(), dom); err != nil {
				t.Error(err)
			}
		}
	}}
	ref, err := w.Pack(t.Context(), "eastus", dom, src, int64(len(src.b)), nil)
	if err != nil || once {
		t.Fatal(err)
	}
	w.wantReadable(t, "eastus", ref, src.b)
}

type hooked struct {
	b    []byte
	hook func()
}

func (h *hooked) ReadAt(p []byte, off int64) (int, error) {
	h.hook()
	return bytes.NewReader(h.b).ReadAt(p, off)
}

func TestShred(t *testing.T) {
	w := newWorld(t)
	d := disk(43, 2<<20)
	ref := w.pack(t, "eastus", d)
	w.pin(t, ref, "eastus", "/mine")
	w.pin(t, ref, "eastus", "/foreign")
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); err != nil {
		t.Fatal(err)
	}
	kept, err := w.Pack(t.Context(), "eastus", "tenant-2", bytes.NewReader(d), int64(len(d)), nil)
	if err != nil {
		t.Fatal(err)
	}
	base, err := w.Base(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	no := errors.New("somebody needs it")
	var heard []Pinned
	if _, err := w.Shred(t.Context(), dom, func(_ store.Tx, p []Pinned) error { heard = p; return no }); !errors.Is(err, no) || len(heard) != 2 {
		t.Fatalf("refused: %v, told of %v", err, heard)
	}
	w.wantReadable(t, "eastus", ref, d)
	open, err := w.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	other := newWorld(t, func(c *Config) { c.Store = w.Config.Store; c.Buckets = w.Config.Buckets }) // a second server
	if _, err := other.Open(t.Context(), "eastus", ref); err != nil {
		t.Fatal(err)
	}
	raw, err := w.buckets["eastus"].Get(t.Context(), chunk.ManifestObject(dom, ref.ID))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := w.Shred(t.Context(), dom, func(store.Tx, []Pinned) error { return nil }); err != nil || r.Objects == 0 {
		t.Fatalf("Shred = %+v, %v", r, err)
	}
	if n := w.count(t, "eastus", "chunks/"+dom) + w.count(t, "westus", "") + w.count(t, "eastus", "manifests/"+dom); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	if _, err := os.Stat(base); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the base is left: %v", err)
	}
	if _, err := open.ReadAt(make([]byte, ref.Size), 0); err == nil {
		t.Error("an open reader still reads")
	}
	// Whoever kept a copy of the objects has nothing.
	if _, err := w.readManifest(t.Context(), raw, ref); !errors.Is(err, ErrShredded) {
		t.Errorf("a copy of the manifest: %v", err)
	}
	if _, err := w.Open(t.Context(), "eastus", ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open = %v", err)
	}
	w.wantReadable(t, "eastus", kept, d) // another domain is not touched
	if again := w.pack(t, "eastus", d); again == ref {
		t.Error("a new key gave the old name")
	}
}

// The keys go first: cut off anywhere after, the next collection completes it.
func TestShredCutOff(t *testing.T) {
	w := newWorld(t)
	ref := w.pack(t, "eastus", disk(44, 1<<20))
	w.pin(t, ref, "eastus", "/x")
	err := w.Store.Config.Store.Update(t.Context(), func(tx store.Tx) error { return w.ring.ShredIn(tx, dom) })
	if err != nil {
		t.Fatal(err)
	}
	fresh := newWorld(t, func(c *Config) { c.Store = w.Config.Store; c.Buckets = w.Config.Buckets })
	if _, err := fresh.Open(t.Context(), "eastus", ref); !errors.Is(err, ErrShredded) {
		t.Errorf("Open = %v", err)
	}
	fresh.collect(t, "eastus")
	if n := w.count(t, "eastus", ""); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	if all, err := fresh.Keys().List(t.Context()); err != nil || len(all) != 1 || len(all[0].Keys) != 0 || !all[0].Shredded[0].Done {
		t.Errorf("%+v, %v", all, err)
	}
}

// A publication that the shredding overtakes must not come to life with a dead key.
func TestShredUnderWriter(t *testing.T) {
	w := newWorld(t)
	once := true
	src := &hooked{disk(45, 1<<20), func() {
		if once {
			once = false
			if _, err := w.Shred(t.Context(), dom, func(store.Tx, []Pinned) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	}}
	if _, err := w.Pack(t.Context(), "eastus", dom, src, int64(len(src.b)), nil); !errors.Is(err, keyring.ErrShredded) {
		t.Errorf("Pack = %v", err)
	}
}

// Damage in one region is mended from the other: on reading, on making a base, on replicating, manifest and chunk alike.
func TestMend(t *testing.T) {
	w := newWorld(t)
	d := disk(46, 1<<20)
	ref := w.pack(t, "eastus", d)
	w.pin(t, ref, "eastus", "/v")
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); err != nil {
		t.Fatal(err)
	}
	b, n := w.buckets["eastus"], 0
	for _, prefix := range []string{"chunks/", "manifests/"} {
		for i, err := range w.buckets["westus"].All(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			good, err := w.buckets["westus"].Get(t.Context(), i.Key)
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range [][]byte{flip(good, 0), flip(good, 5), flip(good, len(good)/2), flip(good, len(good)-1), good[:len(good)-1], {}} {
				w.replace(t, i.Key, bad)
				w.forgetAll(ref)
				w.wantReadable(t, "eastus", ref, d)
				n++
				if got, err := b.Get(t.Context(), i.Key); err != nil || !bytes.Equal(got, good) {
					t.Fatalf("%s is not mended: %v", i.Key, err)
				}
			}
			if err := b.Delete(t.Context(), i.Key); err != nil { // lost as a whole
				t.Fatal(err)
			}
			w.forgetAll(ref)
			w.wantReadable(t, "eastus", ref, d)
			n++
		}
	}
	if got := w.mended.Load(); got != int64(n) {
		t.Errorf("counted %d, want %d", got, n)
	}
	// With both damaged the fault names who needs the bytes.
	key := ""
	for i := range b.All(t.Context(), "chunks/") {
		key = i.Key
	}
	for _, region := range []string{"eastus", "westus"} {
		if err := w.buckets[region].Replace(t.Context(), key, []byte{0, 1, 2}); err != nil {
			t.Fatal(err)
		}
	}
	w.forgetAll(ref)
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.ReadAt(make([]byte, ref.Size), 0)
	if c, ok := errors.AsType[*CorruptError](err); !ok || c.Key != key || len(c.Holders) != 1 || c.Holders[0] != "/v" || !strings.Contains(err.Error(), "/v") {
		t.Errorf("both damaged: %v", err)
	}
}

func flip(b []byte, at int) []byte {
	bad := bytes.Clone(b)
	bad[at] ^= 1
	return bad
}
