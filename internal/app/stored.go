package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/image/keyring"
	"vitrine/internal/image/scrub"
	"vitrine/internal/image/usage"
	"vitrine/internal/operator"
	"vitrine/internal/provider/disk"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// stored is operator.Images: image bytes in the operator's words.
type stored struct{ a *App }

// scrubEvery is how old the last scrub may be.
const scrubEvery = 24 * time.Hour

// scrubDue scrubs when the last time is long enough ago, and encrypts with the present keys what is not.
func (a *App) scrubDue(ctx context.Context) error {
	if a.cfg.ScrubRate < 0 {
		return nil
	}
	last, _, err := a.rooms.scrubber.Status(ctx)
	if err != nil || a.cfg.Now().Sub(last.Ended) < scrubEvery {
		return err
	}
	_, err = a.rooms.scrubber.Run(ctx, true)
	if errors.Is(err, scrub.ErrBusy) {
		return nil
	}
	return err
}

func (s stored) Plan(ctx context.Context, grace time.Duration) (client.CollectPlan, error) {
	all := client.CollectPlan{Freed: []client.FreedItem{}}
	for _, region := range regions() {
		r, err := s.a.rooms.images.Plan(ctx, region, grace)
		if err != nil {
			return all, err
		}
		all.Manifests, all.Objects, all.Bytes = all.Manifests+r.Manifests, all.Objects+r.Objects, all.Bytes+r.Bytes
		all.Kept, all.Bases = all.Kept+r.Kept, all.Bases+r.Bases
		all.Packs, all.PackBytes = all.Packs+r.Packs, all.PackBytes+r.PackBytes
		for _, f := range r.Freed {
			all.Freed = append(all.Freed, client.FreedItem{What: f.What, Region: region, Bytes: f.Bytes, Why: f.Why})
		}
	}
	return all, nil
}

func (s stored) Usage(ctx context.Context, tenant string) (client.ImageBytes, error) {
	r, err := usage.Measure(ctx, s.a.rooms.images, strings.ToLower(tenant))
	if err != nil {
		return client.ImageBytes{}, err
	}
	out := client.ImageBytes{Versions: []client.VersionBytes{}, Tenants: []client.TenantBytes{}}
	for _, v := range r.Rows {
		out.Versions = append(out.Versions, client.VersionBytes{ID: v.Holder, Region: v.Region, TenantID: v.Domain, Manifest: v.Manifest, Logical: v.Logical,
			Allocated: v.Allocated, Stored: v.Stored, Unique: v.Unique, Shared: v.Shared, Reclaimable: v.Reclaimable})
	}
	accounts := map[string]quota.Account{}
	err = s.a.store.View(ctx, func(tx store.Tx) (err error) {
		for _, t := range r.Totals {
			if accounts[t.Domain], err = quota.Of(tx, t.Domain); err != nil {
				return err
			}
		}
		return nil
	})
	for _, t := range r.Totals {
		account := accounts[t.Domain]
		out.Tenants = append(out.Tenants, client.TenantBytes{TenantID: t.Domain, Region: t.Region, Manifests: t.Manifests, Objects: t.Objects, Logical: t.Logical,
			Allocated: t.Allocated, Stored: t.Stored, Unique: t.Unique, Shared: t.Shared, Reclaimable: t.Reclaimable, Held: account.Used, Limit: account.Most()})
	}
	return out, err
}

func (s stored) Scrub(ctx context.Context, in client.ScrubRequest) (client.Scrubbed, error) {
	r, ok, err := scrub.Report{}, true, error(nil)
	if in.Status {
		r, ok, err = s.a.rooms.scrubber.Status(ctx)
	} else {
		r, err = s.a.rooms.scrubber.Run(ctx, in.Reseal)
	}
	switch {
	case errors.Is(err, scrub.ErrBusy):
		return client.Scrubbed{}, arm.Errorf(409, "Conflict", "A scrub is under way; ask for its status.")
	case err == nil && !ok:
		return client.Scrubbed{}, arm.Errorf(404, "NotFound", "Nothing was scrubbed yet.")
	}
	out := client.Scrubbed{Started: r.Started, Ended: r.Ended, Manifests: r.Manifests, Chunks: r.Chunks, Bytes: r.Bytes, Mended: r.Mended,
		Resealed: r.Resealed, Damaged: r.Damaged, Damage: []client.LostBytes{}}
	for _, d := range r.Damage {
		out.Damage = append(out.Damage, client.LostBytes{Object: d.Object, Region: d.Region, Offset: d.Offset, Holders: d.Holders, Fault: d.Fault})
	}
	return out, err
}

// Metrics implements operator.Images: how scrubs fare.
func (s stored) Metrics(ctx context.Context) ([]operator.Metric, error) {
	now, some, err1 := s.a.rooms.scrubber.Status(ctx)
	last, before, err2 := s.a.rooms.scrubber.Last(ctx)
	t, running, ended := s.a.rooms.scrubber.Totals(), 0.0, 0.0
	if some && now.Ended.IsZero() {
		running = 1
	}
	if before { // what alerts look at: it must not be as if nothing had ever ended while the next one runs
		ended = float64(last.Ended.Unix())
	}
	counter := func(name, help string, n float64) operator.Metric {
		return operator.Metric{Name: "vitrine_scrub_" + name + "_total", Help: help, Counter: true, Value: n}
	}
	return []operator.Metric{
		{Name: "vitrine_scrub_running", Help: "1 while stored image bytes are being verified.", Value: running},
		{Name: "vitrine_scrub_last_end_seconds", Help: "When the last whole scrub ended, in Unix time; 0 before the first.", Value: ended},
		{Name: "vitrine_scrub_damaged", Help: "Places in disks that the last whole scrub found lost.", Value: float64(last.Damaged)},
		{Name: "vitrine_scrub_rate_limit_bytes", Help: "Bytes a second that a scrub reads at most; 0: no limit.", Value: float64(max(s.a.cfg.ScrubRate, 0)) * (1 << 20)},
		counter("begun", "Scrubs begun.", float64(t.Begun)),
		counter("ended", "Scrubs that ran to their end.", float64(t.Ended)),
		counter("seconds", "How long those took together.", t.Took.Seconds()),
		counter("manifests", "Manifests verified.", float64(t.Manifests)),
		counter("chunks", "Chunks verified.", float64(t.Chunks)),
		counter("read_bytes", "Stored bytes read.", float64(t.Bytes)),
		counter("mended", "Objects replaced by another region's sound copy.", float64(t.Mended)),
		counter("resealed", "Objects encrypted with the present key that were not.", float64(t.Resealed)),
		counter("damage_found", "Places in disks found lost, each time they were.", float64(t.Damaged)),
	}, errors.Join(err1, err2)
}

func (s stored) Keys(ctx context.Context, tenant string) ([]client.TenantKey, error) {
	all, err := s.a.rooms.images.Keys().List(ctx)
	list := []client.TenantKey{}
	for _, i := range all {
		if tenant == "" || strings.EqualFold(tenant, i.Domain) {
			list = append(list, keysOf(i)...)
		}
	}
	return list, err
}

func keysOf(i keyring.Info) (list []client.TenantKey) {
	for _, s := range i.Shredded {
		for _, id := range s.Keys {
			list = append(list, client.TenantKey{TenantID: i.Domain, Key: id, State: "shredded", Time: s.At})
		}
	}
	for _, k := range i.Keys {
		state := "former"
		if k.Current {
			state = "current"
		}
		list = append(list, client.TenantKey{TenantID: i.Domain, Key: k.ID, State: state, Time: k.Created, Master: k.Master})
	}
	return list
}

func (s stored) Rotate(ctx context.Context, tenant string) ([]client.TenantKey, error) {
	i, err := s.a.rooms.images.Keys().Rotate(ctx, strings.ToLower(tenant))
	return keysOf(i), err
}

func (s stored) Rewrap(ctx context.Context) (client.Rewrapped, error) {
	n, err := s.a.rooms.images.Keys().Rewrap(ctx)
	return client.Rewrapped{Keys: n}, err
}

const maxTold = 20 // needs that a refusal lists

// Shred refuses as long as anything needs the tenant's images, and says what: that of other tenants first.
func (s stored) Shred(ctx context.Context, tenant string, force bool) (client.ShreddedTenant, error) {
	domain := strings.ToLower(tenant)
	out := client.ShreddedTenant{TenantID: tenant, Lost: []string{}}
	r, err := s.a.rooms.images.Shred(ctx, domain, func(tx store.Tx, pins []image.Pinned) error {
		foreign, own, err := needs(tx, domain, pins)
		if err != nil {
			return err
		}
		out.Lost = append(slices.Clone(foreign), own...)
		if force || len(out.Lost) == 0 {
			return nil
		}
		told := out.Lost[:min(maxTold, len(out.Lost))]
		return arm.Errorf(409, "Conflict", "%d resources of other tenants and %d of this one need the image bytes of the tenant '%s'; they would be lost for all of them: %s%s.",
			len(foreign), len(own), tenant, strings.Join(told, "; "), more(len(out.Lost)-len(told)))
	})
	out.Objects, out.Bytes = r.Objects, r.Bytes
	return out, err
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("; and %d more", n)
}

// needs words who pins something: resources, once each, and of a disk the machine that has it.
func needs(tx store.Tx, domain string, pins []image.Pinned) (foreign, own []string, err error) {
	seen := map[string]struct{}{}
	for _, p := range pins {
		if _, twice := seen[strings.ToLower(p.Holder)]; twice {
			continue
		}
		seen[strings.ToLower(p.Holder)] = struct{}{}
		what, tenant := p.Holder, ""
		if id, err := arm.ParseID(p.Holder); err == nil {
			tenant, err = control.TenantOf(tx, id.Subscription)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, nil, err
			}
		}
		if d, err := control.Find[disk.Properties](tx, p.Holder); err == nil && d.ManagedBy != "" {
			what += " (disk of " + d.ManagedBy + ")"
		}
		if strings.EqualFold(tenant, domain) {
			own = append(own, what)
		} else {
			foreign = append(foreign, what)
		}
	}
	slices.Sort(foreign)
	slices.Sort(own)
	return foreign, own, nil
}
