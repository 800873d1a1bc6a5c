// Package image keeps the bytes of disks: cut into chunks that are named by their content, compressed, stored once per
// domain, verified whenever they are written or read.
//
// It owns the layout of a region's bucket, the manifests, the pins that keep them alive, the read-only base files that
// machines run on, the sparse files that clients upload into, and the collection of what nobody needs. It does not
// know galleries, disks or tenants: a domain is a name inside which equal bytes are shared, a holder is a name that
// pins. The form of chunks and manifests is docs/design/image-format.md.
//
//	upload, file ──▶ Pack ──▶ cut at 4 KiB blocks ─▶ HMAC ─▶ zstd ─▶ AES-GCM ─▶ chunks/<domain>/<aa>/<id>
//	                     └──▶ manifest ─▶ manifests/<domain>/<id> ──▶ Ref ──▶ Pin, in the caller's transaction
//	Ref ──▶ Open ──▶ Reader: ReadAt          Ref ──▶ Base ──▶ a sparse raw file          Ref ──▶ Replicate ──▶ region
//	Collect ──▶ manifests without pins, chunks that no manifest names, bases that nobody uses
//
// Pack and Collect may run at the same time, on several servers: see epoch.go for why no chunk in use is lost.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"vitrine/internal/blob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/extent"
	"vitrine/internal/image/keyring"
	"vitrine/internal/image/pace"
	"vitrine/internal/image/recent"
	"vitrine/internal/image/upload"
	"vitrine/internal/seal"
	"vitrine/internal/store"
)

// The failures that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("image: no such manifest in this region")
	ErrUpload   = upload.ErrUpload
	ErrShredded = keyring.ErrShredded // the domain's key was destroyed
)

// ErrInvalid is an argument that no image can have.
var ErrInvalid = chunk.ErrInvalid

// MaxSize bounds the virtual size of a disk, 64 TiB (the largest managed disk of Azure, an Ultra Disk).
const MaxSize = chunk.MaxSize

// Ref names the content of one disk: a manifest.
type Ref = chunk.Ref

// KeptPrefix begins the names of uploads that are kept: page blobs of storage accounts. The rest are disks being uploaded.
const KeptPrefix = upload.KeptPrefix

type (
	// Range is a half-open interval of bytes, [Start, End).
	Range = extent.Range
	// Sparse is what Pack asks of a source that knows its holes.
	Sparse = extent.Sparse
	// Upload is an open upload. It may be used by many goroutines.
	Upload = upload.Upload
	// UploadInfo describes an upload.
	UploadInfo = upload.Info
	// TooLarge says that an upload does not fit into a file of this host.
	TooLarge = upload.TooLarge
)

// Config is what a Store needs.
type Config struct {
	Buckets func(region string) (*blob.Bucket, error) // one bucket per region, the same one at each call
	Store   *store.Store                              // pins and manifests are counted here
	Dir     string                                    // folders uploads and cache are made in it
	Sealer  *seal.Sealer                              // wraps the keys of domains; nil: what is written is not encrypted
	Regions []string                                  // where else to look for a sound copy of what is damaged
	Log     *slog.Logger                              // nil: nothing is said
	Workers int                                       // parallel compressors; 0: one per CPU
	Rate    int64                                     // bytes a second that travel between regions; 0: no limit
	Grace   time.Duration                             // how old bytes that nobody names must be to be collected; 0: one hour
	InUse   func(base string) bool                    // whether a machine runs on this base file; nil: none does
	Now     func() time.Time                          // nil: time.Now
}

type uploads = upload.Store // under a name of its own: Config has a Store

// Store is the image store of one server.
type Store struct {
	Config
	*uploads
	codec  *chunk.Codec
	ring   *keyring.Ring                                                    // nil: no encryption
	handed func(ctx context.Context, domain, id string) (*chunk.Key, error) // of an Outpost, instead of ring
	line   *pace.Limiter                                                    // between regions
	mended atomic.Int64
	cache  *recent.Cache[*Reader]
	bases  singleflight.Group
	life   context.Context
	end    context.CancelFunc
	flying sync.WaitGroup // hydrations, which outlive the caller that began them
}

// New prepares the folders and removes half-made bases. Close it at the end.
func New(c Config) (*Store, error) {
	if c.Buckets == nil || c.Store == nil || c.Dir == "" {
		return nil, fmt.Errorf("%w: Buckets, Store and Dir are needed", ErrInvalid)
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Grace == 0 {
		c.Grace = time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{Config: c, cache: recent.New[*Reader](64 << 20), line: pace.New(c.Rate)}
	s.uploads = upload.New(s.uploadDir(), s.halfDir())
	for _, dir := range []string{s.uploadDir(), s.baseDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("image store: %w", err)
		}
	}
	if err := os.RemoveAll(s.halfDir()); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	if c.Sealer != nil {
		s.ring = keyring.New(c.Store, c.Sealer, c.Now)
	}
	var err error
	if s.codec, err = chunk.NewCodec(c.Workers); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close ends hydrations under way and waits for them.
func (s *Store) Close() error {
	s.end()
	s.flying.Wait()
	return s.codec.Close()
}

func (s *Store) bucket(region string) (*blob.Bucket, error) {
	if err := chunk.CheckName("region", region); err != nil {
		return nil, err
	}
	return s.Buckets(region)
}

// Bases is where bases stand in the folder of a Store.
func Bases(dir string) string { return filepath.Join(dir, "cache", "bases") }

// The layout of Dir.
func (s *Store) uploadDir() string { return filepath.Join(s.Dir, "uploads") }
func (s *Store) baseDir() string   { return Bases(s.Dir) }
func (s *Store) halfDir() string   { return filepath.Join(s.Dir, "cache", "half") }

// CorruptError says that stored bytes are not what their name promises.
type CorruptError struct {
	Region string
	Key    string // of the object
	Offset int64  // where in the disk the bytes belong; -1: everywhere, it is the manifest
	Err    error

	Holders []string // who pins what is damaged
}

func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("image: damaged manifest %s in region %s, needed by %s: %v", e.Key, e.Region, e.holders(), e.Err)
	}
	return fmt.Sprintf("image: damaged chunk %s in region %s, at offset %d of the disk, needed by %s: %v", e.Key, e.Region, e.Offset, e.holders(), e.Err)
}

func (e *CorruptError) holders() string {
	if len(e.Holders) == 0 {
		return "nobody"
	}
	return strings.Join(e.Holders, ", ")
}

// Unwrap gives the cause: a *digest.Mismatch, blob.ErrNotFound or the decoder's words.
func (e *CorruptError) Unwrap() error { return e.Err }
