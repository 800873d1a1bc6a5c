package lazy

import (
	"sync"
	"sync/atomic"

	"vitrine/internal/image/chunk"
)

// memory is where chunks are decoded to, used again: in powers of two, so that a chunk holds at most twice its size.
type memory struct {
	pools [classes]sync.Pool // of *held
}

const (
	classes  = 7
	smallest = chunk.Max >> (classes - 1)
)

// held is a chunk in memory, which goes back when nobody needs it any more.
type held struct {
	plain []byte
	room  []byte // that it may lie in
	users atomic.Int32
	pool  *sync.Pool
}

// get gives room for n bytes and what makes decoding them fast, held by one user.
func (m *memory) get(n int) *held {
	class, size := 0, smallest
	for size < n && class < len(m.pools)-1 {
		class, size = class+1, 2*size
	}
	h, ok := m.pools[class].Get().(*held)
	if !ok || cap(h.room) < n+chunk.Slack {
		h = &held{room: make([]byte, 0, max(n, size)+chunk.Slack), pool: &m.pools[class]}
	}
	h.users.Store(1)
	return h
}

// use adds users.
func (h *held) use(n int) { h.users.Add(int32(n)) }

// release takes one away.
func (h *held) release() {
	if h.users.Add(-1) == 0 {
		h.plain = nil
		h.pool.Put(h)
	}
}
