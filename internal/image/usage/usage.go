// Package usage tells who uses how many bytes of the image store, and what would be free if they went.
//
// It owns the sums. What is stored, and who pins it, it reads from the image store; that is a look, not a lock, so sums made while
// others write may be off by what they write.
//
//	registered manifests + sizes of objects ── Measure ──▶ a Row per holder and region, a Total per domain and region
package usage

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
)

// Sums are bytes.
type Sums struct {
	Logical     int64 `json:"logicalBytes"`     // virtual sizes of the disks
	Allocated   int64 `json:"allocatedBytes"`   // what of them is not zero
	Stored      int64 `json:"storedBytes"`      // the chunks as they are stored, each once
	Unique      int64 `json:"uniqueBytes"`      // those of Stored that one manifest alone needs
	Shared      int64 `json:"sharedBytes"`      // the others
	Reclaimable int64 `json:"reclaimableBytes"` // what deleting it frees; of a total: what nobody pins
}

// Row is what a resource holds of one manifest in one region.
type Row struct {
	Holder   string `json:"holder"` // resource ID
	Region   string `json:"region"`
	Domain   string `json:"domain"`
	Manifest string `json:"manifest"`
	Sums
}

// Total is a domain in a region. Its Stored has everything, manifests and what waits for the collection too.
type Total struct {
	Region    string `json:"region"`
	Domain    string `json:"domain"`
	Manifests int    `json:"manifests"`
	Objects   int    `json:"objects"`
	Sums
}

// Report is a look at the store.
type Report struct {
	Rows   []Row   `json:"versions"`
	Totals []Total `json:"tenants"`
}

// Measure looks at one domain, or at all if domain is empty.
func Measure(ctx context.Context, s *image.Store, domain string) (Report, error) {
	list, err := s.Registered(ctx, domain)
	if err != nil {
		return Report{}, err
	}
	r := Report{Rows: []Row{}, Totals: []Total{}}
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Region == list[0].Region && list[n].Ref.Domain == list[0].Ref.Domain {
			n++
		}
		if err := r.place(ctx, s, list[:n]); err != nil {
			return Report{}, err
		}
		list = list[n:]
	}
	slices.SortFunc(r.Rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Holder, b.Holder), cmp.Compare(a.Region, b.Region)) })
	return r, nil
}

// piece is a stored object and how many manifests name it.
type piece struct {
	size          int64
	named, pinned int
}

// place adds the manifests of one domain in one region.
func (r *Report) place(ctx context.Context, s *image.Store, list []image.Registered) error {
	region, domain := list[0].Region, list[0].Ref.Domain
	b, err := s.Buckets(region)
	if err != nil {
		return err
	}
	pieces, total := map[digest.Digest]*piece{}, Total{Region: region, Domain: domain}
	if err := weigh(ctx, b, domain, pieces); err != nil {
		return err
	}
	disks := make([]disk, 0, len(list))
	for _, m := range list {
		read, _, err := s.CheckManifest(ctx, region, m.Ref, false)
		if errors.Is(err, image.ErrNotFound) {
			continue // collected meanwhile
		}
		if err != nil {
			return err
		}
		disks = append(disks, newDisk(m, read, pieces))
	}
	for _, d := range disks {
		sums := d.sums(pieces)
		total.Manifests++
		total.Logical, total.Allocated = total.Logical+sums.Logical, total.Allocated+sums.Allocated
		for _, holder := range d.Holders {
			r.Rows = append(r.Rows, Row{holder, region, domain, d.Ref.ID, sums})
		}
	}
	for _, p := range pieces {
		total.Objects++
		total.Stored += p.size
		if p.named > 1 {
			total.Shared += p.size
		} else {
			total.Unique += p.size
		}
		if p.pinned == 0 {
			total.Reclaimable += p.size
		}
	}
	r.Totals = append(r.Totals, total)
	return nil
}

// weigh lists the objects of a domain with their sizes.
func weigh(ctx context.Context, b *blob.Bucket, domain string, into map[digest.Digest]*piece) error {
	for _, prefix := range []string{"chunks/", "manifests/"} {
		for i, err := range b.All(ctx, prefix+domain+"/") {
			if err != nil {
				return err
			}
			if id, ok := chunk.IDOf(i.Key); ok {
				into[id] = &piece{size: i.Size}
			}
		}
	}
	return nil
}

// disk is a manifest with what it names.
type disk struct {
	image.Registered
	entries   []chunk.Entry
	allocated int64
	own       digest.Digest
}

func newDisk(m image.Registered, r *image.Reader, pieces map[digest.Digest]*piece) disk {
	d := disk{Registered: m, entries: r.Entries(), allocated: r.Allocated()}
	d.own, _ = chunk.IDOf(m.Ref.ID)
	note := func(id digest.Digest) {
		if p := pieces[id]; p != nil {
			p.named++
			if len(m.Holders) > 0 {
				p.pinned++
			}
		}
	}
	note(d.own)
	for _, e := range d.entries {
		note(e.ID)
	}
	return d
}

func (d disk) sums(pieces map[digest.Digest]*piece) Sums {
	s := Sums{Logical: d.Ref.Size, Allocated: d.allocated}
	freed := int64(0)
	add := func(id digest.Digest) {
		p := pieces[id]
		if p == nil {
			return
		}
		s.Stored += p.size
		if p.named > 1 {
			s.Shared += p.size
		} else {
			s.Unique += p.size
		}
		if p.pinned == 1 {
			freed += p.size
		}
	}
	add(d.own)
	for _, e := range d.entries {
		add(e.ID)
	}
	if len(d.Holders) == 1 {
		s.Reclaimable = freed
	}
	return s
}
