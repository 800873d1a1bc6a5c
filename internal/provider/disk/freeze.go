package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/image/qcow2"
	"vitrine/internal/store"
)

// ErrNotRunning is what Config.Live answers for a machine that does not run.
var ErrNotRunning = errors.New("disk: the machine does not run")

// errWritten says that an overlay was written to while it was read.
var errWritten = errors.New("disk: the disk was written to while it was read")

// freezeTries is how often a disk is read anew because a machine began to write to it meanwhile.
const freezeTries = 5

// Freeze gives what a disk holds now as a manifest in its region: its own one while no machine has written to it, else one that
// is made from what machines wrote, in the domain of the disk's tenant. The disk of a running machine is read as of one
// moment (crash-consistent), and the machine goes on. The manifest is safe from collection for an hour or so: pin it.
//
// It takes as long as reading the disk does: call it in an operation's step, never in a transaction. It changes nothing, so it
// may be run again. Another disk of the same name than that of uniqueID, if it is told, is not found. store.ErrNotFound; an
// *arm.Error when the disk has no content that can be read.
func (p *Provider) Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error) {
	for try := 1; ; try++ {
		f, err := p.frozen(ctx, id)
		if err != nil {
			return image.Ref{}, err
		}
		if uniqueID != "" && uniqueID != f.disk.Properties.UniqueID {
			return image.Ref{}, fmt.Errorf("freeze %s: %w", id, store.ErrNotFound)
		}
		ref, err := f.make(ctx)
		if !errors.Is(err, errWritten) || try == freezeTries {
			return ref, err
		}
	}
}

// freezing is one attempt.
type freezing struct {
	*Provider
	disk   *resource
	domain string
	path   string // of the overlay
}

func (p *Provider) frozen(ctx context.Context, id arm.ID) (*freezing, error) {
	f := &freezing{Provider: p}
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		if f.disk, err = control.Get[Properties](tx, id); err != nil {
			return err
		}
		f.domain, err = control.TenantOf(tx, id.Subscription)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("freeze %s: %w", id, err)
	}
	f.domain, f.path = strings.ToLower(f.domain), p.overlayPath(f.disk.Properties.UniqueID)
	return f, whole(f.disk)
}

func (f *freezing) make(ctx context.Context) (image.Ref, error) {
	props := &f.disk.Properties
	var before os.FileInfo
	if props.Overlay {
		st, err := os.Stat(f.path)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // noted as written to, but not yet: the machine never started
			return image.Ref{}, err
		}
		before = st
	}
	if before != nil {
		if err := settle(ctx, before); err != nil {
			return image.Ref{}, err
		}
	}
	if before == nil && props.Manifest != nil {
		return *props.Manifest, nil
	}
	if before == nil {
		empty := zeros{props.DiskSizeBytes}
		return f.Images.Pack(ctx, f.disk.Location, f.domain, empty, empty.size, nil)
	}
	if f.disk.ManagedBy != "" && f.Live != nil {
		ref, err := f.running(ctx)
		if !errors.Is(err, ErrNotRunning) {
			return ref, err
		}
	}
	ref, err := f.pack(ctx, f.path)
	if err != nil {
		return image.Ref{}, err
	}
	return ref, f.untouched(before)
}

// running reads the disk of a machine that runs, by way of a copy that QEMU makes.
func (f *freezing) running(ctx context.Context) (image.Ref, error) {
	machine, err := arm.ParseID(f.disk.ManagedBy)
	if err != nil {
		return image.Ref{}, err
	}
	target := filepath.Join(filepath.Dir(f.path), copyPrefix+uuid.NewString())
	defer os.Remove(target) // Sweep removes what a crash leaves
	if err := f.Live(ctx, machine, f.path, target); err != nil {
		return image.Ref{}, err
	}
	return f.pack(ctx, target)
}

// copyPrefix begins the names of copies in a disk's folder.
const copyPrefix = "copy-"

// pack stores the overlay at path, over what is below it.
func (f *freezing) pack(ctx context.Context, path string) (image.Ref, error) {
	var below qcow2.Below
	if m := f.disk.Properties.Manifest; m != nil {
		r, err := f.Images.Open(ctx, f.disk.Location, *m)
		if err != nil {
			return image.Ref{}, err
		}
		below = r
	}
	o, err := qcow2.Open(path, below)
	if err != nil {
		return image.Ref{}, err
	}
	defer o.Close()
	if o.Size() > f.disk.Properties.DiskSizeBytes { // its header was written by the machine's QEMU, which a guest may have taken over
		return image.Ref{}, fmt.Errorf("%w: it says %d bytes, the disk has %d", qcow2.ErrFormat, o.Size(), f.disk.Properties.DiskSizeBytes)
	}
	return f.Images.Pack(ctx, f.disk.Location, f.domain, o, o.Size(), nil)
}

// still is how long a file must not have been written to for its time to prove it: clocks of file systems go in ticks.
const still = 50 * time.Millisecond

// settle waits until a write from now on would show in the file's time.
func settle(ctx context.Context, st os.FileInfo) error {
	timer := time.NewTimer(max(0, still-time.Since(st.ModTime())))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// untouched makes sure that no machine was started on the file while it was read.
func (f *freezing) untouched(before os.FileInfo) error {
	after, err := os.Stat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return errWritten
	}
	if err != nil {
		return err
	}
	if !os.SameFile(before, after) || before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()) {
		return errWritten
	}
	return nil
}

// zeros is an empty disk.
type zeros struct{ size int64 }

// ReadAt implements io.ReaderAt.
func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	if off >= z.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.size-off)
	clear(p[:n])
	return int(n), nil
}

// NextData says that there is none.
func (z zeros) NextData(int64) (image.Range, error) { return image.Range{}, io.EOF }
