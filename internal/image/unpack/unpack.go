// Package unpack makes of a disk's chunks what they were cut from: a sparse file, or a stretch of bytes in order.
//
// It owns the order and the sizes of reads and writes, and how far they run ahead. Where chunks come from, and how they are verified, is the
// caller's; so is making a file durable at the end:
//
//	File    entries ── runs of neighbours ──▶ workers: Fetch, one behind the other in memory ──▶ one write ──▶ the disk begins to write
//	Stream  entries ── one by one ──▶ workers: Source.Part ──▶ in order ──▶ yield, beside the next ones' fetching
package unpack

import (
	"context"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vitrine/internal/image/chunk"
)

// runBytes is how much is written at once: fewer calls, and larger pieces of page cache.
const runBytes = 1 << 20

// Fetch gives the bytes of an entry, verified, in dst if that has room for them.
type Fetch func(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error)

// File writes the entries, which ascend, to their places in f by so many workers.
func File(ctx context.Context, f *os.File, entries []chunk.Entry, workers int, fetch Fetch) error {
	g, ctx := errgroup.WithContext(ctx)
	runs := make(chan []chunk.Entry)
	g.Go(func() error {
		defer close(runs)
		for len(entries) > 0 {
			n := run(entries)
			select {
			case runs <- entries[:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
			entries = entries[n:]
		}
		return nil
	})
	for range workers {
		g.Go(func() error {
			buffer := make([]byte, 0, runBytes+chunk.Slack)
			for r := range runs {
				if err := write(ctx, f, r, buffer, fetch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// run is how many of the first entries lie one directly behind the other and have room in a buffer.
func run(entries []chunk.Entry) int {
	n := 1
	for n < len(entries) && entries[n].Offset == entries[n-1].End() && entries[n].End()-entries[0].Offset <= runBytes {
		n++
	}
	return n
}

// write writes a run. Each entry is decoded directly behind the one before, with the rest of the buffer as the room that makes it fast.
func write(ctx context.Context, f *os.File, run []chunk.Entry, buffer []byte, fetch Fetch) error {
	for _, e := range run {
		at := len(buffer)
		plain, err := fetch(ctx, e, buffer[at:])
		if err != nil {
			return err
		}
		buffer = buffer[:at+len(plain)]
		if len(plain) > 0 && &buffer[at] != &plain[0] {
			copy(buffer[at:], plain)
		}
	}
	at := run[0].Offset
	if _, err := f.WriteAt(buffer, at); err != nil {
		return err
	}
	// The disk begins while the next run is decoded, not when all is done and somebody waits. Where a file system cannot, it does not.
	_ = unix.SyncFileRange(int(f.Fd()), at, int64(len(buffer)), unix.SYNC_FILE_RANGE_WRITE)
	return nil
}
