package unpack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"vitrine/internal/image/chunk"
)

// disk makes entries with holes between some of them, and what the file must be.
func disk(r *rand.Rand) (entries []chunk.Entry, want []byte) {
	at := int64(0)
	for range 50 {
		if r.IntN(6) == 0 {
			at += int64(1+r.IntN(5)) * chunk.Block
		}
		n := (1 + r.IntN(chunk.Max/chunk.Block)) * chunk.Block
		entries = append(entries, chunk.Entry{Offset: at, Length: n})
		at += int64(n)
	}
	want = make([]byte, at)
	for _, e := range entries {
		for i := e.Offset; i < e.End(); i += 8 {
			binary.LittleEndian.PutUint64(want[i:], r.Uint64())
		}
	}
	return entries, want
}

func TestFile(t *testing.T) {
	entries, want := disk(rand.New(rand.NewPCG(1, 2)))
	offered := 0
	for name, fetch := range map[string]Fetch{
		"in the memory that is offered": func(_ context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
			if cap(dst) < e.Length+chunk.Slack {
				t.Errorf("room for %d bytes is offered to a chunk of %d", cap(dst), e.Length)
			}
			return append(dst[:0], want[e.Offset:e.End()]...), nil
		},
		"in memory of its own": func(_ context.Context, e chunk.Entry, _ []byte) ([]byte, error) {
			return bytes.Clone(want[e.Offset:e.End()]), nil
		},
		"in both, with noise behind the end": func(_ context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
			copy(dst[:cap(dst)][min(e.Length, cap(dst)):], bytes.Repeat([]byte{0xee}, chunk.Slack))
			if offered++; offered%2 == 0 {
				return bytes.Clone(want[e.Offset:e.End()]), nil
			}
			return append(dst[:0], want[e.Offset:e.End()]...), nil
		},
	} {
		f := create(t, int64(len(want)))
		if err := File(t.Context(), f, entries, 1, fetch); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the file is not the disk (%v)", name, err)
		}
	}
}

// Whatever fails ends the work, and is what the caller hears.
func TestFailures(t *testing.T) {
	entries, want := disk(rand.New(rand.NewPCG(3, 4)))
	bad := errors.New("bad chunk")
	fetch := func(_ context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
		if e == entries[len(entries)/2] {
			return nil, bad
		}
		return append(dst[:0], want[e.Offset:e.End()]...), nil
	}
	if err := File(t.Context(), create(t, 0), entries, 3, fetch); !errors.Is(err, bad) {
		t.Errorf("a bad chunk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := File(ctx, create(t, 0), entries[:1], 3, fetch); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	f := create(t, 0)
	f.Close()
	if err := File(t.Context(), f, entries, 3, fetch); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}

// Neighbours make runs of at most a buffer; a hole ends one.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []chunk.Entry
		want    int
	}{
		{"one", []chunk.Entry{{Offset: 0, Length: 4096}}, 1},
		{"neighbours", []chunk.Entry{{Offset: 8192, Length: 4096}, {Offset: 12288, Length: 4096}}, 2},
		{"a hole", []chunk.Entry{{Offset: 0, Length: 4096}, {Offset: 8192, Length: 4096}}, 1},
		{"full", []chunk.Entry{{Offset: 0, Length: runBytes - 4096}, {Offset: runBytes - 4096, Length: 4096}, {Offset: runBytes, Length: 4096}}, 2},
		{"over", []chunk.Entry{{Offset: 0, Length: runBytes - 4096}, {Offset: runBytes - 4096, Length: 8192}}, 1},
	} {
		if got := run(c.entries); got != c.want {
			t.Errorf("%s: a run of %d, not %d", c.name, got, c.want)
		}
	}
}

func create(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}
