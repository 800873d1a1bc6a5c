package content_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/image"
	"vitrine/internal/provider/storage/content"
)

func TestBlockLists(t *testing.T) {
	w := newWorld(t)
	latest := func(n int) content.Item { return content.Item{ID: id(n)} }
	committed := func(n int) content.Item { return content.Item{ID: id(n), From: content.Committed} }
	fresh := func(n int) content.Item { return content.Item{ID: id(n), From: content.Uncommitted} }
	w.must(w.block("b", 1, []byte("one ")))
	w.must(w.block("b", 2, []byte("two ")))
	w.holds("b", nil)
	if got := w.code(w.list("b", committed(1))); got != "InvalidBlockList" {
		t.Errorf("committed before there was a list: %s", got)
	}
	w.must(w.list("b", latest(2), fresh(1), latest(2)))
	w.holds("b", []byte("two one two "))
	w.must(w.block("b", 1, []byte("new ")))
	w.must(w.list("b", committed(1), committed(2)))
	w.holds("b", []byte("one two "))
	if got := w.code(w.list("b", fresh(1))); got != "InvalidBlockList" {
		t.Errorf("a block that the last list left out is still there: %s", got)
	}
	w.must(w.block("b", 1, []byte("newer ")))
	w.must(w.block("b", 1, []byte("newest ")))
	w.must(w.list("b", latest(1), committed(1), committed(2)))
	w.holds("b", []byte("newest one two "))
	w.must(w.list("b"))
	w.holds("b", []byte{})
	w.must(w.block("b", 3, []byte("three")))
	w.must(w.put("b", []byte("whole")))
	if got := w.code(w.list("b", fresh(3))); got != "InvalidBlockList" {
		t.Errorf("a block outlived Put Blob: %s", got)
	}
	w.holds("b", []byte("whole"))
	for _, bad := range []string{"", "no base64!", "YQ", strings.Repeat("QUFB", 22)} {
		err := w.blobs.PutBlock(t.Context(), w.at("b"), bad, strings.NewReader("x"), 1, always)
		if w.code(err) != "InvalidQueryParameterValue" {
			t.Errorf("block ID %q: %v", bad, err)
		}
	}
	w.must(w.block("b", 4, []byte("four")))
	if err := w.blobs.PutBlock(t.Context(), w.at("b"), "QQ==", strings.NewReader("x"), 1, always); w.code(err) != "InvalidBlobOrBlock" {
		t.Errorf("a shorter ID: %v", err)
	}
	if got := w.code(w.list("b", make([]content.Item, content.MaxBlocks+1)...)); got != "BlockListTooLong" {
		t.Errorf("too long a list: %s", got)
	}
}

// TestManyBlocks holds 50,000 blocks to a time that a quadratic algorithm misses by far.
func TestManyBlocks(t *testing.T) {
	if testing.Short() {
		t.Skip("50,000 blocks")
	}
	w := newWorld(t)
	items := make([]content.Item, content.MaxBlocks)
	want := make([]byte, content.MaxBlocks)
	for i := range items {
		items[i] = content.Item{ID: id(i)}
		want[i] = byte(i)
		w.must(w.block("many", i, want[i:i+1]))
	}
	begun := time.Now()
	w.must(w.list("many", items...))
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("a list of 50,000 blocks took %s", took)
	}
	w.holds("many", want)
	committed, fresh, err := w.blobs.Blocks(t.Context(), w.at("many"))
	if err != nil || len(committed) != content.MaxBlocks || len(fresh) != 0 {
		t.Errorf("%d and %d blocks, %v", len(committed), len(fresh), err)
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	good := []string{"a", "..", "../../etc/passwd", "a//b", "/", "//", ".", "a/./b", "%2F", "a\\b", "é", "e\u0301", "日本", "a b", "\x01", "A", strings.Repeat("a", 1024), "x.\n"}
	for _, name := range good {
		if err := w.put(name, []byte(name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range good {
		w.holds(name, []byte(name))
	}
	for _, name := range []string{"", strings.Repeat("a", 1025), strings.Repeat("é", 513), "a\x00b", "a\xffb", "a" + content.Last} {
		if got := w.code(w.put(name, nil)); got != "InvalidResourceName" {
			t.Errorf("%.20q: %s", name, got)
		}
	}
	var listed []string
	for after := ""; ; {
		page, err := w.blobs.List(t.Context(), w.box, "", after, 3)
		w.must(err)
		for _, b := range page {
			if b.Name <= after {
				t.Fatalf("%q after %q", b.Name, after)
			}
			listed, after = append(listed, b.Name), b.Name
		}
		if len(page) < 3 {
			break
		}
	}
	if len(listed) != len(good) {
		t.Errorf("%d of %d names were listed: %q", len(listed), len(good), listed)
	}
	for _, bad := range []string{"a\x00", "\xff", strings.Repeat("a", 1025)} {
		if _, err := w.blobs.List(t.Context(), w.box, bad, "", 3); w.code(err) != "OutOfRangeQueryParameterValue" {
			t.Errorf("prefix %.9q: %v", bad, err)
		}
		if _, err := w.blobs.List(t.Context(), w.box, "", bad, 3); w.code(err) != "OutOfRangeQueryParameterValue" {
			t.Errorf("after %.9q: %v", bad, err)
		}
	}
}

// TestContainersApart: what is in one container is in no other, also where one's name begins as the other's does.
func TestContainersApart(t *testing.T) {
	w := newWorld(t)
	first := w.box
	w.must(w.put("a", []byte("first")))
	w.box = w.container()
	w.must(w.put("b", []byte("second")))
	w.holds("a", nil)
	for _, prefix := range []string{"", "a", "../", first.UID} {
		list, err := w.blobs.List(t.Context(), w.box, prefix, "", 10)
		if err != nil || prefix != "" && len(list) != 0 || len(list) > 1 {
			t.Errorf("prefix %q: %d blobs, %v", prefix, len(list), err)
		}
	}
}

// TestUploadOutlivesContainer: who began before the container was deleted writes nowhere, also when another of its name came.
func TestUploadOutlivesContainer(t *testing.T) {
	w := newWorld(t)
	w.must(w.put("old", []byte("old")))
	w.must(w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "pages"}, 1024, always))
	pages, err := w.blobs.Head(t.Context(), w.at("pages"))
	w.must(err)
	w.must(w.block("late", 1, []byte("block")))
	w.forget(w.box)
	gone := "ContainerNotFound"
	for name, err := range map[string]error{
		"Put Blob": w.put("late", []byte("late")), "Put Block": w.block("late", 2, []byte("late")), "Put Block List": w.list("late", content.Item{ID: id(1)}),
		"Delete":      w.blobs.Delete(t.Context(), w.at("old"), always),
		"Create page": w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "more"}, 512, always),
		"Change":      second(w.blobs.Change(t.Context(), w.at("old"), always)),
		"Lease":       second(w.blobs.ChangeLease(t.Context(), w.at("old"), always)),
		"Put Page": second(w.blobs.WritePages(t.Context(), pages, always, func(u *image.Upload, may func() error) error {
			return u.WriteIf(may, make([]byte, 512), 0)
		})),
	} {
		if got := w.code(err); got != gone {
			t.Errorf("%s: %q, want %s", name, got, gone)
		}
	}
	w.pass(time.Hour)
	w.sweep()
	w.keeps(0, 0)
}

func second[A any](_ A, err error) error { return err }

// TestFailedWrites leave nothing: the disk is full, the client goes away, a condition is not met.
func TestFailedWrites(t *testing.T) {
	w := newWorld(t)
	w.must(w.put("b", []byte("kept")))
	big := bytes.Repeat([]byte("x"), 17<<20)
	n := 0
	w.bucket.set(func(verb, _ string) error {
		if n++; verb == "put" && n == 3 {
			return syscall.ENOSPC
		}
		return nil
	})
	for name, put := range map[string]func() error{"Put Blob": func() error { return w.put("b", big) }, "Put Block": func() error { return w.block("b", 1, big) }} {
		n = 0
		if err := put(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	w.bucket.set(nil)
	if got := w.code(w.blobs.PutBlob(t.Context(), w.box, &content.Blob{Name: "b"}, bytes.NewReader(big[:9<<20]), 10<<20, always)); got != "IncompleteBody" {
		t.Errorf("a body cut off: %s", got)
	}
	refusal := &content.Error{Code: "ConditionNotMet"}
	refuse := func(*content.Blob) error { return refusal }
	for name, err := range map[string]error{
		"Put Blob":    w.blobs.PutBlob(t.Context(), w.box, &content.Blob{Name: "b"}, bytes.NewReader(big), int64(len(big)), refuse),
		"Put Block":   w.blobs.PutBlock(t.Context(), w.at("b"), id(1), bytes.NewReader(big), int64(len(big)), refuse),
		"Create page": w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "b"}, 512, refuse),
		"Delete":      w.blobs.Delete(t.Context(), w.at("b"), refuse),
	} {
		if !errors.Is(err, refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.holds("b", []byte("kept"))
	w.keeps(1, 0)
}

// TestTwoCreate: of many who create a blob that must not be there, one does.
func TestTwoCreate(t *testing.T) {
	w := newWorld(t)
	exists := &content.Error{Code: "BlobAlreadyExists"}
	absent := func(b *content.Blob) error {
		if b != nil {
			return exists
		}
		return nil
	}
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() {
			data := bytes.Repeat([]byte{byte(i)}, 9<<20)
			errs[i] = w.blobs.PutBlob(context.Background(), w.box, &content.Blob{Name: "b"}, bytes.NewReader(data), int64(len(data)), absent)
		})
	}
	group.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("both %d and %d created it", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, exists):
			t.Errorf("%d: %v", i, err)
		}
	}
	w.holds("b", bytes.Repeat([]byte{byte(winner)}, 9<<20))
	w.keeps(2, 0)
}

// TestPageConditions: of many writers who saw the same ETag, one writes; each write gives another ETag, however fast.
func TestPageConditions(t *testing.T) {
	w := newWorld(t)
	w.must(w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "p"}, 1<<20, always))
	seen := map[time.Time]bool{}
	unmet := &content.Error{Code: "ConditionNotMet"}
	for round := range 10 {
		b, err := w.blobs.Head(t.Context(), w.at("p"))
		w.must(err)
		etag := b.Modified()
		if seen[etag] {
			t.Fatalf("round %d: an ETag came twice", round)
		}
		seen[etag] = true
		var group sync.WaitGroup
		errs := make([]error, 4)
		met := make(chan struct{})
		for i := range errs {
			group.Go(func() {
				_, errs[i] = w.blobs.WritePages(context.Background(), b, func(now *content.Blob) error {
					if !now.Modified().Equal(etag) {
						return unmet
					}
					return nil
				}, func(u *image.Upload, may func() error) error {
					return u.WriteIf(func() error {
						if err := may(); err != nil {
							return err
						}
						select { // another that comes in meets this one here
						case met <- struct{}{}:
						case <-met:
						case <-time.After(10 * time.Millisecond):
						}
						return nil
					}, bytes.Repeat([]byte{byte(i + 1)}, 512), 0)
				})
			})
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, unmet):
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d writers met the condition", round, won)
		}
	}
}

// TestLeaseKeepsETag: a lease is no change; a write after its end ends its holder's right to renew it.
func TestLeaseKeepsETag(t *testing.T) {
	w := newWorld(t)
	w.must(w.blobs.CreatePages(t.Context(), w.box, &content.Blob{Name: "p"}, 512, always))
	before, err := w.blobs.Head(t.Context(), w.at("p"))
	w.must(err)
	var holder string
	leased, err := w.blobs.ChangeLease(t.Context(), w.at("p"), func(b *content.Blob) error {
		err := b.Lease.Acquire(15*time.Second, "", w.now())
		holder = b.Lease.ID
		return err
	})
	w.must(err)
	if !leased.Modified().Equal(before.Modified()) {
		t.Error("a lease changed the ETag")
	}
	w.pass(16 * time.Second)
	_, err = w.blobs.WritePages(t.Context(), leased, always, func(u *image.Upload, may func() error) error { return u.ClearIf(may, 0, 512) })
	w.must(err)
	_, err = w.blobs.ChangeLease(t.Context(), w.at("p"), func(b *content.Blob) error { return b.Lease.Renew(holder, w.now()) })
	if got := w.code(err); got != "LeaseIdMismatchWithLeaseOperation" {
		t.Errorf("renewed after somebody else wrote: %q", got)
	}
}

// TestPackBesideWriters packs, writes, replaces and deletes one page blob at once; each image that comes of it is of one moment.
func TestPackBesideWriters(t *testing.T) {
	w := newWorld(t)
	const size = 1 << 20
	w.vhd("p", size, 0)
	b, err := w.blobs.Head(t.Context(), w.at("p"))
	w.must(err)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 50 {
			_, err := w.blobs.WritePages(t.Context(), b, always, func(u *image.Upload, may func() error) error {
				return u.WriteIf(may, bytes.Repeat([]byte{byte(i)}, size), 0)
			})
			var refused *content.Error
			if err != nil && !errors.Is(err, image.ErrUpload) && !errors.As(err, &refused) {
				t.Error(err)
			}
		}
	})
	for range 2 {
		group.Go(func() {
			for range 5 {
				ref, err := w.blobs.Pack(t.Context(), b, "domain")
				var refused *content.Error
				if errors.As(err, &refused) {
					continue // deleted
				}
				if err != nil {
					t.Error(err)
					continue
				}
				w.uniform(ref, size)
			}
		})
	}
	group.Go(func() {
		w.must(w.blobs.Delete(t.Context(), w.at("p"), always))
	})
	group.Wait()
	w.holds("p", nil)
	w.pass(time.Hour + 12*time.Minute)
	w.sweep()
	w.keeps(0, 0)
}

// uniform wants an image all of whose bytes are the same: it was written as a whole each time.
func (w *world) uniform(ref image.Ref, size int) {
	r, err := w.images.Open(context.Background(), "westeurope", ref)
	if err != nil {
		w.Error(err)
		return
	}
	got := make([]byte, size)
	if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
		w.Errorf("the image is of more than one moment (%v)", err)
	}
}
