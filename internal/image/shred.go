package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/image/chunk"
	"vitrine/internal/image/keyring"
	"vitrine/internal/store"
)

// Pinned is a need of something in a domain.
type Pinned struct {
	Region string
	Ref    Ref // without size
	Holder string
}

// Keys is the keys of domains; nil when the store does not encrypt.
func (s *Store) Keys() *keyring.Ring { return s.ring }

// Shred destroys the keys of a domain, and then deletes what they sealed: chunks, manifests, bases, and the pins on them.
// may hears in the same transaction who pins something there, and refuses by an error, which comes back: then nothing is
// changed. A shredding that is cut off after the keys are gone is completed by the next Collect or Shred.
func (s *Store) Shred(ctx context.Context, domain string, may func(store.Tx, []Pinned) error) (Report, error) {
	if err := chunk.CheckName("domain", domain); err != nil {
		return Report{}, err
	}
	if s.ring == nil {
		return Report{}, fmt.Errorf("%w: this store has no keys", ErrInvalid)
	}
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		pins, err := pinsOf(tx, domain)
		if err == nil {
			err = may(tx, pins)
		}
		if err != nil {
			return err
		}
		return s.ring.ShredIn(tx, domain)
	})
	if err != nil {
		return Report{}, err
	}
	return s.wipe(ctx, domain)
}

// pinsOf lists every pin in a domain.
func pinsOf(tx store.Tx, domain string) (list []Pinned, err error) {
	docs, err := tx.List(store.Query{Kind: pinKind, Prefix: "image/pin/"})
	for _, d := range docs {
		parts := strings.SplitN(d.Key, "/", 6)
		if len(parts) < 6 || parts[3] != domain {
			continue
		}
		var p pin
		if err := json.Unmarshal(d.Body, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Key, err)
		}
		list = append(list, Pinned{parts[2], Ref{Domain: domain, ID: parts[4]}, p.Holder})
	}
	return list, err
}

// wipe deletes what the shredded keys of a domain sealed, if there are such.
func (s *Store) wipe(ctx context.Context, domain string) (all Report, err error) {
	at, err := s.ring.Unfinished(ctx, domain)
	if err != nil || at.IsZero() {
		return all, err
	}
	s.cache.ForgetDomain(domain)
	regions, err := s.drop(ctx, domain)
	if err != nil {
		return all, fmt.Errorf("shred %s: %w", domain, err)
	}
	for _, region := range regions {
		if err := os.RemoveAll(filepath.Join(s.baseDir(), region, domain)); err != nil {
			return all, fmt.Errorf("shred %s: %w", domain, err)
		}
		r, err := s.collect(ctx, region, collection{before: s.Now(), domain: domain})
		all.Manifests, all.Objects, all.Bytes = all.Manifests+r.Manifests, all.Objects+r.Objects, all.Bytes+r.Bytes
		if err != nil {
			return all, err
		}
	}
	return all, s.ring.Finished(ctx, domain, at)
}

// drop takes away the registrations and pins of what was written with keys that are gone, a few at a time, and says in
// which regions the domain may have objects.
func (s *Store) drop(ctx context.Context, domain string) (regions []string, err error) {
	list, err := s.Registered(ctx, domain)
	if err != nil {
		return nil, err
	}
	seen := map[string]struct{}{}
	note := func(region string) {
		if _, ok := seen[region]; !ok {
			seen[region] = struct{}{}
			regions = append(regions, region)
		}
	}
	for _, region := range s.Regions {
		note(region)
	}
	for _, r := range list {
		note(r.Region)
		err := s.Store.Update(ctx, func(tx store.Tx) error {
			if err := keyring.Held(tx, domain, r.body.Key); err == nil || !errors.Is(err, keyring.ErrShredded) && !errors.Is(err, keyring.ErrUnknown) {
				return err // written since, with a key that is there
			}
			for _, holder := range r.Holders {
				if err := s.Unpin(tx, r.Ref, r.Region, holder); err != nil {
					return err
				}
			}
			err := tx.Delete(r.doc, 0)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return regions, nil
}

// wipeShredded completes the shreddings that were cut off.
func (s *Store) wipeShredded(ctx context.Context) error {
	if s.ring == nil {
		return nil
	}
	domains, err := s.ring.List(ctx)
	if err != nil {
		return err
	}
	for _, d := range domains {
		pending := time.Time{}
		for _, one := range d.Shredded {
			if !one.Done {
				pending = one.At
			}
		}
		if pending.IsZero() {
			continue
		}
		if _, err := s.wipe(ctx, d.Domain); err != nil {
			return err
		}
	}
	return nil
}
