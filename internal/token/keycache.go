package token

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"vitrine/internal/store"
)

// current returns the keys from memory, or reads them when the copy is too old.
func (s *Service) current(ctx context.Context) (*keySet, error) {
	ks := s.keys.Load()
	if ks != nil && s.cfg.Now().Sub(ks.loaded) < s.cfg.Refresh {
		return ks, nil
	}
	return s.load(ctx, ks)
}

// fresh returns the keys as they are in the store now.
func (s *Service) fresh(ctx context.Context) (*keySet, error) { return s.load(ctx, s.keys.Load()) }

// load reads the keys, unless another goroutine did so since the caller saw the copy seen. Without any key in the store
// it makes the first one.
func (s *Service) load(ctx context.Context, seen *keySet) (*keySet, error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	old := s.keys.Load()
	if old != nil && old != seen {
		return old, nil
	}
	ks, err := s.read(ctx, old)
	if errors.Is(err, store.ErrNotFound) {
		ks, err = s.first(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.keys.Store(ks)
	return ks, nil
}

// first writes the installation's first key. When another server was quicker, its key is read instead.
func (s *Service) first(ctx context.Context) (*keySet, error) {
	k, err := s.newKey(s.cfg.Now())
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(keySet{Keys: []signingKey{k}})
	if err != nil {
		return nil, fmt.Errorf("token: encode signing keys: %w", err)
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: keysKey, Kind: keysKind, Body: body})
		return err
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return nil, fmt.Errorf("token: write first signing key: %w", err)
	}
	return s.read(ctx, nil)
}

func (s *Service) read(ctx context.Context, old *keySet) (*keySet, error) {
	var doc store.Document
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		doc, err = tx.Get(keysKey)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("token: read signing keys: %w", err)
	}
	ks := &keySet{etag: doc.ETag, loaded: s.cfg.Now()}
	if old != nil && old.etag == doc.ETag {
		ks.Keys = old.Keys
		return ks, nil
	}
	if err := json.Unmarshal(doc.Body, ks); err != nil {
		return nil, fmt.Errorf("token: signing keys are damaged: %w", err)
	}
	if len(ks.Keys) == 0 {
		return nil, errors.New("token: signing keys are damaged: there is none")
	}
	for i := range ks.Keys {
		if ks.Keys[i].private, err = s.open(ks.Keys[i]); err != nil {
			return nil, err
		}
	}
	return ks, nil
}

func (s *Service) open(k signingKey) (*rsa.PrivateKey, error) {
	plain, err := s.cfg.Sealer.Open(k.Sealed, k.resource())
	if err != nil {
		return nil, fmt.Errorf("token: open signing key %s: %w", k.ID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("token: parse signing key %s: %w", k.ID, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("token: signing key %s is not RSA", k.ID)
	}
	return private, nil
}
