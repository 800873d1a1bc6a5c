package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/packs"
)

// smallDisk mounts a file system of size bytes until the test ends.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("left out: a full disk, because this process may not mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// A disk that runs full refuses early, loses nothing that was stored, leaves nothing half done, and is usable again as soon as
// something was deleted, which must work on a full disk.
func TestFullDisk(t *testing.T) {
	root := smallDisk(t, "48m")
	bucket, err := fileblob.Open(filepath.Join(root, "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, noGrace, func(c *Config) { c.Dir = filepath.Join(root, "image") })
	w.buckets["eastus"] = laid(t, bucket, w.Store.Store, "eastus")
	var refs []Ref
	for seed := uint64(60); ; seed++ {
		d := disk(seed, 6<<20)
		ref, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(d), int64(len(d)), nil)
		if err != nil {
			if !errors.Is(err, blob.ErrFull) {
				t.Fatalf("a full disk says %v", err)
			}
			break
		}
		w.pin(t, ref, "eastus", "/v")
		refs = append(refs, ref)
		if len(refs) > 30 {
			t.Fatal("the disk does not run full")
		}
	}
	for seed := uint64(1000); ; seed++ { // what is left goes in small pieces
		d := bytes.Repeat([]byte{byte(seed), byte(seed >> 8), 7}, chunk.Block)
		if _, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(d), int64(len(d)), nil); err != nil {
			if !errors.Is(err, blob.ErrFull) {
				t.Fatalf("a full disk says %v", err)
			}
			break
		}
		if _, err := bucket.Put(t.Context(), fmt.Sprintf("other/%d", seed), disk(seed, 256<<10)); err != nil {
			break
		}
	}
	const reserve = 48<<20/20 - 64<<10 // files take whole pages, and several are written at once
	if left := free(t, root); left < reserve {
		t.Errorf("%d bytes are free: it was not early", left)
	}
	whole := func(step string) {
		t.Helper()
		for i, ref := range refs {
			w.forgetAll(ref)
			r, err := w.Open(t.Context(), "eastus", ref)
			if err != nil || !bytes.Equal(read(t, r, ref.Size), disk(60+uint64(i), 6<<20)) {
				t.Fatalf("%s: version %d: %v", step, i, err)
			}
		}
	}
	whole("refused")

	// Somebody else takes the rest, to the last byte.
	hog, err := os.Create(filepath.Join(root, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	for buffer := make([]byte, 4096); err == nil; {
		_, err = hog.Write(buffer)
	}
	if !errors.Is(err, unix.ENOSPC) || hog.Close() != nil {
		t.Fatal(err)
	}
	d := disk(99, 1<<20)
	if _, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(d), int64(len(d)), nil); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Pack = %v", err)
	}
	if _, err := w.Base(t.Context(), "eastus", refs[0]); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Base = %v", err)
	}
	for _, left := range []string{"bucket/.tmp/*/*", "image/cache/half/*"} {
		if found, err := filepath.Glob(filepath.Join(root, left)); err != nil || len(found) > 0 {
			t.Errorf("half done: %v, %v", found, err)
		}
	}
	whole("full")

	for _, ref := range refs[len(refs)/2:] {
		w.unpin(t, ref, "eastus", "/v")
	}
	if r := w.collect(t, "eastus"); r.Objects == 0 {
		t.Fatalf("nothing can be freed: %+v", r)
	}
	refs = refs[:len(refs)/2]
	whole("collected")
	w.pack(t, "eastus", d)
	if _, err := w.Base(t.Context(), "eastus", refs[0]); err != nil {
		t.Errorf("Base after room was made: %v", err)
	}
}

// On a full disk deleting frees room also where each pack still has something that is needed: moving that may use the room kept back.
func TestFullDiskOfHalves(t *testing.T) {
	root := smallDisk(t, "48m")
	bucket, err := fileblob.Open(filepath.Join(root, "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, noGrace, func(c *Config) { c.Dir = filepath.Join(root, "image") })
	w.buckets["eastus"], err = packs.New(packs.Config{Bucket: bucket, Store: w.Store.Store, Region: "eastus", Target: 1 << 20}.InFiles())
	if err != nil {
		t.Fatal(err)
	}
	const size = 3 << 20
	var first, second []Ref
	half := func(seed uint64) []byte { // shares each second stretch with the disk of seed
		d, own := noise(seed, size), noise(seed+500, size)
		for at := 0; at < size; at += 512 << 10 {
			copy(d[at:at+256<<10], own[at:])
		}
		return d
	}
	store := func(d []byte, holder string) (Ref, bool) {
		ref, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(d), size, nil)
		if err != nil {
			if !errors.Is(err, blob.ErrFull) {
				t.Fatal(err)
			}
			return ref, false
		}
		w.pin(t, ref, "eastus", holder)
		return ref, true
	}
	for seed := uint64(1); ; seed++ {
		a, ok := store(noise(seed, size), "/first")
		if !ok {
			break
		}
		b, ok := store(half(seed), "/second")
		if !ok {
			break
		}
		if first, second = append(first, a), append(second, b); len(first) > 20 {
			t.Fatal("the disk does not run full")
		}
	}
	w.collect(t, "eastus") // what the last one, refused, left
	for n := 0; err == nil; n++ {
		_, err = bucket.Put(t.Context(), fmt.Sprintf("other/%d", n), noise(uint64(n), chunk.Block))
	}
	if !errors.Is(err, blob.ErrFull) {
		t.Fatal(err)
	}
	before := free(t, root)
	for _, ref := range first {
		w.unpin(t, ref, "eastus", "/first")
	}
	if r := w.collect(t, "eastus"); r.Objects == 0 || r.Packs == 0 {
		t.Fatalf("nothing can be freed: %+v", r)
	}
	if freed := free(t, root) - before; freed < int64(len(first))*size/4 {
		t.Errorf("%d bytes became free of %d versions of %d bytes, half of which nobody needs", freed, len(first), size)
	}
	for i, ref := range second {
		w.forgetAll(ref)
		w.wantReadable(t, "eastus", ref, half(uint64(i)+1))
	}
	if _, ok := store(noise(999, size), "/after"); !ok {
		t.Error("the disk is still full")
	}
}

// noise is bytes that do not compress.
func noise(seed uint64, n int) []byte {
	r, b := rand.New(rand.NewPCG(seed, 7)), make([]byte, 0, n)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b
}
