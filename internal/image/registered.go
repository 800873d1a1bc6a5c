package image

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/image/keyring"
	"vitrine/internal/store"
)

// Registered is a manifest that counts in a region.
type Registered struct {
	Region  string
	Ref     Ref
	Written time.Time // last time that a Pack or Replicate came to it
	Holders []string  // who pins it

	doc  string // key of its document
	body registered
}

// registered lists the manifests of a place, without holders.
func (s *Store) registered(ctx context.Context, p place) (list []Registered, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		docs, err := tx.List(store.Query{Kind: manifestKind, Prefix: "image/manifest/" + p.region + "/" + p.domain + "/"})
		for _, d := range docs {
			r, err := readRegistered(d)
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		return err
	})
	return list, err
}

func readRegistered(d store.Document) (Registered, error) {
	ref, err := refOf(d.Key)
	if err != nil {
		return Registered{}, err
	}
	r := Registered{Region: strings.Split(d.Key, "/")[2], Ref: ref, doc: d.Key}
	if err := json.Unmarshal(d.Body, &r.body); err != nil {
		return r, fmt.Errorf("%s: %w", d.Key, err)
	}
	r.Ref.Size, r.Written = r.body.Size, r.body.Written
	return r, nil
}

// Registered lists the manifests that count, with who pins each: of one domain, or of all if domain is empty.
func (s *Store) Registered(ctx context.Context, domain string) (list []Registered, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		docs, err := tx.List(store.Query{Kind: manifestKind, Prefix: "image/manifest/"})
		if err != nil {
			return err
		}
		for _, d := range docs {
			r, err := readRegistered(d)
			if err != nil {
				return err
			}
			if domain != "" && r.Ref.Domain != domain {
				continue
			}
			if r.Holders, err = s.Pins(tx, r.Ref, r.Region); err != nil {
				return err
			}
			list = append(list, r)
		}
		return nil
	})
	return list, err
}

// retire forgets keys that nothing registered can need any more, in any region.
func (s *Store) retire(ctx context.Context, domain string) error {
	return s.Store.Update(ctx, func(tx store.Tx) error {
		return keyring.Retire(tx, domain, func() (map[string]struct{}, error) {
			used := map[string]struct{}{}
			docs, err := tx.List(store.Query{Kind: manifestKind, Prefix: "image/manifest/"})
			for _, d := range docs {
				r, err := readRegistered(d)
				if err != nil {
					return nil, err
				}
				if r.Ref.Domain == domain {
					used[r.body.Named] = struct{}{}
				}
			}
			return used, err
		})
	})
}
