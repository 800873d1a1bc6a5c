// Package fileblob is the back-end of blob that keeps each object as a file.
//
// It owns one folder. The key is the path below it, and whatever is not finished lies under a name that no key can have:
//
//	ROOT/chunks/t1/ab/abcd…      an object, complete since the rename that made it
//	ROOT/.tmp/<session>/<n>      what one running process is writing; the folder is locked while that process lives
//
//	Put      temp ─▶ fsync ─▶ rename (never onto another) ─▶ fsync of the folder
//	Replace  temp ─▶ fsync ─▶ rename ─▶ fsync of the folder
//	Batch    temps ─▶ syncfs ─▶ renames ─▶ syncfs: two waits for the disk instead of two per object
//
// Files are 0600 and folders 0700. It does not work on network file systems that lie about fsync or locks.
package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
)

const tempDir = ".tmp"

type driver struct {
	root    string
	session string   // folder of our temporary files
	lock    *os.File // held as long as the process lives
	temps   atomic.Int64
	flying  atomic.Int64 // bytes that are being written
}

// Open uses the folder root, which it makes if need be, and removes what crashed processes left half written. The
// bucket holds one file descriptor until the process ends, so open each folder once.
func Open(root string) (*blob.Bucket, error) {
	d := &driver{root: root}
	if err := os.MkdirAll(filepath.Join(root, tempDir), 0o700); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if err := d.sweep(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	if err := d.begin(); err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	return blob.New(d), nil
}

// begin makes the session folder. It is born under a hidden name and locked before it gets its own, so that a sweep
// by another process never finds it unlocked.
func (d *driver) begin() error {
	young, err := os.MkdirTemp(filepath.Join(d.root, tempDir), ".new-")
	if err != nil {
		return err
	}
	d.lock, err = os.Open(young)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	d.session = filepath.Join(d.root, tempDir, "s"+filepath.Base(young)[len(".new-"):])
	return os.Rename(young, d.session)
}

func (d *driver) sweep() error {
	entries, err := os.ReadDir(filepath.Join(d.root, tempDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(d.root, tempDir, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue // gone meanwhile
		}
		if e.Name()[0] != '.' && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.RemoveAll(path)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// maxReserve is what is left free for others on the file system, such as a database whose writes free space; on a
// small one it is a twentieth.
const maxReserve = 64 << 20

// room refuses early: a file system that is quite full fails whoever comes next, and not us alone.
func (d *driver) room(n int64) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.lock.Fd()), &st); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	free, reserve := st.Bavail*uint64(st.Bsize), min(maxReserve, st.Blocks*uint64(st.Bsize)/20)
	if free < reserve+uint64(n) {
		return fmt.Errorf("%w: %d bytes are free in %s, of which %d are kept back", blob.ErrFull, free, d.root, reserve)
	}
	return nil
}

// full words what the system says of a full file system or quota.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	return err
}

// write makes a temporary file with data; durable says whether to wait for the disk.
func (d *driver) write(ctx context.Context, data []byte, durable bool) (string, error) {
	// Who else writes now counts too, or all would find the same room.
	flying := d.flying.Add(int64(len(data)))
	defer d.flying.Add(-int64(len(data)))
	if !blob.IsFreeing(ctx) {
		if err := d.room(flying); err != nil {
			return "", err
		}
	}
	path := filepath.Join(d.session, strconv.FormatInt(d.temps.Add(1), 36))
	if err := writeFile(path, data, durable); err != nil {
		return "", full(err)
	}
	return path, nil
}

// writeFile makes a file, by the system's calls: an os.File asks the poller, which knows no files, five times for each.
func writeFile(path string, data []byte, durable bool) error {
	fd, err := again(func() (int, error) {
		return unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	for len(data) > 0 && err == nil {
		var n int
		n, err = again(func() (int, error) { return unix.Write(fd, data) })
		if n == 0 && err == nil {
			err = io.ErrShortWrite
		}
		data = data[max(n, 0):]
	}
	if err == nil && durable {
		_, err = again(func() (int, error) { return 0, unix.Fsync(fd) })
	}
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		_ = unix.Unlink(path) // it has no name that counts
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// place gives a temporary file its name, unless that name is taken.
func (d *driver) place(temp, key string) (created bool, err error) {
	dst := d.path(key)
	if err := d.mkdir(filepath.Dir(dst)); err != nil {
		return false, errors.Join(full(err), os.Remove(temp))
	}
	err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dst, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without it
		err = errors.Join(os.Link(temp, dst), os.Remove(temp))
	}
	if err == nil {
		return true, nil
	}
	os.Remove(temp)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return false, fmt.Errorf("put %s: %w", key, full(err))
}

// mkdir makes dir and, when it is new, its entry in the folder above durable.
func (d *driver) mkdir(dir string) error {
	if _, err := os.Lstat(dir); err == nil || dir == d.root {
		return nil
	}
	if err := d.mkdir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *driver) Put(ctx context.Context, key string, data []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if _, err := d.Stat(ctx, key); err == nil {
		// The other writer may not have come to its fsync yet; what we acknowledge must last.
		return false, syncDir(filepath.Dir(d.path(key)))
	}
	temp, err := d.write(ctx, data, true)
	if err != nil {
		return false, fmt.Errorf("put %s: %w", key, err)
	}
	created, err := d.place(temp, key)
	if err != nil {
		return false, err
	}
	return created, syncDir(filepath.Dir(d.path(key)))
}

// Replace renames over what is there, once the new bytes are on the disk.
func (d *driver) Replace(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	temp, err := d.write(ctx, data, true)
	if err != nil {
		return fmt.Errorf("replace %s: %w", key, err)
	}
	dst := d.path(key)
	if err := errors.Join(d.mkdir(filepath.Dir(dst)), os.Rename(temp, dst)); err != nil {
		os.Remove(temp)
		return fmt.Errorf("replace %s: %w", key, full(err))
	}
	return syncDir(filepath.Dir(dst))
}

func (d *driver) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	st, err := os.Lstat(d.path(key))
	if err != nil {
		return blob.Info{}, absent(key, err)
	}
	if !st.Mode().IsRegular() {
		return blob.Info{}, fmt.Errorf("%w: %q", blob.ErrNotFound, key)
	}
	return blob.Info{Key: key, Size: st.Size(), Modified: st.ModTime()}, nil
}

// absent turns the two ways in which a path leads nowhere into ErrNotFound.
func absent(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %q", blob.ErrNotFound, key)
	}
	return fmt.Errorf("get %s: %w", key, err)
}

// Delete does not ask first whether there is an object: a folder of that name is none, and stays.
func (d *driver) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := again(func() (int, error) { return 0, unix.Unlink(d.path(key)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// DeleteMany goes from one to the next: threads that delete beside one another wait for the same journal, and take the processors from
// whoever serves.
func (d *driver) DeleteMany(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := d.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
