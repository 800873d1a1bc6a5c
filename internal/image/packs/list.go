package packs

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/store"
)

// List shows chunks in packs among the objects of the bucket below, and no packs.
func (d *driver) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	infos, err := d.listBelow(ctx, prefix, after, limit)
	if err != nil || !strings.HasPrefix(prefix, chunkPrefix) && !strings.HasPrefix(chunkPrefix, prefix) {
		return infos, err
	}
	domains, err := d.domains(ctx, prefix)
	if err != nil {
		return nil, err
	}
	w := walk{prefix: prefix, after: after, limit: limit}
	for _, domain := range domains {
		if chunkPrefix+domain+"/~" <= after { // '~' follows all that ids are made of
			continue
		}
		p := d.place(domain)
		if err := p.refresh(ctx); err != nil {
			return nil, err
		}
		if w.place(p); len(w.infos) >= limit {
			break
		}
	}
	if len(infos) == 0 {
		return w.infos, nil
	}
	infos = append(w.infos, infos...) // of a chunk that is both, the pack's comes first and counts
	slices.SortStableFunc(infos, func(a, b blob.Info) int { return strings.Compare(a.Key, b.Key) })
	infos = slices.CompactFunc(infos, func(a, b blob.Info) bool { return a.Key == b.Key })
	return infos[:min(limit, len(infos))], nil
}

func (d *driver) listBelow(ctx context.Context, prefix, after string, limit int) (infos []blob.Info, err error) {
	if strings.HasPrefix(prefix, "packs/") {
		return nil, nil
	}
	for len(infos) < limit {
		page, err := d.Bucket.List(ctx, prefix, after, limit-len(infos))
		if err != nil {
			return nil, err
		}
		full := len(page) == limit-len(infos)
		for _, i := range page {
			if after = i.Key; strings.HasPrefix(i.Key, "packs/") {
				after, full = "packs0", true // '0' follows '/': after all packs
				break
			}
			infos = append(infos, i)
		}
		if !full {
			break
		}
	}
	return infos, nil
}

// domains lists those that may have keys with a prefix, in the order of their keys.
func (d *driver) domains(ctx context.Context, prefix string) (list []string, err error) {
	if rest, found := strings.CutPrefix(prefix, chunkPrefix); found && strings.Contains(rest, "/") {
		if domain, _, _ := strings.Cut(rest, "/"); domain != "" {
			return []string{domain}, nil
		}
	}
	under := "image/packs/" + d.Region + "/"
	err = d.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		docs, err := tx.List(store.Query{Kind: headKind, Prefix: under})
		for _, doc := range docs {
			list = append(list, strings.TrimPrefix(doc.Key, under))
		}
		return err
	})
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(a+"/", b+"/") })
	return list, err
}

// walk gathers one page of keys.
type walk struct {
	prefix, after string
	limit         int
	infos         []blob.Info
}

// place adds the chunks of a place. Keys are sorted a shard at a time: those that begin with the same two digits.
func (w *walk) place(p *place) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for n := range p.at {
		begin := chunkPrefix + p.domain + "/" + hex.EncodeToString([]byte{byte(n)}) + "/"
		if !strings.HasPrefix(begin, w.prefix) && !strings.HasPrefix(w.prefix, begin) || begin+"~" <= w.after {
			continue
		}
		ids := make([]digest.Digest, 0, len(p.at[n]))
		for id := range p.at[n] {
			ids = append(ids, id)
		}
		slices.SortFunc(ids, func(a, b digest.Digest) int { return slices.Compare(a[:], b[:]) })
		for _, id := range ids {
			key := begin + hex.EncodeToString(id[:])
			if !strings.HasPrefix(key, w.prefix) || key <= w.after {
				continue
			}
			if len(w.infos) == w.limit {
				return
			}
			at := p.at[n][id]
			w.infos = append(w.infos, blob.Info{Key: key, Size: int64(at.length), Modified: at.pack.written})
		}
	}
}
