package publish

import (
	"cmp"
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

// Input is what the work needs to know.
type Input struct {
	Domain string `json:"domain"` // of the gallery's tenant
}

// Steps lists the steps: first the version's own location, from which the others copy. One region's failure leaves the
// others alone: it is recorded, and counted at the end.
func (p *Publisher) Steps(ctx context.Context, r *operation.Run) []operation.Step {
	ctx, stop := context.WithCancel(ctx)
	work := &publication{Publisher: p, run: r, stop: stop}
	if err := errors.Join(r.Read(&work.input), work.load(ctx)); err != nil {
		return []operation.Step{{Name: "read", Do: func() error { return err }}}
	}
	var steps []operation.Step
	for _, c := range work.version.Properties.Content {
		steps = append(steps, operation.Step{Name: fmt.Sprintf("own %d", c.LUN), Do: func() error { return work.own(ctx, c.LUN) }})
	}
	home := work.version.Location
	steps = append(steps, operation.Step{Name: "region " + home, Do: func() error { return work.record(ctx, home, catalog.Region{State: catalog.Completed, Progress: 100}) }})
	for _, name := range slices.Sorted(maps.Keys(work.version.Properties.Regions)) {
		if name != home {
			steps = append(steps, operation.Step{Name: "region " + name, Do: func() error { return work.region(ctx, name) }})
		}
	}
	return append(steps, operation.Step{Name: "regions", Do: func() error { return work.count(ctx) }})
}

// count makes the operation fail when a region did.
func (w *publication) count(ctx context.Context) error {
	if err := w.load(ctx); err != nil {
		return err
	}
	return catalog.Failures("image version", w.version.Properties.Publishing.TargetRegions, w.version.Properties.Regions)
}

// publication is one run of the work.
type publication struct {
	*Publisher
	run     *operation.Run
	stop    context.CancelFunc // ends the reading and copying of bytes
	input   Input
	version *catalog.VersionResource
}

func (w *publication) load(ctx context.Context) error {
	return w.run.View(ctx, func(tx store.Tx) (err error) {
		w.version, err = control.Find[catalog.Version](tx, w.run.Resource)
		return err
	})
}

// change writes the version in a transaction of this worker.
func (w *publication) change(ctx context.Context, f func(store.Tx, *catalog.VersionResource) error) error {
	return w.run.Update(ctx, func(tx store.Tx) error {
		v, err := control.Find[catalog.Version](tx, w.run.Resource)
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
	return w.change(ctx, func(_ store.Tx, v *catalog.VersionResource) error {
		if v.Properties.Regions[region] != nil {
			v.Properties.Regions[region] = &state
		}
		return nil
	})
}

func (w *publication) content(lun int) *catalog.Content {
	for i := range w.version.Properties.Content {
		if c := &w.version.Properties.Content[i]; c.LUN == lun {
			return c
		}
	}
	return nil
}

// own brings a disk's bytes into the domain of the gallery's tenant: nothing to do for a source of the same tenant, one
// reading through for another's, since chunks are never shared between domains.
func (w *publication) own(ctx context.Context, lun int) error {
	if err := w.load(ctx); err != nil {
		return err
	}
	c := w.content(lun)
	if c == nil || c.Ref != nil {
		return nil
	}
	if c.Source == nil && c.Frozen != nil {
		if err := w.freeze(ctx, c); err != nil {
			return err
		}
	}
	ref, err := w.repack(ctx, c)
	if err != nil {
		return err
	}
	return w.keep(ctx, lun, ref, func(c *catalog.Content) { c.Ref = &ref })
}

// freeze reads what did not lie still when the version was asked for, and holds it.
func (w *publication) freeze(ctx context.Context, c *catalog.Content) error {
	id, err := arm.ParseID(c.Frozen.ID)
	if err != nil {
		return err
	}
	var ref image.Ref
	if c.Frozen.URI != "" {
		ref, err = w.Blobs.Freeze(ctx, id, c.Frozen.URI)
	} else {
		ref, err = w.Sources.Freeze(ctx, id, c.Frozen.UniqueID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' of the image version is gone.", cmp.Or(c.Frozen.URI, c.Frozen.ID))
	}
	if err != nil || ref.ID == "" {
		return err
	}
	c.Source = &ref
	return w.keep(ctx, c.LUN, ref, func(c *catalog.Content) { c.Source = &ref })
}

// keep pins in the version's location and notes it in the version.
func (w *publication) keep(ctx context.Context, lun int, ref image.Ref, note func(*catalog.Content)) error {
	return w.change(ctx, func(tx store.Tx, v *catalog.VersionResource) error {
		if err := w.Images.Pin(tx, ref, v.Location, v.ID); err != nil {
			return err
		}
		for i := range v.Properties.Content {
			if c := &v.Properties.Content[i]; c.LUN == lun {
				note(c)
			}
		}
		return nil
	})
}

// repack gives the manifest in the own domain. A shallow version takes the source's as it is: no byte is copied.
func (w *publication) repack(ctx context.Context, c *catalog.Content) (image.Ref, error) {
	region := w.version.Location
	if c.Source == nil {
		empty := zeros{int64(c.SizeGB) << 30}
		return w.Images.Pack(ctx, region, w.input.Domain, empty, empty.size, nil)
	}
	if c.Source.Domain == w.input.Domain || w.version.Properties.Publishing.ReplicationMode == "Shallow" {
		return *c.Source, nil
	}
	r, err := w.Images.Open(ctx, region, *c.Source)
	if err != nil {
		return image.Ref{}, err
	}
	return w.Images.Pack(ctx, region, w.input.Domain, r, r.Size(), w.told(ctx, region, w.index(c.LUN), r.Size()))
}

// zeros is an empty disk.
type zeros struct{ size int64 }

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

const regionTries = 2 // further tries of a region after a fault that may pass, before it counts as failed

// region copies to one region what it lacks, and pins it there. A failure is recorded and does not stop the others.
func (w *publication) region(ctx context.Context, name string) error {
	err := w.load(ctx)
	if err != nil {
		return err
	}
	state := w.version.Properties.Regions[name]
	if state == nil || state.State == catalog.Completed {
		return nil
	}
	err = w.replicate(ctx, name)
	if err == nil {
		err = w.pin(ctx, name)
	}
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrLease) {
		return err
	}
	if w.run.Tries < regionTries {
		return err // the engine tries again
	}
	w.run.Log().Error("replication failed", "region", name, "error", err)
	return w.record(ctx, name, catalog.Faulty("image", state, err))
}

// replicate copies every disk. Only what the region lacks travels.
func (w *publication) replicate(ctx context.Context, name string) error {
	for i, c := range w.version.Properties.Content {
		if c.Ref == nil {
			return fmt.Errorf("the disk at LUN %d has no content", c.LUN)
		}
		told := w.told(ctx, name, i, 0)
		err := w.Images.Replicate(ctx, *c.Ref, w.version.Location, name, func(done, total int64) {
			if total > 0 {
				told(done * 100 / total)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// told gives what records how far a region is, at each twentieth of the whole: done is of size, or in percent of this
// disk when size is 0.
func (w *publication) told(ctx context.Context, region string, disk int, size int64) func(done int64) {
	const twentieth = 5
	disks, last := int64(len(w.version.Properties.Content)), int64(0)
	return func(done int64) {
		if size > 0 {
			done = done * 100 / size
		}
		percent := min((int64(disk)*100+done)/disks, 99)
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

// index is the place of a disk among the version's.
func (w *publication) index(lun int) int {
	return slices.IndexFunc(w.version.Properties.Content, func(c catalog.Content) bool { return c.LUN == lun })
}

// pin makes the region count: what was copied stays, and may be used from now on.
func (w *publication) pin(ctx context.Context, name string) error {
	return w.change(ctx, func(tx store.Tx, v *catalog.VersionResource) error {
		if v.Properties.Regions[name] == nil {
			return nil
		}
		for _, c := range v.Properties.Content {
			if c.Ref == nil {
				return fmt.Errorf("the disk at LUN %d has no content", c.LUN)
			}
			if err := w.Images.Pin(tx, *c.Ref, name, v.ID); err != nil {
				return err
			}
		}
		v.Properties.Regions[name] = &catalog.Region{State: catalog.Completed, Progress: 100}
		return nil
	})
}

// Published ends the operation. A region that failed makes it fail; the others can be used all the same, and another PUT
// tries the failed one again.
func (p *Publisher) Published(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	v, err := control.Find[catalog.Version](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	props := &v.Properties
	if err := p.release(tx, v); err != nil {
		return err
	}
	props.Show()
	state := catalog.Ended(props.Regions, failure)
	if v.State() != arm.Deleting { // a deletion that called this off goes on
		v.SetState(state)
	}
	return control.Save(tx, v)
}

// release gives back what was held at the source and is not the version's own.
func (p *Publisher) release(tx store.Tx, v *catalog.VersionResource) error {
	own := map[image.Ref]bool{}
	for _, c := range v.Properties.Content {
		if c.Ref != nil {
			own[*c.Ref] = true
		}
	}
	for i := range v.Properties.Content {
		c := &v.Properties.Content[i]
		if c.Source != nil && c.Ref != nil && !own[*c.Source] {
			if err := p.Images.Unpin(tx, *c.Source, v.Location, v.ID); err != nil {
				return err
			}
		}
		if c.Ref != nil {
			c.Source = nil
		}
	}
	return nil
}

// Withdraw gives up every pin of a version, in every region.
func (p *Publisher) Withdraw(tx store.Tx, v *catalog.VersionResource) error {
	for region := range v.Properties.Regions {
		if err := p.unpin(tx, v, region); err != nil {
			return err
		}
	}
	return p.unpin(tx, v, v.Location)
}
