// Package blob keeps objects, immutable bytes by key, and is the port behind which files or an object store lie.
//
// It owns the rules of keys, the limits, and what a put, a read and a listing mean. It does not know what the bytes
// are; engines name and verify them. A Bucket is what callers hold, a Driver what a back-end implements:
//
//	engine ── Put, Batch, Get, Stat, List, Delete ──▶ Bucket (checks) ──▶ Driver (memblob, fileblob)
//
// A Put of a key that exists keeps the old bytes and says so; only Replace changes an object, as a whole. Whatever Put or Commit has
// acknowledged survives a crash of the machine, where the back-end has a disk at all. Every back-end passes the suite
// in blobtest.
package blob

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Limits that hold for every back-end.
const (
	MaxKey    = 512       // bytes of a key
	MaxObject = 256 << 20 // bytes of an object
)

// The failures that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("blob: object not found")
	ErrKey      = errors.New("blob: bad key")
	ErrRange    = errors.New("blob: range outside the object")
	ErrTooLarge = errors.New("blob: object too large")
	ErrFull     = errors.New("blob: no room is left")               // or only what is kept for whoever must write to free some
	ErrAway     = errors.New("blob: the objects cannot be had now") // a server does not answer, or refuses: no fault of the bytes
)

// IsFull says whether an error comes of a disk without room, whether a back-end says so or the system.
func IsFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Info describes an object.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time // when it was put, by the back-end's clock
}

// Driver is what a back-end implements. Keys, limits and ranges have been checked by Bucket.
type Driver interface {
	// Put stores data under key unless the key exists, atomically and durably; created says which of the two it was.
	Put(ctx context.Context, key string, data []byte) (created bool, err error)
	// Replace stores data under key whether or not the key exists, atomically and durably: a reader sees the old bytes or
	// the new ones, also after a crash.
	Replace(ctx context.Context, key string, data []byte) error
	// Get returns length bytes from offset, or all that follow if length is negative. ErrNotFound; ErrRange.
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// Stat describes an object, or ErrNotFound.
	Stat(ctx context.Context, key string) (Info, error)
	// List returns up to limit objects whose keys begin with prefix and are greater than after, in bytewise key order.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)
	// Delete removes an object; one that does not exist is no error.
	Delete(ctx context.Context, key string) error
	// Batch begins a group of puts that are made durable together.
	Batch(ctx context.Context) (Batch, error)
}

// Batch gathers puts whose cost of durability is paid once. Its methods may be called by several goroutines, except
// that Commit or Discard comes last, once.
type Batch interface {
	// Put adds an object. It may become visible at once or at Commit; it is durable after Commit only.
	Put(ctx context.Context, key string, data []byte) error
	// Commit makes all of them visible and durable. On an error some may be.
	Commit(ctx context.Context) error
	// Discard gives up what is not visible yet. After Commit it does nothing.
	Discard()
}

// Deleter is a back-end that deletes many objects for less than each by itself.
type Deleter interface {
	// DeleteMany removes objects; those that do not exist are no error. On an error some may be left.
	DeleteMany(ctx context.Context, keys []string) error
}

// Tidier is a back-end that keeps several objects in one of its own, so that deleting frees room only later.
type Tidier interface {
	// Tidy frees the room that deleted objects under prefix left, where that pays, and what was written before a time and never became
	// an object. Dry, it changes nothing and says what it would do.
	Tidy(ctx context.Context, prefix string, before time.Time, dry bool) ([]Tidied, error)
}

// Tidied is an object of a back-end's own that Tidy took away.
type Tidied struct {
	Key   string
	Bytes int64 // that are free by that
	Why   string
}

// Filler is a Driver that can read into memory that the caller has.
type Filler interface {
	// Fill is Get, in dst[:0] if that has room for it. Its name is not GetInto so that a driver made around a Bucket, to see what is
	// read, is not passed over.
	Fill(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error)
}

type itself struct{}

// Itself asks reads under the context that it gives for bytes as they lie, not as a back-end may have read them before: to verify them.
func Itself(ctx context.Context) context.Context { return context.WithValue(ctx, itself{}, true) }

// WantsItself says whether a context is one of Itself's.
func WantsItself(ctx context.Context) bool { return ctx.Value(itself{}) != nil }

type freeing struct{}

// Freeing lets puts under the context that it gives use the room that is kept back on a full disk: deletions that follow free more.
func Freeing(ctx context.Context) context.Context { return context.WithValue(ctx, freeing{}, true) }

// IsFreeing says whether a context is one of Freeing's.
func IsFreeing(ctx context.Context) bool { return ctx.Value(freeing{}) != nil }

// Bucket is a set of objects as callers see it.
type Bucket struct{ d Driver }

// New wraps a back-end.
func New(d Driver) *Bucket { return &Bucket{d: d} }

// Put stores data under key unless the key exists; created says which of the two it was. data is not kept.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) (created bool, err error) {
	if err := check(key, data); err != nil {
		return false, err
	}
	return b.d.Put(ctx, key, data)
}

// Replace stores data under key in place of what is there. It is for bytes that mean the same: a sound copy instead of a
// damaged one, the same content under another key. data is not kept.
func (b *Bucket) Replace(ctx context.Context, key string, data []byte) error {
	if err := check(key, data); err != nil {
		return err
	}
	return b.d.Replace(ctx, key, data)
}

// Get returns the whole object, or ErrNotFound.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	return b.d.Get(ctx, key, 0, -1)
}

// GetInto is Get, in dst[:0] if that has room for the object and the back-end is a Filler; else in memory of its own.
func (b *Bucket) GetInto(ctx context.Context, key string, dst []byte) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	return b.into(ctx, key, 0, -1, dst)
}

// GetRange returns exactly length bytes from offset; ErrRange if the object has fewer.
func (b *Bucket) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return b.GetRangeInto(ctx, key, offset, length, nil)
}

// GetRangeInto is GetRange, in dst[:0] as GetInto.
func (b *Bucket) GetRangeInto(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if offset < 0 || length < 0 || length > MaxObject {
		return nil, fmt.Errorf("%w: %d bytes from %d", ErrRange, length, offset)
	}
	return b.into(ctx, key, offset, length, dst)
}

func (b *Bucket) into(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error) {
	if f, ok := b.d.(Filler); ok && dst != nil {
		return f.Fill(ctx, key, offset, length, dst)
	}
	return b.d.Get(ctx, key, offset, length)
}

// Stat describes an object, or ErrNotFound.
func (b *Bucket) Stat(ctx context.Context, key string) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	return b.d.Stat(ctx, key)
}

// Delete removes an object; one that does not exist is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return b.d.Delete(ctx, key)
}

// deletes is how many objects are deleted at a time: a server far away answers late.
const deletes = 8

// DeleteMany removes objects; those that do not exist are no error. On an error some may be left.
func (b *Bucket) DeleteMany(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	if d, ok := b.d.(Deleter); ok {
		return d.DeleteMany(ctx, keys)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(deletes)
	for _, key := range keys {
		g.Go(func() error { return b.d.Delete(ctx, key) })
	}
	return g.Wait()
}

// Tidy lets a back-end that is a Tidier free room; for the others there is nothing to do.
func (b *Bucket) Tidy(ctx context.Context, prefix string, before time.Time, dry bool) ([]Tidied, error) {
	if t, ok := b.d.(Tidier); ok {
		return t.Tidy(ctx, prefix, before, dry)
	}
	return nil, nil
}

// List returns one page: at most limit (1 to 10,000) objects whose keys begin with prefix and are greater than after.
func (b *Bucket) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	if limit < 1 || limit > 10_000 {
		return nil, fmt.Errorf("blob: a page has 1 to 10000 objects, not %d", limit)
	}
	if prefix != "" {
		if err := CheckKey(strings.TrimSuffix(prefix, "/")); err != nil {
			return nil, err
		}
	}
	return b.d.List(ctx, prefix, after, limit)
}

// All walks every object under prefix, a page at a time. What is put or deleted meanwhile may or may not be seen.
func (b *Bucket) All(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		const page = 1000
		for after := ""; ; {
			infos, err := b.List(ctx, prefix, after, page)
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, i := range infos {
				if !yield(i, nil) {
					return
				}
				after = i.Key
			}
			if len(infos) < page {
				return
			}
		}
	}
}

// Batch begins a group of puts.
func (b *Bucket) Batch(ctx context.Context) (Batch, error) {
	d, err := b.d.Batch(ctx)
	if err != nil {
		return nil, err
	}
	return checkedBatch{d}, nil
}

type checkedBatch struct{ Batch }

func (c checkedBatch) Put(ctx context.Context, key string, data []byte) error {
	if err := check(key, data); err != nil {
		return err
	}
	return c.Batch.Put(ctx, key, data)
}

func check(key string, data []byte) error {
	if len(data) > MaxObject {
		return fmt.Errorf("%w: %q has %d bytes, more than %d", ErrTooLarge, key, len(data), MaxObject)
	}
	return CheckKey(key)
}

// CheckKey says whether key may name an object: segments of [a-z0-9._-] joined by single slashes, none of which begins
// with a dot. So no key climbs out of a folder, hides in it, or means two objects where upper and lower case are one.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("%w: %.80q has %d bytes, not 1 to %d", ErrKey, key, len(key), MaxKey)
	}
	start := true
	for i := range len(key) {
		c := key[i]
		switch {
		case c == '/' && !start && i < len(key)-1:
			start = true
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && !start:
		default:
			return fmt.Errorf("%w: %.80q, at byte %d", ErrKey, key, i)
		}
		start = false
	}
	return nil
}
