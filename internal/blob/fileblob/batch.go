package fileblob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
)

type batch struct {
	d     *driver
	mu    sync.Mutex
	temps map[string]string // key → temporary file
}

func (d *driver) Batch(context.Context) (blob.Batch, error) {
	return &batch{d: d, temps: map[string]string{}}, nil
}

func (b *batch) Put(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	temp, err := b.d.write(ctx, data, false)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, twice := b.temps[key]; twice {
		return os.Remove(temp)
	}
	b.temps[key] = temp
	return nil
}

// Commit lets no name appear before the bytes behind it are on the disk: after a power cut an object is whole or absent.
func (b *batch) Commit(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.temps) == 0 {
		return nil
	}
	if err := syncFS(b.d.lock); err != nil {
		return err
	}
	for key, temp := range b.temps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := b.d.place(temp, key); err != nil {
			return err
		}
		delete(b.temps, key)
	}
	return syncFS(b.d.lock)
}

func (b *batch) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, temp := range b.temps {
		os.Remove(temp)
	}
	b.temps = map[string]string{}
}

// syncFS waits until everything written to the file system of f is on its disk.
func syncFS(f *os.File) error {
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return errors.Join(errors.New("syncfs"), err)
	}
	return nil
}
