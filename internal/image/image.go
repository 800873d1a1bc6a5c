// Package image keeps the bytes of disks: cut into chunks that are named by their content, compressed, stored once per
// domain, verified whenever they are written or read.
//
// It owns the layout of a region's bucket, the manifests, the pins that keep them alive, the read-only base files that
// machines run on, the sparse files that clients upload into, and the collection of what nobody needs. It does not
// know galleries, disks or tenants: a domain is a name inside which equal bytes are shared, a holder is a name that
// pins. The form of chunks and manifests is docs/design/image-format.md.
//
//	upload, file ──▶ Pack ──▶ cut at 4 KiB blocks ─▶ SHA-256 ─▶ zstd ─▶ chunks/<domain>/<aa>/<id>
//	                     └──▶ manifest ─▶ manifests/<domain>/<id> ──▶ Ref ──▶ Pin, in the caller's transaction
//	Ref ──▶ Open ──▶ Reader: ReadAt          Ref ──▶ Base ──▶ a sparse raw file          Ref ──▶ Replicate ──▶ region
//	Collect ──▶ manifests without pins, chunks that no manifest names, bases that nobody uses
//
// Pack and Collect may run at the same time, on several servers: see epoch.go for why no chunk in use is lost.
package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/store"
)

// The failures that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("image: no such manifest in this region")
	ErrUpload   = errors.New("image: no such upload")
	ErrInvalid  = errors.New("image: invalid argument")
)

// MaxSize bounds the virtual size of a disk, 64 TiB (the largest managed disk of Azure, an Ultra Disk).
const MaxSize = 64 << 40

// Ref names the content of one disk: a manifest.
type Ref struct {
	Domain string `json:"domain"` // where its chunks lie
	ID     string `json:"id"`     // SHA-256 of the manifest's canonical bytes, 64 hexadecimal digits
	Size   int64  `json:"size"`   // virtual size in bytes
}

func (r Ref) String() string { return r.Domain + "/" + r.ID }

func (r Ref) check() error {
	if err := checkName("domain", r.Domain); err != nil {
		return err
	}
	if _, err := digest.ParseHex(r.ID); err != nil {
		return fmt.Errorf("%w: manifest id: %w", ErrInvalid, err)
	}
	return checkSize(r.Size)
}

// Range is a half-open interval of bytes, [Start, End).
type Range struct{ Start, End int64 }

// Config is what a Store needs.
type Config struct {
	Buckets func(region string) (*blob.Bucket, error) // one bucket per region, the same one at each call
	Store   *store.Store                              // pins and manifests are counted here
	Dir     string                                    // folders uploads and cache are made in it
	Workers int                                       // parallel compressors; 0: one per CPU
	Grace   time.Duration                             // how old bytes that nobody names must be to be collected; 0: one hour
	InUse   func(base string) bool                    // whether a machine runs on this base file; nil: none does
	Now     func() time.Time                          // nil: time.Now
}

// Store is the image store of one server.
type Store struct {
	Config
	codec  *codec
	cache  *chunkCache
	bases  singleflight.Group
	gates  gates
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
	s := &Store{Config: c, cache: newChunkCache(64 << 20)}
	for _, dir := range []string{s.uploadDir(), s.baseDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("image store: %w", err)
		}
	}
	if err := os.RemoveAll(s.halfDir()); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	var err error
	if s.codec, err = newCodec(c.Workers); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close ends hydrations under way and waits for them.
func (s *Store) Close() error {
	s.end()
	s.flying.Wait()
	return s.codec.close()
}

func (s *Store) bucket(region string) (*blob.Bucket, error) {
	if err := checkName("region", region); err != nil {
		return nil, err
	}
	return s.Buckets(region)
}

// checkName accepts what may stand in object keys and paths: a-z, 0-9 and hyphens, at most 64 of them.
func checkName(what, name string) error {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%w: %s %.80q", ErrInvalid, what, name)
	}
	return nil
}

// checkSize accepts whole sectors, which is all that a disk can have.
func checkSize(size int64) error {
	if size <= 0 || size > MaxSize || size%512 != 0 {
		return fmt.Errorf("%w: a disk of %d bytes (whole sectors of 512 bytes, at most 64 TiB)", ErrInvalid, size)
	}
	return nil
}

// The layout of a region's bucket. Two digits of the id keep folders small.
func chunkKey(domain string, id digest.Digest) string {
	h := hex.EncodeToString(id[:])
	return "chunks/" + domain + "/" + h[:2] + "/" + h
}

func manifestKey(domain, id string) string { return "manifests/" + domain + "/" + id }

// The layout of Dir.
func (s *Store) uploadDir() string { return filepath.Join(s.Dir, "uploads") }
func (s *Store) baseDir() string   { return filepath.Join(s.Dir, "cache", "bases") }
func (s *Store) halfDir() string   { return filepath.Join(s.Dir, "cache", "half") }

// CorruptError says that stored bytes are not what their name promises.
type CorruptError struct {
	Region string
	Key    string // of the object
	Offset int64  // where in the disk the bytes belong; -1: everywhere, it is the manifest
	Err    error
}

func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("image: damaged manifest %s in region %s: %v", e.Key, e.Region, e.Err)
	}
	return fmt.Sprintf("image: damaged chunk %s in region %s, at offset %d of the disk: %v", e.Key, e.Region, e.Offset, e.Err)
}

// Unwrap gives the cause: a *digest.Mismatch, blob.ErrNotFound or the decoder's words.
func (e *CorruptError) Unwrap() error { return e.Err }
