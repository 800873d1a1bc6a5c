package edge

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	roomLook   = 100 * time.Millisecond // between looks for a connection to close, when all are at work
	warnEvery  = 10 * time.Second
	slowReader = 5 * time.Second // a client that takes nothing for so long is one that waits
)

// turn says whose turn it is on a connection: the client's, or ours. Only a connection whose client is awaited may be
// closed to make room.
type turn struct {
	busy    atomic.Bool  // a request is under way: a shutdown waits
	pending atomic.Bool  // its body has not come completely
	reading atomic.Bool  // somebody waits in Read
	writing atomic.Int64 // since when somebody waits in Write; 0: nobody does
	since   atomic.Int64 // when it was accepted, its request began or ended, or its tunnel moved last
}

// waits says since when the client is awaited, in Unix nanoseconds: for a hello, a request's head or body, or to take
// our answer. A body that trickles counts from the request's beginning, or a byte now and then would make it young.
func (t *turn) waits(now int64) (since int64, ok bool) {
	if w := t.writing.Load(); w != 0 && now-w > int64(slowReader) {
		return w, true
	}
	// While a handler works net/http reads too, to learn that the client has gone; that is no wait.
	if t.busy.Load() && !(t.pending.Load() && t.reading.Load()) {
		return 0, false
	}
	return t.since.Load(), true
}

func (t *turn) begin(body bool) {
	t.since.Store(time.Now().UnixNano())
	t.pending.Store(body)
}

// makeRoom waits until one more connection may be open; false after a shutdown began. Of a full table it closes the
// connections whose clients have been awaited longest, so that a flood of silent clients costs its own oldest
// connections and not everybody's. They have no more weight for being of one address: all of a host's clients are.
func (e *Edge) makeRoom() bool {
	for {
		e.mu.Lock()
		full := len(e.conns) >= e.cfg.MaxConns
		e.mu.Unlock()
		if !full {
			return true
		}
		if e.closeOldest(max(1, e.cfg.MaxConns/256)) > 0 {
			continue
		}
		select { // all are at work
		case <-e.freed:
		case <-time.After(roomLook):
		case <-e.stopping:
			return false
		}
	}
}

// closeOldest closes up to n connections that wait for their clients, the longest wait first; several, since to look
// for them takes longer than to close them.
func (e *Edge) closeOldest(n int) int {
	type waiting struct {
		c     *conn
		since int64
	}
	now := time.Now().UnixNano()
	var list []waiting
	e.mu.Lock()
	for c := range e.conns {
		if since, ok := c.waits(now); ok {
			list = append(list, waiting{c, since})
		}
	}
	e.mu.Unlock()
	slices.SortFunc(list, func(a, b waiting) int { return int(min(max(a.since-b.since, -1), 1)) })
	list = list[:min(n, len(list))]
	for _, w := range list {
		w.c.Close()
	}
	if last := e.warned.Load(); len(list) > 0 && now-last > int64(warnEvery) && e.warned.CompareAndSwap(last, now) {
		e.cfg.Log.Warn("too many connections, closed those that waited longest", "closed", len(list), "waited", time.Duration(now-list[0].since))
	}
	return len(list)
}
