package pages

import (
	"context"
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"vitrine/internal/image/format"
)

// download reads a disk by its signed URL and writes it in the form of a plan, window by window in the disk's order; some
// windows are on their way at once.
type download struct {
	*Blob
	size     int64
	plan     *format.Plan
	to       Target
	received int64
}

// Download writes the disk of size bytes, of which spans hold something, in the form of plan, and tells how many bytes it received.
func (b *Blob) Download(ctx context.Context, spans []format.Span, plan *format.Plan, to Target) (int64, error) {
	d := &download{Blob: b, size: plan.Disk, plan: plan, to: to}
	err := d.run(ctx, spans)
	return d.received, err
}

func (d *download) tell(done int64) {
	if d.Progress != nil {
		d.Progress(done, d.size)
	}
}

// Target takes the parts of a file.
type Target interface {
	has(at, n int64) []byte          // a window that an earlier run put there; nil: it is not there
	put(b []byte, at int64) error    // a stretch of the file; stretches ascend
	landed(at int64, b []byte) error // all of a window of the disk was put
	Finish() error                   // makes the file what it is to be
	Discard() error                  // removes all
	Abandon()                        // lets go, and keeps what is needed to go on
}

// arrival is a window that comes.
type arrival struct {
	at, n int64
	body  chan received
}

type received struct {
	b   []byte
	n   int64 // bytes that came
	err error
}

func (d *download) run(ctx context.Context, spans []format.Span) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.Sum.begin(d.size)
	if err := d.put(d.plan.Head, 0); err != nil {
		return err
	}
	workers := d.Workers
	if workers <= 0 {
		workers = 4
	}
	coming := make(chan arrival, workers)
	go d.request(ctx, spans, coming)
	for a := range coming {
		var r received
		select {
		case r = <-a.body:
		case <-ctx.Done():
			return ctx.Err()
		}
		if r.err != nil {
			return r.err
		}
		d.received += r.n
		if err := d.write(r.b, a.at); err != nil {
			return err
		}
		d.tell(a.at + a.n)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.tell(d.size)
	return d.put(d.plan.Tail, d.plan.Size-int64(len(d.plan.Tail)))
}

// put writes what is of the plan, not of the disk.
func (d *download) put(b []byte, at int64) error {
	if len(b) == 0 {
		return nil
	}
	return d.to.put(b, at)
}

// request asks for every window in which something lies, as many at once as the channel holds.
func (d *download) request(ctx context.Context, spans []format.Span, coming chan<- arrival) {
	defer close(coming)
	for at, i := int64(0), 0; at < d.size; at += window {
		n := min(window, d.size-at)
		for i < len(spans) && spans[i].End <= at {
			i++
		}
		first, last := at+n, at
		for j := i; j < len(spans) && spans[j].Start < at+n; j++ {
			first, last = min(first, max(spans[j].Start, at)), max(last, min(spans[j].End, at+n))
		}
		if first >= last {
			continue
		}
		a := arrival{at, n, make(chan received, 1)}
		select {
		case coming <- a:
		case <-ctx.Done():
			return
		}
		if b := d.to.has(at, n); b != nil {
			a.body <- received{b: b}
			continue
		}
		go func() {
			b := make([]byte, n)
			err := d.part(ctx, b[first-at:last-at], first)
			a.body <- received{b, last - first, err}
		}()
	}
}

// part reads some pages, which the server's checksum must agree with.
func (d *download) part(ctx context.Context, b []byte, off int64) error {
	a, err := d.do(ctx, http.MethodGet, "", nil, map[string]string{
		"x-ms-range": fmt.Sprintf("bytes=%d-%d", off, off+int64(len(b))-1), "x-ms-range-get-content-md5": "true"})
	if err != nil {
		return err
	}
	sum := md5.Sum(a.body)
	if len(a.body) != len(b) || a.header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) {
		return fmt.Errorf("the %d bytes at %d did not arrive as they were sent", len(b), off)
	}
	copy(b, a.body)
	return nil
}

// write writes what a window holds to where it goes.
func (d *download) write(b []byte, at int64) error {
	d.Sum.add(at, b)
	for done := int64(0); done < int64(len(b)); {
		place, n := d.plan.Place(at+done, int64(len(b))-done)
		if n <= 0 {
			return errors.New("the plan of the file has no place for a part of the disk")
		}
		if place >= 0 {
			if err := d.to.put(b[done:done+n], place); err != nil {
				return err
			}
		}
		done += n
	}
	return d.to.landed(at, b)
}
