package lazy

import (
	"time"

	"vitrine/internal/image/pace"
)

const (
	// maxQueue is how many bytes of memory wait for being written, of one base. When there are more, who fetched writes before it answers.
	maxQueue = 8 << 20
	// gatherTime is how long the first waits for others: waking a thread for each chunk costs a tenth of what fetching it does.
	gatherTime = 5 * time.Millisecond
)

// queue is chunks that were answered before they were written, and is a user of each.
type queue struct {
	chunks map[int]*held
	order  []int
	bytes  int
}

func (q *queue) get(i int) *held { return q.chunks[i] }

func (q *queue) hasRoom(h *held) bool { return q.bytes+cap(h.room) <= maxQueue }

// put adds one; it is used once more.
func (q *queue) put(i int, h *held) {
	if q.chunks == nil {
		q.chunks = map[int]*held{}
	}
	h.use(1)
	q.chunks[i] = h
	q.order = append(q.order, i)
	q.bytes += cap(h.room)
}

// first gives the eldest, which stays where readers find it; nil: there is none.
func (q *queue) first() (int, *held) {
	if len(q.order) == 0 {
		return 0, nil
	}
	return q.order[0], q.chunks[q.order[0]]
}

// pop takes the eldest away, unless it is another by now.
func (q *queue) pop(i int) {
	if len(q.order) == 0 || q.order[0] != i {
		return
	}
	h := q.chunks[i]
	delete(q.chunks, i)
	q.order = q.order[1:]
	q.bytes -= cap(h.room)
	h.release()
}

func (q *queue) clear() {
	for len(q.order) > 0 {
		q.pop(q.order[0])
	}
}

// write is a task: it flushes soon after something was queued. At the end, Close flushes what is left.
func (b *Base) write() {
	for {
		select {
		case <-b.wake:
		case <-b.life.Done():
			return
		}
		if pace.Sleep(b.life, gatherTime) != nil {
			return
		}
		b.flush()
	}
}

// flush writes what is queued. Until it is written, readers have it from the queue.
func (b *Base) flush() {
	b.flush1.Lock()
	defer b.flush1.Unlock()
	for {
		b.mu.Lock()
		i, h := b.queue.first()
		if h != nil {
			h.use(1)
		}
		b.mu.Unlock()
		if h == nil {
			return
		}
		kept := b.keep(i, h.plain)
		b.mu.Lock()
		b.note(i, h, kept)
		b.queue.pop(i)
		b.mu.Unlock()
		h.release()
	}
}
