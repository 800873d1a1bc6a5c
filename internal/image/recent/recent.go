package image

import (
	"container/list"
	"slices"
	"strings"
	"sync"
)

const maxReaders = 16 // parsed manifests that are kept

// chunkCache keeps chunks that were read in part, and readers with their parsed manifests, the last used ones.
type chunkCache struct {
	mu      sync.Mutex
	limit   int
	used    int
	order   *list.List // of *cached, last used first
	chunks  map[string]*list.Element
	readers map[string]*Reader
	recent  []string // keys of readers, last used last
}

type cached struct {
	key   string
	plain []byte
}

func newChunkCache(limit int) *chunkCache {
	return &chunkCache{limit: limit, order: list.New(), chunks: map[string]*list.Element{}, readers: map[string]*Reader{}}
}

func (c *chunkCache) get(region, key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.chunks[region+"/"+key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).plain, true
}

// put keeps plain, which nobody changes any more.
func (c *chunkCache) put(region, key string, plain []byte) {
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

func (c *chunkCache) reader(region string, ref Ref) (*Reader, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + ref.String()
	r, ok := c.readers[k]
	if !ok || r.Size() != ref.Size {
		return nil, false
	}
	c.touch(k)
	return r, true
}

func (c *chunkCache) keepReader(region string, ref Ref, r *Reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + ref.String()
	c.readers[k] = r
	c.touch(k)
	if len(c.recent) > maxReaders {
		delete(c.readers, c.recent[0])
		c.recent = c.recent[1:]
	}
}

func (c *chunkCache) touch(k string) {
	kept := make([]string, 0, len(c.recent)+1)
	for _, old := range c.recent {
		if old != k {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	c.recent = kept
}

// forget drops what a collection has deleted.
func (c *chunkCache) forget(region string, ref Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := region + "/" + ref.String()
	delete(c.readers, k)
	c.touch(k)
	c.recent = c.recent[:len(c.recent)-1]
}

// forgetDomain drops all that is of a domain.
func (c *chunkCache) forgetDomain(domain string) {
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
