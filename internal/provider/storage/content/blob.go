package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"vitrine/internal/blob"
	"vitrine/internal/image"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// The kinds of a blob.
const (
	Block = "BlockBlob"
	Page  = "PageBlob"
)

// Last comes after every name that begins with what stands before it: no name holds it.
const Last = "\U0010ffff"

const pageTerm = "page"

// The limits of the service.
const (
	MaxBlocks  = 50_000
	MaxName    = 1024    // characters of a blob's name, and bytes here
	MaxPages   = 8 << 40 // bytes of a page blob
	pieceBytes = 8 << 20 // bytes of a stored piece
	blobKind   = "vitrine.storage/blobs"
)

// Error is a refusal, by the code that the Blob service has for it.
type Error struct{ Code string }

// Error implements error.
func (e *Error) Error() string { return "content: " + e.Code }

func refuse(code string) *Error { return &Error{code} }

// Config is what a Store works with.
type Config struct {
	Store  *store.Store
	Images *image.Store // its uploads are the files of page blobs
	Bucket func(region string) (*blob.Bucket, error)
	Now    func() time.Time
	Grace  time.Duration // for how long bytes that nothing names stay, for readers under way; 0: ten minutes
	Log    *slog.Logger  // nil: nowhere
}

// Store is the blobs of one server's accounts.
type Store struct {
	Config
	kick    chan struct{}
	filling filling
	stripes [64]sync.Mutex // writers of pages: each blob has one of these
	looked  time.Time      // when orphans were looked for
}

// New returns a Store.
func New(c Config) *Store {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{Config: c, kick: make(chan struct{}, 1), filling: filling{done: map[string]*atomic.Int64{}}}
}

// Container is where a blob is: a name that no other container has or will have, and the region of its bytes.
type Container struct {
	UID    string
	Region string
}

// Address is where a blob is.
type Address struct {
	Container
	Name string
}

// Headers are what a client says of a blob's content.
type Headers struct {
	ContentType  string `json:"type,omitempty"`
	Encoding     string `json:"encoding,omitempty"`
	Language     string `json:"language,omitempty"`
	Disposition  string `json:"disposition,omitempty"`
	CacheControl string `json:"cache,omitempty"`
	MD5          string `json:"md5,omitempty"` // base64
}

// Blob is a blob's document.
type Blob struct {
	Name      string            `json:"name"`
	Container string            `json:"container"`
	UID       string            `json:"uid"` // names its bytes
	Kind      string            `json:"kind"`
	Region    string            `json:"region"`
	Size      int64             `json:"size"`
	Created   time.Time         `json:"created"`
	Changed   time.Time         `json:"changed"` // for a page blob its file may be newer: see Modified
	Headers   Headers           `json:"headers"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Lease     Lease             `json:"lease"`
	Blocks    int               `json:"blocks"` // how many; the list is a document of its own
	Sequence  int64             `json:"sequence,omitempty"`
	Copy      *Copy             `json:"copy,omitempty"`

	modified time.Time
	etag     int64
	was      int64 // bytes that the stored document counts
}

// bytes are what the blob counts in its tenant's quota: for a page blob all of its pages, whether written or not.
func (b *Blob) bytes() int64 {
	if b.Copy != nil && b.Copy.Status == Pending {
		return max(b.Size, b.Copy.Total)
	}
	return b.Size
}

// Modified is when the blob was last changed; its ETag is made of it.
func (b *Blob) Modified() time.Time {
	if b.modified.After(b.Changed) {
		return b.modified
	}
	return b.Changed
}

// Check looks at the blob as it is when a write is about to happen; nil when there is none. An error ends the write.
type Check func(cur *Blob) error

func containerPrefix(uid string) string { return blobKind + "/" + uid + "/" }

func key(container, name string) string { return containerPrefix(container) + name }

// CheckName says whether a blob can have this name.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00"+Last) || !store.Storable(key(uuid.Nil.String(), name)) {
		return refuse("InvalidResourceName")
	}
	return nil
}

func load(tx store.Tx, container, name string) (*Blob, error) {
	if CheckName(name) != nil {
		return nil, store.ErrNotFound
	}
	d, err := tx.Get(key(container, name))
	if err != nil {
		return nil, err
	}
	return parse(d)
}

func parse(d store.Document) (*Blob, error) {
	var b Blob
	if err := json.Unmarshal(d.Body, &b); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Key, err)
	}
	b.etag, b.was = d.ETag, b.bytes()
	return &b, nil
}

func (s *Store) save(tx store.Tx, b *Blob) error {
	now := s.Now().UTC().Truncate(time.Microsecond)
	if !now.After(b.Changed) { // an ETag never comes twice, whatever the clock does
		now = b.Changed.Add(time.Microsecond)
	}
	b.Changed = now
	return s.write(tx, b)
}

// write writes a document as it is, once the tenant may hold what it says.
func (s *Store) write(tx store.Tx, b *Blob) error {
	if err := quota.Grow(tx, holder(b.Container), b.bytes()-b.was); err != nil {
		return err
	}
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	var terms []string
	if b.Copy != nil && b.Copy.Status == Pending {
		terms = append(terms, pendingTerm)
	}
	if b.Kind == Page {
		terms = append(terms, pageTerm)
	}
	b.etag, err = tx.Put(store.Document{Key: key(b.Container, b.Name), Kind: blobKind, Terms: terms, Body: body, ETag: b.etag})
	return err
}

// Head reads a blob's document; the refusal BlobNotFound.
func (s *Store) Head(ctx context.Context, at Address) (b *Blob, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		b, err = load(tx, at.UID, at.Name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse("BlobNotFound")
	}
	if err != nil {
		return nil, err
	}
	if b.Copy != nil && b.Copy.Status == Pending {
		if done := s.filling.of(b.Copy.ID); done != nil {
			b.Copy.Done = min(done.Load(), b.Copy.Total)
		}
	}
	return b, s.dated(b)
}

// dated reads when a page blob's file was written last.
func (s *Store) dated(b *Blob) error {
	if b.Kind != Page {
		return nil
	}
	u, err := s.Images.OpenUpload(upload(b.UID))
	if errors.Is(err, image.ErrUpload) {
		return refuse("BlobNotFound")
	}
	if err != nil {
		return err
	}
	defer u.Close()
	b.modified, err = u.Modified()
	b.modified = b.modified.UTC().Truncate(time.Microsecond)
	return err
}

// upload is the name of a page blob's file among the uploads.
func upload(uid string) string { return image.KeptPrefix + uid }

// replace writes a blob in the place of what is there, after check, with the blocks that choose names. The old bytes and
// the blocks that waited are noted as left over, except those that were chosen.
func (s *Store) replace(ctx context.Context, c Container, next *Blob, check Check, choose func(store.Tx, *Blob) ([]Part, error)) error {
	next.Container, next.Region = c.UID, c.Region
	at := Address{c, next.Name}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		old, err := s.current(tx, at, check)
		if err != nil {
			return err
		}
		blocks, err := choose(tx, old)
		if err != nil {
			return err
		}
		next.Created, next.etag, next.was, next.Changed = s.Now().UTC().Truncate(time.Microsecond), 0, 0, time.Time{}
		if old != nil {
			next.Created, next.etag, next.was, next.Changed, next.Lease = old.Created, old.etag, old.was, old.Modified(), old.Lease
			next.Lease.settle(s.Now())
			if err := s.leave(tx, old, blocks); err != nil {
				return err
			}
		}
		if err := s.settle(tx, at, blocks); err != nil {
			return err
		}
		if next.Kind == Block {
			if err := putList(tx, next, blocks); err != nil {
				return err
			}
		}
		return s.save(tx, next)
	})
}

// just chooses these blocks, whatever was there.
func just(blocks ...Part) func(store.Tx, *Blob) ([]Part, error) {
	return func(store.Tx, *Blob) ([]Part, error) { return blocks, nil }
}

// current reads what is there for a write and asks check.
func (s *Store) current(tx store.Tx, at Address, check Check) (*Blob, error) {
	if err := errors.Join(CheckName(at.Name), home(tx, at.UID)); err != nil {
		return nil, err
	}
	old, err := load(tx, at.UID, at.Name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, check(nil)
	}
	if err != nil {
		return nil, err
	}
	if err := s.dated(old); err != nil {
		return nil, err
	}
	if err := busy(old); err != nil {
		return nil, err
	}
	return old, check(old)
}

// Change changes a blob's document, such as its metadata or its lease.
func (s *Store) Change(ctx context.Context, at Address, f func(*Blob) error) (b *Blob, err error) {
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		if b, err = s.held(tx, at); err != nil {
			return err
		}
		was := b.Modified()
		if err := f(b); err != nil {
			return err
		}
		if was.After(b.Changed) {
			b.Changed = was
		}
		b.Lease.settle(s.Now())
		return s.save(tx, b)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse("BlobNotFound")
	}
	return b, err
}

// held reads a blob with its date, in a container that is still there.
func (s *Store) held(tx store.Tx, at Address) (*Blob, error) {
	if err := home(tx, at.UID); err != nil {
		return nil, err
	}
	b, err := load(tx, at.UID, at.Name)
	if err != nil {
		return nil, err
	}
	return b, s.dated(b)
}

// ChangeLease changes a blob's lease, which changes neither its ETag nor its date.
func (s *Store) ChangeLease(ctx context.Context, at Address, f func(*Blob) error) (b *Blob, err error) {
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		if b, err = s.held(tx, at); err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		return s.write(tx, b)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse("BlobNotFound")
	}
	return b, err
}

// Delete takes a blob away, after check.
func (s *Store) Delete(ctx context.Context, at Address, check Check) error {
	return s.Store.Update(ctx, func(tx store.Tx) error {
		old, err := s.current(tx, at, check)
		if err != nil {
			return err
		}
		if old == nil {
			return refuse("BlobNotFound")
		}
		if err := errors.Join(s.leave(tx, old, nil), s.settle(tx, at, nil)); err != nil {
			return err
		}
		return errors.Join(quota.Grow(tx, holder(at.UID), -old.was), tx.Delete(key(at.UID, at.Name), old.etag))
	})
}

// List gives a page of the blobs whose names begin with prefix and come after a name, in bytewise order.
func (s *Store) List(ctx context.Context, c Container, prefix, after string, limit int) (list []*Blob, err error) {
	if prefix != "" && CheckName(prefix) != nil || after != "" && CheckName(strings.TrimSuffix(after, Last)) != nil {
		return nil, refuse("OutOfRangeQueryParameterValue")
	}
	q := store.Query{Kind: blobKind, Prefix: key(c.UID, prefix), Limit: limit}
	if after != "" {
		q.After = key(c.UID, after)
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		docs, err := tx.List(q)
		list = list[:0]
		for _, d := range docs {
			b, err := parse(d)
			if err != nil {
				return err
			}
			list = append(list, b)
		}
		return err
	})
	for _, b := range list {
		if err := s.dated(b); err != nil && !isRefusal(err) {
			return nil, err
		}
	}
	return list, err
}

func isRefusal(err error) bool {
	var e *Error
	return errors.As(err, &e)
}
