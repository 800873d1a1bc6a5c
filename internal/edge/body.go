package edge

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	bodyStall = 15 * time.Second // a client that sends nothing of its body for so long is cut off
	bodyGrace = 30 * time.Second // so long may a body be awaited whatever its size
	bodyRate  = 16 << 10         // bytes that earn it one more second
	smallBody = 64 << 10         // a body of no more than this has bodyGrace and nothing on top: a login, a request to ARM

	httpDrains = 256 << 10 // what net/http drains by itself
	drainBytes = 64 << 20  // what we read of a body that the handler refused
	drainTime  = 5 * time.Second
)

// body is a request's body that may come slowly but not stop. What counts is the time spent waiting for the client; what
// the handler does between two reads is its own affair.
type body struct {
	io.ReadCloser
	rc     *http.ResponseController
	turn   *turn
	size   int64 // as announced; negative: unknown
	read   int64
	waited time.Duration
	begun  bool
	ended  bool
}

// limitBody puts a body in place of r's.
func limitBody(w http.ResponseWriter, r *http.Request) *body {
	b := &body{ReadCloser: r.Body, rc: http.NewResponseController(w), turn: &connOf(r).turn, size: r.ContentLength}
	b.turn.begin(r.Body != http.NoBody)
	if r.Body == http.NoBody {
		b.ended = true
		return b
	}
	b.rc.SetReadDeadline(time.Now().Add(bodyStall)) // for net/http, which reads what the handler leaves
	r.Body = b
	return b
}

// patience is how long the client may be awaited now.
func (b *body) patience() time.Duration {
	total := bodyGrace
	if b.size < 0 || b.size > smallBody {
		total += time.Duration(b.read) * time.Second / bodyRate
	}
	return min(bodyStall, total-b.waited)
}

func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	b.begun = true
	b.rc.SetReadDeadline(began.Add(b.patience()))
	return b.take(p, began)
}

func (b *body) take(p []byte, began time.Time) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.waited += time.Since(began)
	if err != nil {
		b.ended = true
	}
	if errors.Is(err, io.EOF) {
		b.turn.pending.Store(false)
		// From here on net/http watches for the client's leaving, which may take as long as the handler needs.
		b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// drain reads what the handler left, within bounds: a client that sends everything before it reads anything would lose
// the answer when we close with bytes unread, since that resets the connection. A client that waits to be asked for its
// body (Expect: 100-continue) needs no such help.
func (b *body) drain(r *http.Request) {
	asks := strings.EqualFold(r.Header.Get("Expect"), "100-continue") && !b.begun
	if b.ended || asks || b.size-b.read > drainBytes {
		return
	}
	b.rc.SetReadDeadline(time.Now().Add(drainTime))
	if b.size < 0 || b.size-b.read >= httpDrains {
		_ = b.rc.Flush() // for a client that can read while it sends; of less net/http itself waits for the rest before it answers
	}
	scrap := make([]byte, 32<<10)
	for end := b.read + drainBytes; !b.ended && b.read < end; {
		if _, err := b.take(scrap, time.Now()); err != nil {
			return
		}
	}
}
