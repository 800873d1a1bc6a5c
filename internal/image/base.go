package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/lazy"
	"vitrine/internal/image/unpack"
)

// A Base is what a machine's overlay stands on: a read-only raw disk.
type Base struct {
	Path string // of the file, whole or to be
	// While the file is not whole: the Unix socket, and the name, by which it is served meanwhile (NBD).
	Socket, Export string
}

// BaseFile is where, below Bases, the base of a disk stands, whole or to be: <region>/<domain>/<id>.raw. While it is filled as
// machines read, what package lazy keeps of it stands beside.
func BaseFile(region string, ref Ref) string {
	return filepath.Join(region, ref.Domain, ref.ID+".raw")
}

func (s *Store) basePath(region string, ref Ref) string {
	return filepath.Join(s.baseDir(), BaseFile(region, ref))
}

// Base gives the path of a read-only sparse raw file with the disk's content, for an overlay to stand on. The first
// call makes it, every chunk verified; callers that come meanwhile wait for the same. The work goes on when a caller
// gives up. Pin the manifest in the region before: bases without pin are collected.
func (s *Store) Base(ctx context.Context, region string, ref Ref) (string, error) {
	if err := errors.Join(ref.Check(), chunk.CheckName("region", region)); err != nil {
		return "", err
	}
	path := s.basePath(region, ref)
	if s.haveBase(path, ref.Size) {
		return path, nil
	}
	result := s.bases.DoChan(path, func() (any, error) {
		s.flying.Add(1)
		defer s.flying.Done()
		if s.haveBase(path, ref.Size) {
			return nil, nil
		}
		return nil, s.hydrate(s.life, region, ref, path)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return "", fmt.Errorf("base of %s: %w", ref, r.Err)
		}
		return path, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *Store) haveBase(path string, size int64) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Size() == size
}

// hydrate writes a file under another name, which is its own only when it is complete and on the disk.
func (s *Store) hydrate(ctx context.Context, region string, ref Ref, path string) error {
	r, err := s.Open(ctx, region, ref)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(s.halfDir(), 0o700), os.MkdirAll(filepath.Dir(path), 0o700)); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.halfDir(), ref.ID+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := roomFor(f, r.m); err != nil {
		return err
	}
	if err := f.Truncate(ref.Size); err != nil {
		return err
	}
	// Twice as many as decode: the others wait for the disk.
	if err := unpack.File(ctx, f, r.m.Entries, 2*s.Workers, r.fetch); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o400), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// roomFor refuses a base that the file system cannot hold before half of it is written.
func roomFor(f *os.File, m *chunk.Manifest) error {
	need := int64(0)
	for _, e := range m.Entries {
		need += int64(e.Length)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%w for a file of %d bytes: %d are free", blob.ErrFull, need, free)
	}
	return nil
}

type baseFile struct {
	ref  Ref // without size
	path string
}

// basesOf lists the bases of a region, whole or not; other names in the folders are not ours to judge.
func (s *Store) basesOf(region string) []baseFile {
	var paths []string
	for _, suffix := range []string{"", ".part", ".map"} {
		found, err := filepath.Glob(filepath.Join(s.baseDir(), region, "*", "*.raw"+suffix))
		if err != nil {
			return nil // the pattern has no fault: region is a checked name
		}
		for _, p := range found {
			paths = append(paths, strings.TrimSuffix(p, suffix))
		}
	}
	slices.Sort(paths)
	var list []baseFile
	for _, p := range slices.Compact(paths) {
		ref := Ref{Domain: filepath.Base(filepath.Dir(p)), ID: strings.TrimSuffix(filepath.Base(p), ".raw")}
		if _, err := digest.ParseHex(ref.ID); err == nil && chunk.CheckName("domain", ref.Domain) == nil {
			list = append(list, baseFile{ref, p})
		}
	}
	return list
}

// sizeOnDisk is what a base takes, whole or not; 0 if it is gone.
func sizeOnDisk(path string) (n int64) {
	part, marks := lazy.Partial(path)
	for _, p := range []string{path, part, marks} {
		var st unix.Stat_t
		if unix.Stat(p, &st) == nil {
			n += st.Blocks * 512
		}
	}
	return n
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
