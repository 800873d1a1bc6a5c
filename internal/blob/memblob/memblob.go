// Package memblob is the back-end of blob that keeps objects in memory, for tests and throw-away servers.
//
// It owns a map and its lock. It promises what blob promises except durability:
//
//	Bucket ──▶ driver ──▶ map[key]object
package memblob

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"vitrine/internal/blob"
)

type object struct {
	data     []byte
	modified time.Time
}

type driver struct {
	mu      sync.RWMutex
	objects map[string]object
}

// New returns an empty bucket.
func New() *blob.Bucket { return blob.New(&driver{objects: map[string]object{}}) }

func (d *driver) Put(ctx context.Context, key string, data []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.put(key, bytes.Clone(data)), nil
}

func (d *driver) Replace(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.objects[key] = object{bytes.Clone(data), time.Now()}
	return nil
}

func (d *driver) put(key string, data []byte) bool {
	if _, ok := d.objects[key]; ok {
		return false
	}
	d.objects[key] = object{data, time.Now()}
	return true
}

func (d *driver) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.RLock()
	o, ok := d.objects[key]
	d.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("%w: %q", blob.ErrNotFound, key)
	}
	size := int64(len(o.data))
	if length < 0 {
		length = size - offset
	}
	if offset > size || length > size-offset {
		return nil, fmt.Errorf("%w: %d bytes from %d of %q, which has %d", blob.ErrRange, length, offset, key, size)
	}
	return bytes.Clone(o.data[offset : offset+length]), nil
}

func (d *driver) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	o, ok := d.objects[key]
	if !ok {
		return blob.Info{}, fmt.Errorf("%w: %q", blob.ErrNotFound, key)
	}
	return blob.Info{Key: key, Size: int64(len(o.data)), Modified: o.modified}, nil
}

func (d *driver) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var infos []blob.Info
	for k, o := range d.objects {
		if strings.HasPrefix(k, prefix) && k > after {
			infos = append(infos, blob.Info{Key: k, Size: int64(len(o.data)), Modified: o.modified})
		}
	}
	slices.SortFunc(infos, func(a, b blob.Info) int { return strings.Compare(a.Key, b.Key) })
	return infos[:min(limit, len(infos))], nil
}

func (d *driver) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.objects, key)
	return nil
}

func (d *driver) Batch(context.Context) (blob.Batch, error) {
	return &batch{d: d, staged: map[string][]byte{}}, nil
}

type batch struct {
	d      *driver
	mu     sync.Mutex
	staged map[string][]byte
}

func (b *batch) Put(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.staged[key] = bytes.Clone(data)
	return nil
}

func (b *batch) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	for key, data := range b.staged {
		b.d.put(key, data)
	}
	b.staged = nil
	return nil
}

func (b *batch) Discard() { b.staged = nil }
