package packs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"vitrine/internal/digest"
	"vitrine/internal/store"
)

// place is the packs of one domain in the region: what this server knows of the records, which are numbered and only grow at their end.
// A server that knows them up to a number reads those that follow. When Tidy takes away some that not everybody may have read, it counts
// that, and everybody reads all again.
type place struct {
	d      *driver
	domain string
	turn   chan struct{} // held while records are read

	mu    sync.RWMutex
	known head
	when  time.Time // the records were last read
	batch int64     // as the driver counted when the records were last read; -1: never
	small bool      // some chunks are objects of their own
	at    [256]map[digest.Digest]spot
	packs map[string]*pack // by key
}

// spot is where a chunk's frame lies.
type spot struct {
	pack           *pack
	offset, length uint32
}

// pack is a pack object as the records have it.
type pack struct {
	key     string // of the object
	record  string // of the document
	written time.Time
	size    int64
	frames  int64 // bytes of all frames in it
	live    int64 // of those that are read from here
	dropped bool  // a record says that it is gone
	chunks  int   // of a reader without records: frames in it
}

// head is the document of a place.
type head struct {
	Next   int64 `json:"next"`             // number of the next record, from 1
	Purged int64 `json:"purged,omitempty"` // how often records were taken away
	Swept  int64 `json:"swept,omitempty"`  // how often packs were deleted that no record names
}

// record is the body of a numbered document: a pack was written, chunks were deleted, or packs were taken away.
type record struct {
	Pack    string    `json:"pack,omitempty"` // key of the object
	Size    int64     `json:"size,omitempty"`
	Frames  int64     `json:"frames,omitempty"` // bytes of all frames in it
	Written time.Time `json:"written,omitzero"`
	Chunks  []byte    `json:"chunks,omitempty"` // of the pack: id (32), offset (4), length (4) of each
	Gone    []byte    `json:"gone,omitempty"`   // ids of chunks that were deleted
	Drops   []string  `json:"drops,omitempty"`  // keys of packs that are gone; their records are deleted
}

// written is a pack to be recorded.
type written struct {
	key    string
	size   int
	frames int64
	spots  []located
	drops  []string
}

const (
	headKind, recordKind = "image.packs", "image.pack"
	spotLen              = 32 + 4 + 4
	recordPage           = 100
)

var (
	errStale   = errors.New("packs: the records changed")
	errSwept   = errors.New("packs: packs without a record were deleted meanwhile")
	errNothing = errors.New("packs: nothing is new")
)

func newPlace(d *driver, domain string) *place {
	p := &place{d: d, domain: domain, turn: make(chan struct{}, 1), batch: -1}
	p.reset()
	return p
}

func (p *place) reset() {
	p.known, p.packs = head{}, map[string]*pack{}
	for i := range p.at {
		p.at[i] = nil
	}
}

func (p *place) headKey() string { return "image/packs/" + p.d.Region + "/" + p.domain }

func (p *place) recordPrefix() string { return "image/pack/" + p.d.Region + "/" + p.domain + "/" }

func (p *place) recordKey(number int64) string {
	return fmt.Sprintf("%s%016x", p.recordPrefix(), number)
}

// read gives the head; a place without one has no records.
func (p *place) read(tx store.Tx) (h head, etag int64, err error) {
	h.Next = 1
	d, err := tx.Get(p.headKey())
	if errors.Is(err, store.ErrNotFound) {
		return h, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &h)
	}
	if err != nil {
		return h, 0, fmt.Errorf("%s: %w", p.headKey(), err)
	}
	return h, d.ETag, nil
}

func (p *place) save(tx store.Tx, h head, etag int64) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: p.headKey(), Kind: headKind, Body: body, ETag: etag})
	return err
}

// seen says whether the records were read since a batch began.
func (p *place) seen(batch int64) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.batch >= batch
}

// ready reads the records unless that was done a moment ago.
func (p *place) ready(ctx context.Context) error {
	p.mu.RLock()
	age := p.d.Now().Sub(p.when)
	p.mu.RUnlock()
	if p.seen(0) && age >= 0 && age < Fresh {
		return nil
	}
	return p.refresh(ctx)
}

func (p *place) now() head {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.known
}

func (p *place) loose() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.small
}

func (p *place) find(id digest.Digest) (spot, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	at, ok := p.at[id[0]][id]
	return at, ok
}

// refresh reads the records that are new, or all when some were taken away.
func (p *place) refresh(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.d.mu.Lock()
	batch := p.d.batch
	p.d.mu.Unlock()
	if !p.seen(0) {
		loose, err := p.d.Bucket.List(ctx, chunkPrefix+p.domain+"/", "", 1)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.small = len(loose) > 0
		p.mu.Unlock()
	}
	known, when := p.now(), p.d.Now()
	var h head
	var docs []store.Document
	err := p.d.Store.View(ctx, func(tx store.Tx) (err error) {
		docs = nil
		if h, _, err = p.read(tx); err != nil || h.Next == known.Next && h.Purged == known.Purged {
			return err
		}
		after := ""
		if h.Purged == known.Purged && known.Next > 0 {
			after = p.recordKey(known.Next - 1)
		}
		docs, err = p.list(tx, after)
		return err
	})
	if err != nil {
		return fmt.Errorf("packs: %w", err)
	}
	if err := p.learn(h, docs, batch); err != nil {
		return err
	}
	p.mu.Lock()
	p.when = when
	p.mu.Unlock()
	return nil
}

func (p *place) list(tx store.Tx, after string) (docs []store.Document, err error) {
	for {
		page, err := tx.List(store.Query{Kind: recordKind, Prefix: p.recordPrefix(), After: after, Limit: recordPage})
		if err != nil {
			return nil, err
		}
		docs = append(docs, page...)
		if len(page) < recordPage {
			return docs, nil
		}
		after = page[len(page)-1].Key
	}
}

// learn takes over what refresh has read.
func (p *place) learn(h head, docs []store.Document, batch int64) error {
	records := make([]record, len(docs))
	for i, doc := range docs {
		if err := json.Unmarshal(doc.Body, &records[i]); err != nil {
			return fmt.Errorf("packs: %s: %w", doc.Key, err)
		}
		if r := records[i]; len(r.Chunks)%spotLen != 0 || len(r.Gone)%len(digest.Digest{}) != 0 || (r.Pack == "") != (len(r.Chunks) == 0) {
			return fmt.Errorf("packs: %s: malformed record", doc.Key)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.Purged != p.known.Purged {
		p.reset()
	}
	dropped := false
	for i, r := range records {
		p.apply(docs[i].Key, r)
		dropped = dropped || len(r.Drops) > 0
	}
	if dropped {
		p.sweep()
	}
	p.known, p.batch = h, batch
	return nil
}

func (p *place) apply(key string, r record) {
	for _, pack := range r.Drops {
		if old := p.packs[pack]; old != nil {
			old.dropped = true
			delete(p.packs, pack)
		}
	}
	for ids := r.Gone; len(ids) > 0; ids = ids[32:] {
		p.drop(digest.Digest(ids))
	}
	if r.Pack == "" {
		return
	}
	into := &pack{key: r.Pack, record: key, written: r.Written, size: r.Size, frames: r.Frames}
	p.packs[r.Pack] = into
	for s := r.Chunks; len(s) > 0; s = s[spotLen:] {
		id := digest.Digest(s)
		p.drop(id) // the last record counts
		at := spot{into, binary.BigEndian.Uint32(s[32:]), binary.BigEndian.Uint32(s[36:])}
		if p.at[id[0]] == nil {
			p.at[id[0]] = map[digest.Digest]spot{}
		}
		p.at[id[0]][id] = at
		into.live += int64(at.length)
	}
}

// sweep forgets what is located in packs that are gone: Tidy moved what lived there.
func (p *place) sweep() {
	for n := range p.at {
		for id, at := range p.at[n] {
			if at.pack.dropped {
				delete(p.at[n], id)
			}
		}
	}
}

func (p *place) drop(id digest.Digest) {
	if old, ok := p.at[id[0]][id]; ok {
		old.pack.live -= int64(old.length)
		delete(p.at[id[0]], id)
	}
}

// change runs f in a transaction in which the records are those that this server knows, so that f may ask find; then it reads what f wrote.
func (p *place) change(ctx context.Context, f func(store.Tx, *head) error) error {
	for range turns {
		if err := p.refresh(ctx); err != nil {
			return err
		}
		err := p.d.Store.Update(ctx, func(tx store.Tx) error {
			h, etag, err := p.read(tx)
			if err != nil {
				return err
			}
			if known := p.now(); h.Next != known.Next || h.Purged != known.Purged {
				return errStale
			}
			if err := f(tx, &h); err != nil {
				return err
			}
			return p.save(tx, h, etag)
		})
		if errors.Is(err, errStale) {
			continue
		}
		if err != nil {
			return err
		}
		return p.refresh(ctx)
	}
	return fmt.Errorf("packs of %s: %w", p.domain, errStale)
}

// put writes the next record.
func (p *place) put(tx store.Tx, h *head, r record) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: p.recordKey(h.Next), Kind: recordKind, Body: body})
	h.Next++
	return err
}

// record writes that there is a pack.
func (p *place) record(tx store.Tx, h *head, w written) error {
	chunks := make([]byte, 0, spotLen*len(w.spots))
	for _, at := range w.spots {
		chunks = append(chunks, at.id[:]...)
		chunks = binary.BigEndian.AppendUint32(chunks, at.offset)
		chunks = binary.BigEndian.AppendUint32(chunks, at.length)
	}
	return p.put(tx, h, record{Pack: w.key, Size: int64(w.size), Frames: w.frames, Drops: w.drops, Written: p.d.Now().UTC(), Chunks: chunks})
}

// forget records that chunks are gone: those that are there.
func (p *place) forget(ctx context.Context, ids []digest.Digest) error {
	err := p.change(ctx, func(tx store.Tx, h *head) error {
		var gone []byte
		for _, id := range ids {
			if _, there := p.find(id); there {
				gone = append(gone, id[:]...)
			}
		}
		if len(gone) == 0 {
			return errNothing
		}
		return p.put(tx, h, record{Gone: gone})
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}
