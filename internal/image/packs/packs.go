// Package packs gathers chunks into pack objects: in an object store each object costs a request, on a disk a file.
//
// It is a back-end of blob over another bucket: whoever holds the bucket sees a chunk as an object by its key, as without packs. It owns
// the pack objects and the records that say which pack has which chunk where; what a chunk is, and who needs it, it does not know.
//
//	chunks/<domain>/<aa>/<id> ── Batch ──▶ packs/<domain>/<pack>, and a record in the store ── Get ──▶ a range of it
//	Delete ──▶ a record          Tidy ──▶ packs with little that lives are rewritten, those with nothing deleted
//	other keys, and chunks that are objects of their own ──▶ the bucket below
//	NewReader: without the store, by the packs' own directories; it only reads
//
// The records are the truth: what they say happens in their transactions, one after the other, so several servers may use the same
// bucket. docs/design/image-format.md has the form of both.
package packs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
	"vitrine/internal/store"
)

// Config is what a Store of packs needs.
type Config struct {
	Bucket  *blob.Bucket // where the packs lie
	Store   *store.Store // where the records lie
	Region  string       // whose bucket it is
	Target  int          // bytes of a pack; 0: 16 MiB, at most 32 MiB
	Uploads int          // packs of a batch that are on their way at once, while the next is filled; 0: 3
	MinLive float64      // a pack of which less than this lives is rewritten; 0: a half
	Direct  bool         // nothing is read ahead: a read costs no request, and the system does so itself
	Now     func() time.Time
}

// InFiles is for a bucket whose objects are files here. Moving what lives costs little, and whoever deletes wants the room: so little
// waste is left. One upload keeps the disk busy.
func (c Config) InFiles() Config {
	c.Uploads, c.MinLive, c.Direct = 1, 0.9, true
	return c
}

// Fresh is for how long a reader believes what it read of the records: after that another server's Replace is seen.
const Fresh = 5 * time.Second

const (
	defaultTarget  = 16 << 20
	defaultUploads = 3
	maxTarget      = 32 << 20
	defaultMinLive = 0.5
	maxFrames      = 8192 // in a pack: its record has 40 bytes for each
	turns          = 20   // attempts at a change that others keep being faster with
)

type driver struct {
	Config
	mu     sync.Mutex
	places map[string]*place // by domain
	batch  int64             // counts batches: what was looked up before the last one began is looked up again
	ahead  *ahead
	drafts sync.Pool // of *draft
}

// New gives the bucket that gathers chunks in packs.
func New(c Config) (*blob.Bucket, error) {
	if c.Bucket == nil || c.Store == nil {
		return nil, errors.New("packs: Bucket and Store are needed")
	}
	if err := chunk.CheckName("region", c.Region); err != nil {
		return nil, err
	}
	if c.Target == 0 {
		c.Target = defaultTarget
	}
	if c.Target < 0 || c.Target > maxTarget {
		return nil, fmt.Errorf("packs: a pack has at most %d bytes, not %d", maxTarget, c.Target)
	}
	if c.Uploads == 0 {
		c.Uploads = defaultUploads
	}
	if c.MinLive == 0 {
		c.MinLive = defaultMinLive
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return blob.New(&driver{Config: c, places: map[string]*place{}, ahead: newAhead(c.Direct)}), nil
}

const chunkPrefix = "chunks/"

// packPrefix begins the keys of a domain's packs.
func packPrefix(domain string) string { return "packs/" + domain + "/" }

// parse reads the key of a chunk.
func parse(key string) (domain string, id digest.Digest, ok bool) {
	rest, found := strings.CutPrefix(key, chunkPrefix)
	domain, _, _ = strings.Cut(rest, "/")
	if !found || chunk.CheckName("domain", domain) != nil {
		return "", id, false
	}
	id, ok = chunk.IDOf(key)
	return domain, id, ok && chunk.Object(domain, id) == key
}

func (d *driver) place(domain string) *place {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.places[domain]
	if p == nil {
		p = newPlace(d, domain)
		d.places[domain] = p
	}
	return p
}

// find locates a chunk as the records are now, or were when the last batch began.
func (d *driver) find(ctx context.Context, p *place, id digest.Digest) (spot, bool, error) {
	d.mu.Lock()
	batch := d.batch
	d.mu.Unlock()
	if !p.seen(batch) {
		if err := p.refresh(ctx); err != nil {
			return spot{}, false, err
		}
	}
	at, ok := p.find(id)
	return at, ok, nil
}

func (d *driver) Put(ctx context.Context, key string, data []byte) (bool, error) {
	domain, id, ok := parse(key)
	if !ok {
		return d.Bucket.Put(ctx, key, data)
	}
	p := d.place(domain)
	if err := p.refresh(ctx); err != nil {
		return false, err
	}
	if _, err := d.Stat(ctx, key); !errors.Is(err, blob.ErrNotFound) {
		return false, err
	}
	n, err := p.store(ctx, one(id, data), false)
	return n > 0, err
}

// Replace makes a pack of one chunk; Tidy joins such packs.
func (d *driver) Replace(ctx context.Context, key string, data []byte) error {
	domain, id, ok := parse(key)
	if !ok {
		return d.Bucket.Replace(ctx, key, data)
	}
	p := d.place(domain)
	if _, err := p.store(ctx, one(id, data), true); err != nil || !p.loose() {
		return err
	}
	return d.Bucket.Delete(ctx, key) // what it replaces may lie open, or be damaged
}

func (d *driver) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return d.Fill(ctx, key, offset, length, nil)
}

// Fill implements blob.Filler.
func (d *driver) Fill(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error) {
	domain, id, ok := parse(key)
	if !ok {
		return below(ctx, d.Bucket, key, offset, length, dst)
	}
	p := d.place(domain)
	var gone error
	for try := range 3 { // a pack may be rewritten between the look at the records and the read
		look := p.ready
		if try > 0 {
			look = p.refresh
		}
		if err := look(ctx); err != nil {
			return nil, err
		}
		at, ok := p.find(id)
		switch {
		case !ok && try == 0 && p.loose(): // most of an old folder's chunks lie so: no look at the records for each
			if data, err := below(ctx, d.Bucket, key, offset, length, dst); !errors.Is(err, blob.ErrNotFound) {
				return data, err
			}
			continue
		case !ok && try == 0:
			continue
		case !ok && p.loose():
			return below(ctx, d.Bucket, key, offset, length, dst)
		case !ok:
			return nil, fmt.Errorf("%w: %q", blob.ErrNotFound, key)
		}
		data, err := within(key, at, offset, length, func(offset, length int64) ([]byte, error) {
			return d.ahead.read(ctx, d.Bucket, stretch{at.pack, offset, length, dst}, d.Now())
		})
		if !errors.Is(err, blob.ErrNotFound) {
			return data, err
		}
		gone = err
	}
	return nil, gone
}

// within reads a part of a chunk's frame from its pack.
func within(key string, at spot, offset, length int64, read func(offset, length int64) ([]byte, error)) ([]byte, error) {
	if length < 0 {
		length = int64(at.length) - offset
	}
	if offset > int64(at.length) || length > int64(at.length)-offset {
		return nil, fmt.Errorf("%w: %d bytes from %d of %q, which has %d", blob.ErrRange, length, offset, key, at.length)
	}
	data, err := read(int64(at.offset)+offset, length)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", key, at.pack.key, err)
	}
	return data, nil
}

// below reads an object of the bucket in which packs lie too.
func below(ctx context.Context, b *blob.Bucket, key string, offset, length int64, dst []byte) ([]byte, error) {
	if length < 0 {
		return b.GetInto(ctx, key, dst)
	}
	return b.GetRangeInto(ctx, key, offset, length, dst)
}

func (d *driver) Stat(ctx context.Context, key string) (blob.Info, error) {
	domain, id, ok := parse(key)
	if !ok {
		return d.Bucket.Stat(ctx, key)
	}
	p := d.place(domain)
	at, ok, err := d.find(ctx, p, id)
	switch {
	case err != nil:
		return blob.Info{}, err
	case ok:
		return blob.Info{Key: key, Size: int64(at.length), Modified: at.pack.written}, nil
	case p.loose():
		return d.Bucket.Stat(ctx, key)
	}
	return blob.Info{}, fmt.Errorf("%w: %q", blob.ErrNotFound, key)
}

func (d *driver) Delete(ctx context.Context, key string) error {
	return d.DeleteMany(ctx, []string{key})
}

// DeleteMany notes in one record for each domain that chunks are gone. Their bytes stay until Tidy.
func (d *driver) DeleteMany(ctx context.Context, keys []string) error {
	chunks, others := map[string][]digest.Digest{}, []string{}
	for _, key := range keys {
		domain, id, ok := parse(key)
		if !ok {
			others = append(others, key)
			continue
		}
		chunks[domain] = append(chunks[domain], id)
	}
	for domain, ids := range chunks {
		p := d.place(domain)
		if err := p.forget(ctx, ids); err != nil {
			return err
		}
		if !p.loose() {
			continue
		}
		for _, id := range ids {
			others = append(others, chunk.Object(domain, id))
		}
	}
	if len(others) == 0 {
		return nil
	}
	return d.Bucket.DeleteMany(ctx, others)
}

// one drafts a pack of one chunk.
func one(id digest.Digest, data []byte) *draft {
	var f draft
	f.add(id, data)
	return &f
}

// store puts a pack and records it, and says how many chunks of it were new. With over, those that are there already are read from
// the new pack henceforth.
func (p *place) store(ctx context.Context, full *draft, over bool) (fresh int, err error) {
	err = p.write(ctx, full, func(at located) bool {
		_, there := p.find(at.id)
		return over || !there
	}, func(tx store.Tx, h *head, w written) error {
		if fresh = len(w.spots); fresh == 0 {
			return errNothing
		}
		return p.record(tx, h, w)
	})
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	return fresh, err
}

// write puts a pack, and then runs record in a transaction, with those of its frames that keep still wants there. If a Tidy deleted
// packs that no record names meanwhile, this may have been one of them: then it puts another. With errNothing the pack goes again.
func (p *place) write(ctx context.Context, full *draft, keep func(located) bool, record func(store.Tx, *head, written) error) error {
	for range turns {
		if err := p.ready(ctx); err != nil {
			return err
		}
		noted := p.now().Swept
		raw, id := newID()
		data := full.finish(raw)
		w := written{key: packPrefix(p.domain) + id, size: len(data), frames: full.frames()}
		if _, err := p.d.Bucket.Put(ctx, w.key, data); err != nil {
			return err
		}
		err := p.change(ctx, func(tx store.Tx, h *head) error {
			if h.Swept != noted {
				return errSwept
			}
			w.spots = w.spots[:0]
			for _, at := range full.spots {
				if keep(at) {
					w.spots = append(w.spots, at)
				}
			}
			return record(tx, h, w)
		})
		if !errors.Is(err, errSwept) && !errors.Is(err, errNothing) {
			return err // what no record names after a failure is for Tidy
		}
		if gone := p.d.Bucket.Delete(ctx, w.key); gone != nil || errors.Is(err, errNothing) {
			return errors.Join(gone, err)
		}
	}
	return fmt.Errorf("packs: %w", errSwept)
}

// draft gives one without frames. Who has stored it, and nobody else, hands it to drafts.Put.
func (d *driver) draft() *draft {
	if f, ok := d.drafts.Get().(*draft); ok {
		f.reset()
		return f
	}
	return &draft{data: make([]byte, 0, d.Target+d.Target/16)}
}

// newID names a pack by chance, not by its content: the same name must never come back after a pack was deleted.
func newID() (raw [idSize]byte, text string) {
	rand.Read(raw[:])
	return raw, hex.EncodeToString(raw[:])
}
