package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/image/chunk"
	"vitrine/internal/store"
)

// pin is the body of a pin's document.
type pin struct {
	Holder string `json:"holder"`
}

func pinPrefix(region string, r Ref) string {
	return "image/pin/" + region + "/" + r.Domain + "/" + r.ID + "/"
}

// Pin keeps a manifest, and all that it names, alive in a region for holder, a resource ID; letter case does not
// matter. It belongs to the caller's transaction. Pinning twice is pinning once. ErrNotFound if the manifest is not in
// the region, or no longer.
func (s *Store) Pin(tx store.Tx, r Ref, region, holder string) error {
	if err := errors.Join(r.Check(), chunk.CheckName("region", region)); err != nil {
		return err
	}
	if holder == "" {
		return fmt.Errorf("%w: a pin without holder", ErrInvalid)
	}
	if _, err := tx.Get(registerKey(region, r)); errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %s in %s", ErrNotFound, r, region)
	} else if err != nil {
		return err
	}
	key := pinPrefix(region, r) + strings.ToLower(holder)
	if _, err := tx.Get(key); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	body, err := json.Marshal(pin{holder})
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: key, Kind: pinKind, Body: body})
	return err
}

// Unpin takes a pin back; one that does not exist is no error. Collect frees what nobody pins any more.
func (s *Store) Unpin(tx store.Tx, r Ref, region, holder string) error {
	if err := errors.Join(r.Check(), chunk.CheckName("region", region)); err != nil {
		return err
	}
	err := tx.Delete(pinPrefix(region, r)+strings.ToLower(holder), 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Pins lists who pins a manifest in a region.
func (s *Store) Pins(tx store.Tx, r Ref, region string) ([]string, error) {
	docs, err := tx.List(store.Query{Kind: pinKind, Prefix: pinPrefix(region, r)})
	if err != nil {
		return nil, err
	}
	holders := make([]string, 0, len(docs))
	for _, d := range docs {
		var p pin
		if err := json.Unmarshal(d.Body, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Key, err)
		}
		holders = append(holders, p.Holder)
	}
	return holders, nil
}

// Has says whether the manifest is in the region.
func (s *Store) Has(ctx context.Context, region string, r Ref) (bool, error) {
	err := s.Store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Get(registerKey(region, r))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
