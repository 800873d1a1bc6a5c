package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"vitrine/internal/blob"
	"vitrine/internal/image"
	"vitrine/internal/store"
)

// checker looks at a store after a cut.
type checker struct {
	*shop
	in     order
	faults []error
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

// check holds what is there against what was acknowledged before the cut, and uses it.
func check(ctx context.Context, in order) error {
	s, err := open(in.Root, in.Packed, nil)
	if err != nil {
		return err
	}
	c := &checker{shop: s, in: in}
	c.objects(ctx)
	c.uploads()
	c.pinned(ctx, "after the cut")
	c.registered(ctx)
	c.bases()
	c.nothingHalf()
	c.use(ctx)
	return errors.Join(c.faults...)
}

func (c *checker) acknowledged(e event) bool { return e.Answered <= c.in.Cut }
func (c *checker) begun(e event) bool        { return e.Begun < c.in.Cut }

// objects: the last that was acknowledged under a name, or one that was begun after it; nothing else ever.
func (c *checker) objects(ctx context.Context) {
	may, must := map[string][]string{}, map[string]bool{}
	for _, e := range c.in.Events {
		if e.What != "put" || !c.begun(e) {
			continue
		}
		name := e.Region + "/" + e.Key
		if c.acknowledged(e) {
			may[name], must[name] = nil, true
		}
		may[name] = append(may[name], e.Sum)
	}
	for _, region := range regions {
		for info, err := range c.buckets[region].All(ctx, "other/") {
			name := region + "/" + info.Key
			if err != nil {
				c.fault("list: %w", err)
				return
			}
			d, err := c.buckets[region].Get(ctx, info.Key)
			if err != nil || !slices.Contains(may[name], sum(d)) {
				c.fault("object %s has %d bytes that nobody put: %v", name, len(d), err)
			}
			delete(must, name)
		}
	}
	for name := range must {
		c.fault("object %s was acknowledged and is gone", name)
	}
}

func (c *checker) uploads() {
	for _, e := range c.in.Events {
		if e.What != "make" && e.What != "upload" || !c.acknowledged(e) {
			continue
		}
		d, err := os.ReadFile(filepath.Join(c.in.Root, "image", "uploads", e.Key))
		if err != nil || len(d) != 64<<10 || e.What == "upload" && sum(d) != e.Sum {
			c.fault("upload %s was acknowledged and is not what was written: %v", e.Key, err)
		}
	}
}

// pinned: what was acknowledged, and not about to be unpinned, is registered and opens with the bytes that were published.
func (c *checker) pinned(ctx context.Context, when string) {
	for i, e := range c.in.Events {
		if e.What != "pin" || !c.acknowledged(e) {
			continue
		}
		if slices.ContainsFunc(c.in.Events[i:], func(u event) bool {
			return u.What == "unpin" && u.Region == e.Region && u.Ref == e.Ref && c.begun(u)
		}) {
			continue
		}
		there, err := c.images.Has(ctx, e.Region, e.Ref)
		if err != nil || !there {
			c.fault("%s: version %d in %s was acknowledged and is not registered: %v", when, e.Version, e.Region, err)
			continue
		}
		var pins []string
		err = c.docs.View(ctx, func(tx store.Tx) (err error) {
			pins, err = c.images.Pins(tx, e.Ref, e.Region)
			return err
		})
		if err != nil || len(pins) != 1 {
			c.fault("%s: version %d in %s is pinned by %v: %v", when, e.Version, e.Region, pins, err)
		}
		if d, err := c.read(ctx, e.Region, e.Ref); err != nil || !bytes.Equal(d, content(e.Version)) {
			c.fault("%s: version %d in %s reads as something else: %v", when, e.Version, e.Region, err)
		}
	}
}

func (c *checker) read(ctx context.Context, region string, ref image.Ref) ([]byte, error) {
	r, err := c.images.Open(ctx, region, ref)
	if err != nil {
		return nil, err
	}
	d := make([]byte, ref.Size)
	if _, err := r.ReadAt(d, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return d, nil
}

// registered: whatever counts, acknowledged or not, is whole.
func (c *checker) registered(ctx context.Context) {
	list, err := c.images.Registered(ctx, "")
	if err != nil {
		c.fault("list: %w", err)
	}
	for _, r := range list {
		if _, err := c.read(ctx, r.Region, r.Ref); err != nil {
			c.fault("a registered manifest of %s is not whole: %w", r.Region, err)
		}
	}
}

// bases: one that has its name is whole.
func (c *checker) bases() {
	for _, e := range c.in.Events {
		if e.What != "pin" {
			continue
		}
		d, err := os.ReadFile(filepath.Join(image.Bases(filepath.Join(c.in.Root, "image")), image.BaseFile(e.Region, e.Ref)))
		if err == nil && !bytes.Equal(d, content(e.Version)) {
			c.fault("the base of version %d is half", e.Version)
		}
	}
}

// nothingHalf: the start has removed what was being written.
func (c *checker) nothingHalf() {
	for _, pattern := range []string{"regions/*/.tmp/*/*", "image/cache/half/*"} {
		if found, err := filepath.Glob(filepath.Join(c.in.Root, pattern)); err != nil || len(found) > 0 {
			c.fault("half written: %v, %v", found, err)
		}
	}
}

// use: everything can be published again, over whatever the cut has left of it, and collected.
func (c *checker) use(ctx context.Context) {
	for v := uint64(1); v <= versions; v++ {
		d := content(v)
		ref, err := c.images.Pack(ctx, "eastus", domain, bytes.NewReader(d), int64(len(d)), nil)
		if err == nil {
			err = c.docs.Update(ctx, func(tx store.Tx) error { return c.images.Pin(tx, ref, "eastus", "/v") })
		}
		if err != nil {
			c.fault("version %d cannot be published again: %w", v, err)
			continue
		}
		if got, err := c.read(ctx, "eastus", ref); err != nil || !bytes.Equal(got, d) {
			c.fault("version %d, published again, reads as something else: %v", v, err)
		}
	}
	for _, region := range regions {
		if _, err := c.images.CollectOlder(ctx, region, 0); err != nil && !errors.Is(err, blob.ErrNotFound) {
			c.fault("collect: %w", err)
		}
	}
	c.pinned(ctx, "collected")
}
