package content

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/store"
)

// orphaned is the age at which bytes that no document names are nobody's: no upload in one request and no copy's step takes
// so long. They are looked for as often.
const orphaned = 24 * time.Hour

// sweepPieces removes what a crash left between the bytes and their document, container by container.
func (s *Store) sweepPieces(ctx context.Context) error {
	if s.Now().Sub(s.looked) < orphaned {
		return nil
	}
	for after, more := "", true; more; {
		var homes []store.Document
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			homes, err = tx.List(store.Query{Kind: homeKind, After: after, Limit: sweepPage})
			return err
		})
		if err != nil {
			return err
		}
		more = len(homes) == sweepPage
		for _, h := range homes {
			after = h.Key
			var at struct{ Region string }
			if err := json.Unmarshal(h.Body, &at); err != nil {
				return err
			}
			if err := s.sweepOrphans(ctx, Container{strings.TrimPrefix(h.Key, homeKey("")), at.Region}); err != nil {
				return err
			}
		}
	}
	s.looked = s.Now()
	return nil
}

func (s *Store) sweepOrphans(ctx context.Context, c Container) error {
	bucket, err := s.Bucket(c.Region)
	if err != nil {
		return err
	}
	var old []blob.Info
	for info, err := range bucket.All(ctx, "storage/"+c.UID+"/") {
		if err != nil {
			return err
		}
		if s.Now().Sub(info.Modified) > orphaned {
			old = append(old, info)
		}
	}
	// Page by page at first, where a part may slip through on its way from one list to another; so what seems to be
	// nobody's is looked for once more, at one point in time.
	for _, scan := range []scanner{s.paged(ctx), s.once(ctx)} {
		if len(old) == 0 {
			return nil
		}
		named, err := named(scan, c)
		if err != nil || named == nil {
			return err
		}
		old = slices.DeleteFunc(old, func(info blob.Info) bool {
			uid, _, _ := strings.Cut(strings.TrimPrefix(info.Key, "storage/"+c.UID+"/"), "/")
			return named[uid]
		})
	}
	for _, info := range old {
		if err := bucket.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// scanner gives each document that queries select.
type scanner func(each func(store.Document) error, queries ...store.Query) error

// once scans in one transaction.
func (s *Store) once(ctx context.Context) scanner {
	return func(each func(store.Document) error, queries ...store.Query) error {
		return s.Store.View(ctx, func(tx store.Tx) error {
			for _, q := range queries {
				docs, err := tx.List(q)
				if err != nil {
					return err
				}
				for _, d := range docs {
					if err := each(d); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
}

// paged scans a page at a time.
func (s *Store) paged(ctx context.Context) scanner {
	return func(each func(store.Document) error, queries ...store.Query) error {
		for _, q := range queries {
			q.Limit = sweepPage
			for more := true; more; {
				n := 0
				err := s.once(ctx)(func(d store.Document) error { n++; q.After = d.Key; return each(d) }, q)
				if err != nil {
					return err
				}
				more = n == sweepPage
			}
		}
		return nil
	}
}

// named are the parts of a container that a document names, be it one of leftovers; nil when a copy is being made, which
// names its bytes at its end.
func named(scan scanner, c Container) (map[string]bool, error) {
	uids, filling := map[string]bool{}, false
	add := func(list ...Part) {
		for _, p := range list {
			uids[p.UID] = true
		}
	}
	err := scan(func(d store.Document) (err error) {
		switch d.Kind {
		case blobKind:
			filling = true
		case blockKind:
			var w waiting
			err = json.Unmarshal(d.Body, &w)
			add(w.Part)
		case listKind:
			var list []Part
			err = json.Unmarshal(d.Body, &list)
			add(list...)
		case leftoverKind:
			var l leftover
			err = json.Unmarshal(d.Body, &l)
			add(l.Parts...)
		}
		return err
	}, store.Query{Kind: blobKind, Prefix: containerPrefix(c.UID), Any: []string{pendingTerm}}, store.Query{Kind: blockKind, Prefix: blockKind + "/" + c.UID + "/"},
		store.Query{Kind: listKind, Prefix: listKind + "/" + c.UID + "/"}, store.Query{Kind: leftoverKind})
	if filling {
		return nil, err
	}
	return uids, err
}
