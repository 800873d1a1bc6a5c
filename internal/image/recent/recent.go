// Package recent remembers what was read of images lately: chunks that were wanted in part, and readers with their parsed manifests.
//
// It owns how much of both is kept, and forgets on request; the bytes were verified by whoever put them here.
//
//	Reader.ReadAt ── Get, Put ──▶ chunks by region and object        Store.Open ── Reader, KeepReader ──▶ R by region and Ref
//	collection, shredding ── Forget, ForgetDomain
package recent

import (
	"container/list"
	"slices"
	"strings"
	"sync"

	"vitrine/internal/image/chunk"
)

const maxReaders = 16 // parsed manifests that are kept

// Cache keeps the last used chunks and readers. It may be used by many goroutines.
type Cache[R any] struct {
	mu      sync.Mutex
	limit   int
	used    int
	order   *list.List // of *cached, last used first
	chunks  map[string]*list.Element
	readers map[string]reader[R]
	recent  []string // keys of readers, last used last
}

type reader[R any] struct {
	ref chunk.Ref
	r   R
}

type cached struct {
	key   string
	plain []byte
}

// New makes one that keeps chunks of so many bytes.
func New[R any](limit int) *Cache[R] {
	return &Cache[R]{limit: limit, order: list.New(), chunks: map[string]*list.Element{}, readers: map[string]reader[R]{}}
}

// Get gives a chunk, which nobody changes.
func (c *Cache[R]) Get(region, key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.chunks[region+"/"+key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).plain, true
}

// Put keeps plain, which nobody changes any more.
func (c *Cache[R]) Put(region, key string, plain []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + key
	if _, ok := c.chunks[k]; ok {
		return
	}
	c.chunks[k] = c.order.PushFront(&cached{k, plain})
	for c.used += cap(plain); c.used > c.limit; {
		last := c.order.Remove(c.order.Back()).(*cached)
		delete(c.chunks, last.key)
		c.used -= cap(last.plain)
	}
}

// Reader gives the reader of a disk.
func (c *Cache[R]) Reader(region string, ref chunk.Ref) (r R, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + ref.String()
	kept, ok := c.readers[k]
	if !ok || kept.ref.Size != ref.Size {
		return r, false
	}
	c.touch(k)
	return kept.r, true
}

// KeepReader keeps one.
func (c *Cache[R]) KeepReader(region string, ref chunk.Ref, r R) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + ref.String()
	c.readers[k] = reader[R]{ref, r}
	c.touch(k)
	if len(c.recent) > maxReaders {
		delete(c.readers, c.recent[0])
		c.recent = c.recent[1:]
	}
}

func (c *Cache[R]) touch(k string) {
	kept := make([]string, 0, len(c.recent)+1)
	for _, old := range c.recent {
		if old != k {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	c.recent = kept
}

// ForgetChunks drops every chunk, and no reader.
func (c *Cache[R]) ForgetChunks() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = 0
	clear(c.chunks)
	c.order.Init()
}

// Forget drops what a collection has deleted.
func (c *Cache[R]) Forget(region string, ref chunk.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + ref.String()
	delete(c.readers, k)
	c.touch(k)
	c.recent = c.recent[:len(c.recent)-1]
}

// ForgetDomain drops all that is of a domain.
func (c *Cache[R]) ForgetDomain(domain string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.chunks {
		if strings.Contains(key, "/chunks/"+domain+"/") {
			c.used -= cap(e.Value.(*cached).plain)
			c.order.Remove(e)
			delete(c.chunks, key)
		}
	}
	c.recent = slices.DeleteFunc(c.recent, func(k string) bool {
		gone := c.readers[k].ref.Domain == domain
		if gone {
			delete(c.readers, k)
		}
		return gone
	})
}
