package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/store"
)

const (
	keysKey  = "token/signingkeys" // the one document of all keys
	keysKind = "token/signingkeys"
	keyBits  = 2048

	// reloadPause is the least time between two reads for an unknown key ID, so that forged ones do not load the store.
	reloadPause = 2 * time.Second
)

// signingKey is one key of the document.
type signingKey struct {
	ID        string    `json:"kid"`
	Sealed    string    `json:"sealed"` // PKCS #8, sealed for keysKey and the ID
	Published time.Time `json:"published"`
	Signs     time.Time `json:"signs"` // when it begins to sign; it ends when the next one begins
	private   *rsa.PrivateKey
}

func (k signingKey) resource() string { return keysKey + "/" + k.ID }

// keySet is the document as read at a time. It does not change once it is shared.
type keySet struct {
	Keys   []signingKey `json:"keys"` // in the order in which they sign
	etag   int64
	loaded time.Time
}

// active returns the key that signs at now.
func (ks *keySet) active(now time.Time) (signingKey, bool) {
	for _, k := range slices.Backward(ks.Keys) {
		if !now.Before(k.Signs) {
			return k, true
		}
	}
	return signingKey{}, false
}

func (ks *keySet) find(kid string) (signingKey, bool) {
	i := slices.IndexFunc(ks.Keys, func(k signingKey) bool { return k.ID == kid })
	if kid == "" || i < 0 {
		return signingKey{}, false
	}
	return ks.Keys[i], true
}

// kept returns the keys whose last token may still be alive at now.
func (ks *keySet) kept(now time.Time) []signingKey {
	for i := range ks.Keys {
		if i == len(ks.Keys)-1 || now.Before(ks.Keys[i+1].Signs.Add(MaxLifetime+time.Minute)) {
			return ks.Keys[i:]
		}
	}
	return nil
}

func (s *Service) signingKey(ctx context.Context) (signingKey, error) {
	ks, err := s.current(ctx)
	if err != nil {
		return signingKey{}, err
	}
	if k, ok := ks.active(s.cfg.Now()); ok {
		return k, nil
	}
	return signingKey{}, errors.New("token: no signing key is active yet; was the clock set back?")
}

// publicKey returns the key with an ID, looking into the store once more when another server may have made it.
func (s *Service) publicKey(ctx context.Context, kid string) (signingKey, error) {
	ks, err := s.current(ctx)
	if err != nil {
		return signingKey{}, err
	}
	k, ok := ks.find(kid)
	if !ok && s.cfg.Now().Sub(ks.loaded) >= reloadPause {
		if ks, err = s.load(ctx, ks); err != nil {
			return signingKey{}, err
		}
		k, ok = ks.find(kid)
	}
	if !ok {
		return signingKey{}, fmt.Errorf("%w: kid %.64q", ErrUnknownKey, kid)
	}
	return k, nil
}

// Keys returns the public keys, those that will sign soon and those whose tokens are still alive included.
func (s *Service) Keys(ctx context.Context) (jose.JSONWebKeySet, error) {
	ks, err := s.current(ctx)
	if err != nil {
		return jose.JSONWebKeySet{}, err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range ks.kept(s.cfg.Now()) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.ID, Use: "sig", Algorithm: string(jose.RS256)})
	}
	return set, nil
}

// Tend publishes the next key when the time has come, and drops keys that no living token needs and kept records that
// expired. Any server may call it
// at any time, several at once; the app does so hourly.
func (s *Service) Tend(ctx context.Context) error {
	return errors.Join(s.tendKeys(ctx), s.sweep(ctx))
}

func (s *Service) tendKeys(ctx context.Context) error {
	ks, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	last := ks.Keys[len(ks.Keys)-1]
	due := last.Signs.Add(s.cfg.Signs)
	if now.Before(due.Add(-s.cfg.Publish)) {
		if len(ks.kept(now)) == len(ks.Keys) {
			return nil
		}
		return s.replace(ctx, ks, ks.kept(now))
	}
	return s.add(ctx, ks, latest(due, now.Add(s.cfg.Publish)))
}

// Rotate publishes a new key that begins to sign after the given time; 0 means at once. The old keys stay known until
// their tokens have expired.
func (s *Service) Rotate(ctx context.Context, after time.Duration) error {
	ks, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	return s.add(ctx, ks, s.cfg.Now().Add(after))
}

func (s *Service) add(ctx context.Context, ks *keySet, signs time.Time) error {
	k, err := s.newKey(signs)
	if err != nil {
		return err
	}
	keys := append(slices.Clone(ks.kept(s.cfg.Now())), k)
	slices.SortStableFunc(keys, func(a, b signingKey) int { return a.Signs.Compare(b.Signs) })
	return s.replace(ctx, ks, keys)
}

// replace writes the keys if nobody else did since ks was read; then the other's keys are as good.
func (s *Service) replace(ctx context.Context, ks *keySet, keys []signingKey) error {
	body, err := json.Marshal(keySet{Keys: keys})
	if err != nil {
		return fmt.Errorf("token: encode signing keys: %w", err)
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: keysKey, Kind: keysKind, Body: body, ETag: ks.etag})
		return err
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("token: write signing keys: %w", err)
	}
	_, err = s.load(ctx, s.keys.Load())
	return err
}

// newKey makes a key pair. Its ID is the hash of its public half, so that no two keys share one.
func (s *Service) newKey(signs time.Time) (signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return signingKey{}, fmt.Errorf("token: make signing key: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, fmt.Errorf("token: encode signing key: %w", err)
	}
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(&private.PublicKey))
	k := signingKey{ID: base64.RawURLEncoding.EncodeToString(sum[:20]), Published: s.cfg.Now().UTC(), Signs: signs.UTC(), private: private}
	if k.Sealed, err = s.cfg.Sealer.Seal(plain, k.resource()); err != nil {
		return signingKey{}, fmt.Errorf("token: seal signing key: %w", err)
	}
	return k, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
