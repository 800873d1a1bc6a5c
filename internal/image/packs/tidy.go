package packs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/store"
)

const (
	smallPart = 4 // a pack is small when it has less than this part of the target
	fewSmall  = 8 // so many small ones are joined
)

// Tidy takes away packs of which nothing lives, rewrites those of which little does, a few at a time, and joins small ones. Then it deletes
// packs that no record names, which a server left that died. It may be cut off anywhere, and run on several servers at once. Packs
// written after before stay.
func (d *driver) Tidy(ctx context.Context, prefix string, before time.Time, dry bool) ([]blob.Tidied, error) {
	domains, err := d.packed(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var all []blob.Tidied
	var faults []error
	for _, domain := range domains {
		t := tidier{place: d.place(domain), before: before, dry: dry}
		err := t.run(ctx)
		all = append(all, t.report...)
		if err != nil {
			faults = append(faults, fmt.Errorf("tidy packs of %s: %w", domain, err))
		}
		if hopeless(ctx, err) {
			break
		}
	}
	return all, errors.Join(faults...)
}

// hopeless says whether what failed will fail everywhere: a full disk and a pack that cannot be read will not.
func hopeless(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, blob.ErrAway)
}

// packed lists the domains that have records, or packs alone.
func (d *driver) packed(ctx context.Context, prefix string) ([]string, error) {
	list, err := d.domains(ctx, prefix)
	if err != nil || len(prefix) > len(chunkPrefix) {
		return list, err
	}
	for after := ""; ; {
		page, err := d.Bucket.List(ctx, "packs/", after, 1)
		if err != nil || len(page) == 0 {
			slices.Sort(list)
			return slices.Compact(list), err
		}
		domain, _, _ := strings.Cut(strings.TrimPrefix(page[0].Key, "packs/"), "/")
		list, after = append(list, domain), "packs/"+domain+"0" // '0' follows '/'
	}
}

type tidier struct {
	*place
	before time.Time
	dry    bool
	report []blob.Tidied
	faults []error // of packs that were passed over
}

// victim is a pack that is to go, with what lives in it.
type victim struct {
	*pack
	live  int64
	spots []located
	why   string
}

func (t *tidier) run(ctx context.Context) error {
	if err := t.refresh(ctx); err != nil {
		return err
	}
	if err := errors.Join(t.shadows(ctx), t.orphans(ctx)); err != nil { // it makes room, which the rest may need
		return err
	}
	victims := t.choose()
	if len(victims) > 0 && !t.dry {
		if err := t.trim(ctx); err != nil {
			return err
		}
		victims = t.choose()
	}
	for len(victims) > 0 {
		n := t.group(victims)
		err := t.rewrite(blob.Freeing(ctx), victims[:n])
		if blob.IsFull(err) { // there may be room for less
			for _, v := range victims[:n] {
				t.faults = append(t.faults, t.rewrite(blob.Freeing(ctx), []victim{v}))
			}
			err = nil
		}
		if t.faults = append(t.faults, err); hopeless(ctx, err) {
			break
		}
		victims = victims[n:]
	}
	return errors.Join(t.faults...)
}

// group is how many of the first victims go together. Those in which nothing lives go by themselves: that needs no room.
func (t *tidier) group(victims []victim) (n int) {
	dead := victims[0].live == 0
	for bytes := int64(0); n < len(victims) && n < recordPage && dead == (victims[n].live == 0); n++ {
		if bytes += victims[n].live; n > 0 && bytes > int64(t.d.Target) {
			break
		}
	}
	return n
}

// shadows deletes chunks that are objects of their own and in a pack too: who replaced them died before.
func (t *tidier) shadows(ctx context.Context) error {
	if !t.loose() || t.dry {
		return nil
	}
	var keys []string
	for i, err := range t.d.Bucket.All(ctx, chunkPrefix+t.domain+"/") {
		if err != nil {
			return err
		}
		if _, id, ok := parse(i.Key); ok {
			if _, packed := t.find(id); packed {
				keys = append(keys, i.Key)
			}
		}
	}
	return t.d.Bucket.DeleteMany(ctx, keys)
}

// choose lists the packs to rewrite, those of which least lives first.
func (t *tidier) choose() []victim {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var small, list []victim
	for _, p := range t.packs {
		v := victim{pack: p, live: p.live}
		switch {
		case p.written.After(t.before):
		case p.live == 0:
			v.why = "nothing in it is needed"
			list = append(list, v)
		case float64(p.live) < t.d.MinLive*float64(p.frames):
			v.why = fmt.Sprintf("%d of its %d bytes are needed, and move to another", p.live, p.frames)
			list = append(list, v)
		case p.size < int64(t.d.Target/smallPart):
			v.why = "small ones are joined"
			small = append(small, v)
		}
	}
	if len(small) >= fewSmall {
		list = append(list, small...)
	}
	slices.SortFunc(list, func(a, b victim) int { return cmp.Or(cmp.Compare(a.live, b.live), strings.Compare(a.key, b.key)) })
	chosen := make(map[*pack]int, len(list))
	for i, v := range list {
		chosen[v.pack] = i
	}
	for n := range t.at {
		for id, at := range t.at[n] {
			if i, ok := chosen[at.pack]; ok {
				list[i].spots = append(list[i].spots, located{id, at.offset, at.length})
			}
		}
	}
	for _, v := range list {
		slices.SortFunc(v.spots, func(a, b located) int { return cmp.Compare(a.offset, b.offset) })
	}
	return list
}

// rewrite moves what lives in some packs to a new one, and takes them away.
func (t *tidier) rewrite(ctx context.Context, group []victim) error {
	if t.dry {
		t.tell(group)
		return nil
	}
	frames := t.d.draft()
	defer t.d.drafts.Put(frames)
	from, drops, records := map[digest.Digest]string{}, []string{}, []string{}
	whole := group[:0:0]
	for _, v := range group {
		data, err := t.read(ctx, v)
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrRange) {
			continue // damaged: what of it is needed, a scrub or a reader mends
		}
		if hopeless(ctx, err) {
			return err
		}
		if err != nil { // the others go all the same
			t.faults = append(t.faults, err)
			continue
		}
		for _, at := range v.spots {
			from[at.id] = v.key
			frames.add(at.id, data[at.offset:][:at.length])
		}
		whole = append(whole, v)
		drops, records = append(drops, v.key), append(records, v.record)
	}
	if len(whole) == 0 {
		return nil
	}
	err := t.replace(ctx, frames, from, func(tx store.Tx, h *head, w written) error {
		for i, key := range drops {
			if now := t.packs[key]; now == nil || now.record != records[i] {
				return errNothing // somebody else was faster
			}
			if err := tx.Delete(records[i], 0); err != nil {
				return err
			}
		}
		w.drops = drops
		if len(w.spots) == 0 {
			w = written{drops: drops}
		}
		return t.record(tx, h, w)
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	t.tell(whole)
	return t.d.Bucket.DeleteMany(ctx, drops)
}

// replace writes what is moved, if there is anything, and hands on what of it still lives where it was.
func (t *tidier) replace(ctx context.Context, frames *draft, from map[digest.Digest]string, record func(store.Tx, *head, written) error) error {
	if len(frames.spots) == 0 {
		return t.change(ctx, func(tx store.Tx, h *head) error { return record(tx, h, written{}) })
	}
	return t.write(ctx, frames, func(at located) bool {
		now, there := t.find(at.id)
		return there && now.pack.key == from[at.id]
	}, record)
}

// read gets a pack that has all the frames that live in it; one in which none does is not read.
func (t *tidier) read(ctx context.Context, v victim) ([]byte, error) {
	if len(v.spots) == 0 {
		return nil, nil
	}
	data, err := t.d.Bucket.Get(ctx, v.key)
	if err != nil {
		return nil, err
	}
	for _, at := range v.spots {
		if end := int64(at.offset) + int64(at.length); end > int64(len(data)) {
			return nil, fmt.Errorf("%w: %s has %d bytes", blob.ErrRange, v.key, len(data))
		}
	}
	return data, nil
}

func (t *tidier) tell(group []victim) {
	for _, v := range group {
		t.report = append(t.report, blob.Tidied{Key: v.key, Bytes: v.size - v.live, Why: v.why})
	}
}

// orphans deletes the packs that no record names. A writer that has put one and not recorded it yet is told by Swept, and puts another.
func (t *tidier) orphans(ctx context.Context) error {
	var list []blob.Info
	for i, err := range t.d.Bucket.All(ctx, packPrefix(t.domain)) {
		if err != nil {
			return err
		}
		if !t.recorded(i.Key) && !i.Modified.After(t.before) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return nil
	}
	if !t.dry {
		err := t.change(ctx, func(_ store.Tx, h *head) error {
			list = slices.DeleteFunc(list, func(i blob.Info) bool { return t.recorded(i.Key) })
			h.Swept++
			return nil
		})
		if err != nil {
			return err
		}
	}
	keys := make([]string, 0, len(list))
	for _, i := range list {
		keys = append(keys, i.Key)
		t.report = append(t.report, blob.Tidied{Key: i.Key, Bytes: i.Size, Why: "no record names it"})
	}
	if t.dry {
		return nil
	}
	return t.d.Bucket.DeleteMany(ctx, keys)
}

func (t *tidier) recorded(key string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.packs[key] != nil
}

// trim takes away records that say nothing any more: of packs that are gone, and of chunks that were deleted and that no pack before has.
// It comes before packs are taken away, so that whoever has not read the records that took away some earlier will read all.
func (t *tidier) trim(ctx context.Context) error {
	var plan []store.Document
	var seen head
	err := t.d.Store.View(ctx, func(tx store.Tx) error {
		plan = nil
		h, _, err := t.place.read(tx)
		if err != nil {
			return err
		}
		docs, err := t.list(tx, "")
		if err == nil {
			seen = h
			plan, err = empty(docs)
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.change(ctx, func(tx store.Tx, h *head) error {
		if h.Next == seen.Next && h.Purged == seen.Purged {
			for _, d := range plan {
				if err := tx.Delete(d.Key, d.ETag); err != nil {
					return err
				}
			}
		}
		h.Purged++
		return nil
	})
}

// empty lists the records that nothing depends on.
func empty(docs []store.Document) (list []store.Document, err error) {
	had := map[digest.Digest]struct{}{}
	for _, d := range docs {
		var r record
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Key, err)
		}
		needed := r.Pack != ""
		for ids := r.Gone; len(ids) >= 32; ids = ids[32:] {
			_, some := had[digest.Digest(ids)]
			needed = needed || some
		}
		for s := r.Chunks; len(s) >= spotLen; s = s[spotLen:] {
			had[digest.Digest(s)] = struct{}{}
		}
		if !needed {
			list = append(list, d)
		}
	}
	return list, nil
}
