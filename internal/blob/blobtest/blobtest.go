// Package blobtest is the contract of blob as a test suite; each back-end joins in one line:
//
//	blobtest.Run(t, func(t *testing.T) *blob.Bucket { return fileblob-or-other })
//
// It owns what every back-end must do. What a back-end lacks is named at that call, not here.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"vitrine/internal/blob"
)

// Run runs the suite; open gives a fresh empty bucket.
func Run(t *testing.T, open func(*testing.T) *blob.Bucket) {
	for name, f := range map[string]func(*testing.T, *blob.Bucket){
		"PutGet": testPutGet, "PutKeepsOld": testPutKeepsOld, "Absent": testAbsent, "Range": testRange,
		"Keys": testKeys, "List": testList, "ListNested": testListNested, "Delete": testDelete,
		"Batch": testBatch, "Discard": testDiscard, "Race": testRace, "DataIsCopied": testDataIsCopied,
		"Context": testContext, "Replace": testReplace, "ReplaceRace": testReplaceRace, "GetInto": testGetInto,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func put(t *testing.T, b *blob.Bucket, key, data string) {
	t.Helper()
	if created, err := b.Put(t.Context(), key, []byte(data)); err != nil || !created {
		t.Fatalf("Put(%s) = %v, %v", key, created, err)
	}
}

func want(t *testing.T, b *blob.Bucket, key, data string) {
	t.Helper()
	if got, err := b.Get(t.Context(), key); err != nil || string(got) != data {
		t.Fatalf("Get(%s) = %.40q, %v, want %.40q", key, got, err, data)
	}
}

func wantAbsent(t *testing.T, b *blob.Bucket, key string) {
	t.Helper()
	if _, err := b.Get(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("Get(%s) = %v, want ErrNotFound", key, err)
	}
}

func testPutGet(t *testing.T, b *blob.Bucket) {
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for key, data := range map[string]string{"a": "x", "empty": "", "deep/er/0.9_-x": "y", "big": big} {
		put(t, b, key, data)
		want(t, b, key, data)
		i, err := b.Stat(t.Context(), key)
		if err != nil || i.Size != int64(len(data)) || i.Key != key || i.Modified.IsZero() {
			t.Fatalf("Stat(%s) = %+v, %v", key, i, err)
		}
	}
}

// Memory that is offered is used or not; the result is the object, whatever was in that memory.
func testGetInto(t *testing.T, b *blob.Bucket) {
	data := strings.Repeat("0123456789", 100)
	put(t, b, "k", data)
	put(t, b, "empty", "")
	for _, room := range []int{0, 1, len(data) - 1, len(data), len(data) + 1, 1 << 16} {
		dst := bytes.Repeat([]byte{'#'}, room)
		for key, want := range map[string]string{"k": data, "empty": ""} {
			if got, err := b.GetInto(t.Context(), key, dst); err != nil || string(got) != want {
				t.Fatalf("GetInto(%s) with room for %d = %.40q, %v", key, room, got, err)
			}
		}
	}
	if _, err := b.GetInto(t.Context(), "absent", make([]byte, 0, 10)); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	if _, err := b.GetInto(t.Context(), "../k", nil); !errors.Is(err, blob.ErrKey) {
		t.Errorf("a bad key: %v", err)
	}
	want(t, b, "k", data)
}

func testPutKeepsOld(t *testing.T, b *blob.Bucket) {
	put(t, b, "k", "first")
	if created, err := b.Put(t.Context(), "k", []byte("second")); err != nil || created {
		t.Fatalf("second Put = %v, %v", created, err)
	}
	want(t, b, "k", "first")
}

func testReplace(t *testing.T, b *blob.Bucket) {
	data := []byte("new")
	for _, key := range []string{"a/b", "fresh/key"} {
		if key == "a/b" {
			put(t, b, key, "a longer one that is there")
		}
		if err := b.Replace(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
		want(t, b, key, "new")
		if i, err := b.Stat(t.Context(), key); err != nil || i.Size != 3 {
			t.Errorf("Stat = %+v, %v", i, err)
		}
	}
	data[0] = 'N'
	want(t, b, "a/b", "new")
	if err := b.Replace(t.Context(), "../x", nil); !errors.Is(err, blob.ErrKey) {
		t.Errorf("a bad key: %v", err)
	}
	if err := b.Replace(t.Context(), "big", make([]byte, blob.MaxObject+1)); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if infos, err := b.List(t.Context(), "", "", 10); err != nil || len(infos) != 2 {
		t.Errorf("List = %v, %v", infos, err)
	}
}

// A reader beside replacements sees one whole object or another, never a mixture and never none.
func testReplaceRace(t *testing.T, b *blob.Bucket) {
	put(t, b, "k", strings.Repeat("0", 9000))
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for n := range 3 {
		writers.Go(func() {
			for range 20 {
				if err := b.Replace(t.Context(), "k", bytes.Repeat([]byte{byte('1' + n)}, 9000+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Go(func() {
		for !done.Load() {
			got, err := b.Get(t.Context(), "k")
			if err != nil || len(got) < 9000 || bytes.Count(got, got[:1]) != len(got) {
				t.Errorf("read %d bytes, %v", len(got), err)
				return
			}
		}
	})
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

func testAbsent(t *testing.T, b *blob.Bucket) {
	wantAbsent(t, b, "no")
	wantAbsent(t, b, "no/such")
	if _, err := b.Stat(t.Context(), "no"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat = %v", err)
	}
	if err := b.Delete(t.Context(), "no/such"); err != nil {
		t.Errorf("Delete of nothing = %v", err)
	}
	put(t, b, "dir/x", "1")
	wantAbsent(t, b, "dir")
	if _, err := b.Stat(t.Context(), "dir"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat of a folder = %v", err)
	}
}

func testRange(t *testing.T, b *blob.Bucket) {
	put(t, b, "k", "0123456789")
	for _, c := range []struct {
		off, n int64
		want   string
		err    error
	}{
		{0, 10, "0123456789", nil}, {3, 4, "3456", nil}, {10, 0, "", nil}, {0, 0, "", nil},
		{0, 11, "", blob.ErrRange}, {11, 0, "", blob.ErrRange}, {9, 2, "", blob.ErrRange},
		{-1, 1, "", blob.ErrRange}, {0, -1, "", blob.ErrRange}, {1, 1<<63 - 1, "", blob.ErrRange},
	} {
		got, err := b.GetRange(t.Context(), "k", c.off, c.n)
		if !errors.Is(err, c.err) || string(got) != c.want {
			t.Errorf("GetRange(%d, %d) = %q, %v, want %q, %v", c.off, c.n, got, err, c.want, c.err)
		}
	}
	if _, err := b.GetRange(t.Context(), "no", 0, 1); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("GetRange of nothing = %v", err)
	}
}

func testKeys(t *testing.T, b *blob.Bucket) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", ".tmp", "a/.b", "A", "a b", "a\x00b", "a\\b", "ä",
		"a\n", strings.Repeat("k", blob.MaxKey+1),
	} {
		if _, err := b.Put(t.Context(), key, nil); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Put(%.20q) = %v, want ErrKey", key, err)
		}
		if _, err := b.Get(t.Context(), key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Get(%.20q) = %v, want ErrKey", key, err)
		}
		if _, err := b.Stat(t.Context(), key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Stat(%.20q) = %v, want ErrKey", key, err)
		}
		if err := b.Delete(t.Context(), key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Delete(%.20q) = %v, want ErrKey", key, err)
		}
	}
	if _, err := b.Put(t.Context(), "a", make([]byte, blob.MaxObject+1)); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("Put of too much = %v", err)
	}
}

func keys(t *testing.T, b *blob.Bucket, prefix, after string, limit int) string {
	t.Helper()
	infos, err := b.List(t.Context(), prefix, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, i := range infos {
		s = append(s, fmt.Sprintf("%s:%d", i.Key, i.Size))
	}
	return strings.Join(s, " ")
}

func testList(t *testing.T, b *blob.Bucket) {
	for _, k := range []string{"c/1", "c/2", "c/3", "c-x", "c0", "b", "d"} {
		put(t, b, k, k)
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          string
	}{
		{"", "", 100, "b:1 c-x:3 c/1:3 c/2:3 c/3:3 c0:2 d:1"}, // '-' < '/' < '0'
		{"c/", "", 100, "c/1:3 c/2:3 c/3:3"},
		{"c", "", 100, "c-x:3 c/1:3 c/2:3 c/3:3 c0:2"},
		{"c/", "c/1", 1, "c/2:3"},
		{"", "c/2", 2, "c/3:3 c0:2"},
		{"", "zz", 2, ""},
		{"x/", "", 2, ""},
		{"c/", "b", 1, "c/1:3"},
		{"c/", "c0", 9, ""},
	} {
		if got := keys(t, b, c.prefix, c.after, c.limit); got != c.want {
			t.Errorf("List(%q, %q, %d) = %s, want %s", c.prefix, c.after, c.limit, got, c.want)
		}
	}
	if _, err := b.List(t.Context(), "", "", 0); err == nil {
		t.Error("a page of no objects was served")
	}
}

func testListNested(t *testing.T, b *blob.Bucket) {
	n := 0
	for d := range 16 {
		for i := range 16 {
			put(t, b, fmt.Sprintf("chunks/t/%02x/%02x%02x", d, d, i), "x")
			n++
		}
	}
	last, seen := "", 0
	for i, err := range b.All(t.Context(), "chunks/") {
		if err != nil || i.Key <= last {
			t.Fatalf("%s after %s, %v", i.Key, last, err)
		}
		last, seen = i.Key, seen+1
	}
	if seen != n {
		t.Errorf("All saw %d of %d", seen, n)
	}
}

func testDelete(t *testing.T, b *blob.Bucket) {
	put(t, b, "a/b", "1")
	put(t, b, "a/c", "2")
	if err := b.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, b, "a/b")
	want(t, b, "a/c", "2")
	put(t, b, "a/b", "3")
	want(t, b, "a/b", "3")
	if err := errors.Join(b.Delete(t.Context(), "a"), b.Delete(t.Context(), "a/b/c")); err != nil { // above and below objects
		t.Error(err)
	}
	want(t, b, "a/b", "3")
	if err := b.DeleteMany(t.Context(), []string{"a/b", "a/none", "a", "a/b"}); err != nil {
		t.Error(err)
	}
	wantAbsent(t, b, "a/b")
	want(t, b, "a/c", "2")
}

func testBatch(t *testing.T, b *blob.Bucket) {
	put(t, b, "x/old", "old")
	batch, err := b.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Discard()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 2 { // a key that comes twice is stored once
				if err := batch.Put(t.Context(), fmt.Sprintf("x/%d", i), []byte{byte(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := batch.Put(t.Context(), "x/old", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := batch.Put(t.Context(), "../x", nil); !errors.Is(err, blob.ErrKey) {
		t.Errorf("Put of a bad key = %v", err)
	}
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want(t, b, fmt.Sprintf("x/%d", i), string([]byte{byte(i)}))
	}
	want(t, b, "x/old", "old")
	if infos, err := b.List(t.Context(), "", "", 100); err != nil || len(infos) != 21 {
		t.Errorf("%d objects, %v, want 21", len(infos), err)
	}
}

func testDiscard(t *testing.T, b *blob.Bucket) {
	batch, err := b.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Put(t.Context(), "k", []byte("1")); err != nil {
		t.Fatal(err)
	}
	batch.Discard()
	put(t, b, "k", "2")
	want(t, b, "k", "2")
}

func testRace(t *testing.T, b *blob.Bucket) {
	var created atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ok, err := b.Put(t.Context(), "same/key", bytes.Repeat([]byte{byte(i)}, 1000))
			if err != nil {
				t.Error(err)
			}
			if ok {
				created.Add(1)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 {
		t.Errorf("%d puts created the object", created.Load())
	}
	got, err := b.Get(t.Context(), "same/key")
	if err != nil || len(got) != 1000 || !bytes.Equal(got, bytes.Repeat(got[:1], 1000)) {
		t.Errorf("a mixture was stored: %v", err)
	}
}

func testDataIsCopied(t *testing.T, b *blob.Bucket) {
	data := []byte("abc")
	if _, err := b.Put(t.Context(), "k", data); err != nil {
		t.Fatal(err)
	}
	data[0] = 'x'
	got, err := b.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got[1] = 'x'
	want(t, b, "k", "abc")
}

func testContext(t *testing.T, b *blob.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v", err)
	}
	if _, err := b.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %v", err)
	}
	if _, err := b.List(ctx, "", "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("List = %v", err)
	}
	wantAbsent(t, b, "k")
}
