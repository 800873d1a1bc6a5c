package application

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// input is what the work needs to know.
type input struct {
	Domain string `json:"domain"` // of the gallery's tenant
}

// steps lists the steps: the files, into the version's own location, from which the other regions copy. One region's failure
// leaves the others alone: it is recorded, and counted at the end.
func (p *Provider) steps(ctx context.Context, r *operation.Run) []operation.Step {
	ctx, stop := context.WithCancel(ctx)
	work := &publication{Provider: p, run: r, stop: stop}
	v, err := work.load(ctx)
	if err := errors.Join(r.Read(&work.input), err); err != nil {
		return []operation.Step{{Name: "read", Do: func() error { return err }}}
	}
	var steps []operation.Step
	for i := range v.Properties.Content {
		steps = append(steps, operation.Step{Name: fmt.Sprintf("file %d", i), Do: func() error { return work.file(ctx, i) }})
	}
	whole := catalog.Region{State: catalog.Completed, Progress: 100}
	steps = append(steps, operation.Step{Name: "region " + v.Location, Do: func() error { return work.record(ctx, v.Location, whole) }})
	for _, name := range slices.Sorted(maps.Keys(v.Properties.Regions)) {
		if name != v.Location {
			steps = append(steps, operation.Step{Name: "region " + name, Do: func() error { return work.region(ctx, name) }})
		}
	}
	return append(steps, operation.Step{Name: "regions", Do: func() error {
		v, err := work.load(ctx)
		if err != nil {
			return err
		}
		return catalog.Failures("gallery application version", v.Properties.Publishing.TargetRegions, v.Properties.Regions)
	}})
}

// publication is one run of the work.
type publication struct {
	*Provider
	run   *operation.Run
	stop  context.CancelFunc // ends the reading and copying of bytes
	input input
}

func (w *publication) load(ctx context.Context) (v *VersionResource, err error) {
	err = w.run.View(ctx, func(tx store.Tx) error {
		v, err = control.Find[Version](tx, w.run.Resource)
		return err
	})
	return v, err
}

// change writes the version in a transaction of this worker.
func (w *publication) change(ctx context.Context, f func(store.Tx, *VersionResource) error) error {
	return w.run.Update(ctx, func(tx store.Tx) error {
		v, err := control.Find[Version](tx, w.run.Resource)
		if err != nil {
			return err
		}
		if err := f(tx, v); err != nil {
			return err
		}
		return control.Save(tx, v)
	})
}

func (w *publication) record(ctx context.Context, region string, state catalog.Region) error {
	return w.change(ctx, func(_ store.Tx, v *VersionResource) error {
		if v.Properties.Regions[region] != nil {
			v.Properties.Regions[region] = &state
		}
		return nil
	})
}

// file reads a blob into the domain of the gallery's tenant, and pins it in the version's location.
func (w *publication) file(ctx context.Context, i int) error {
	v, err := w.load(ctx)
	if err != nil {
		return err
	}
	c := v.Properties.Content[i]
	if c.Ref != nil {
		return nil
	}
	ref, size, err := w.pack(ctx, v, i)
	if err != nil {
		return err
	}
	return w.change(ctx, func(tx store.Tx, v *VersionResource) error {
		c := &v.Properties.Content[i]
		c.Ref, c.Size = &ref, size
		return w.Images.Pin(tx, ref, v.Location, v.ID)
	})
}

func (w *publication) pack(ctx context.Context, v *VersionResource, i int) (ref image.Ref, size int64, err error) {
	c := v.Properties.Content[i]
	account, err := arm.ParseID(c.Account)
	if err != nil {
		return ref, 0, err
	}
	from, err := w.Blobs.OpenBlob(ctx, account, c.URI)
	if errors.Is(err, store.ErrNotFound) {
		return ref, 0, absent(c.URI)
	}
	if err != nil {
		return ref, 0, err
	}
	defer from.Close()
	size = from.Size() // another blob may be there since
	if err := fits("", c.URI, size, c.Most); err != nil {
		return ref, 0, err
	}
	full := filled{from, size}
	ref, err = w.Images.Pack(ctx, v.Location, w.input.Domain, full, full.size(), w.told(ctx, v, v.Location, i, full.size()))
	return ref, size, err
}

// filled is a file up to the end of its last sector: the image store keeps whole ones.
type filled struct {
	io.ReaderAt
	bytes int64
}

const sector = 512

func (f filled) size() int64 { return (f.bytes + sector - 1) / sector * sector }

// ReadAt implements io.ReaderAt.
func (f filled) ReadAt(p []byte, off int64) (int, error) {
	inside := min(max(f.bytes-off, 0), int64(len(p)))
	if n, err := f.ReaderAt.ReadAt(p[:inside], off); int64(n) < inside {
		return n, err
	}
	rest := min(max(f.size()-off, 0), int64(len(p)))
	clear(p[inside:rest])
	if rest < int64(len(p)) {
		return int(rest), io.EOF
	}
	return len(p), nil
}

const regionTries = 2 // further tries of a region after a fault that may pass, before it counts as failed

// region copies to one region what it lacks, and pins it there. A failure is recorded and does not stop the others.
func (w *publication) region(ctx context.Context, name string) error {
	v, err := w.load(ctx)
	if err != nil {
		return err
	}
	state := v.Properties.Regions[name]
	if state == nil || state.State == catalog.Completed {
		return nil
	}
	if err = w.replicate(ctx, v, name); err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLease) || w.run.Tries < regionTries {
		return err
	}
	w.run.Log().Error("replication failed", "region", name, "error", err)
	return w.record(ctx, name, catalog.Faulty("package", state, err))
}

// replicate copies every file, of which only what the region lacks travels, and makes the region count.
func (w *publication) replicate(ctx context.Context, v *VersionResource, name string) error {
	for i, c := range v.Properties.Content {
		told := w.told(ctx, v, name, i, c.Size)
		if err := w.Images.Replicate(ctx, *c.Ref, v.Location, name, func(done, total int64) {
			if total > 0 {
				told(done * c.Size / total)
			}
		}); err != nil {
			return err
		}
	}
	return w.change(ctx, func(tx store.Tx, v *VersionResource) error {
		if v.Properties.Regions[name] == nil {
			return nil
		}
		for _, c := range v.Properties.Content {
			if err := w.Images.Pin(tx, *c.Ref, name, v.ID); err != nil {
				return err
			}
		}
		v.Properties.Regions[name] = &catalog.Region{State: catalog.Completed, Progress: 100}
		return nil
	})
}

// told gives what records how far a region is, at each twentieth of the whole; done is of a file of size bytes.
func (w *publication) told(ctx context.Context, v *VersionResource, region string, file int, size int64) func(done int64) {
	const twentieth = 5
	var before, all int64
	for i, c := range v.Properties.Content {
		if i < file {
			before += c.Size
		}
		all += c.Size
	}
	last := int64(0)
	return func(done int64) {
		percent := min((before+min(done, size))*100/max(all, 1), 99)
		if percent < last+twentieth {
			return
		}
		last = percent
		if err := w.record(ctx, region, catalog.Region{State: catalog.Replicating, Progress: int(percent)}); err != nil {
			w.run.Log().Debug("progress is not recorded", "error", err)
		}
		if w.run.Canceled(ctx) {
			w.stop() // the engine tries the step again, and ends the operation instead
		}
	}
}

// published ends the operation. A region that failed makes it fail; the others have the version all the same, and another PUT
// tries the failed one again.
func published(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	v, err := control.Find[Version](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	state := catalog.Ended(v.Properties.Regions, failure)
	if v.State() != arm.Deleting { // a deletion that called this off goes on
		v.SetState(state)
	}
	return control.Save(tx, v)
}
