package directory

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/store"
)

// Secret is one of an application's passwords. The text itself is shown once and never kept.
type Secret struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName,omitempty"`
	Hint        string    `json:"hint"` // the first three characters, by which a person tells secrets apart
	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
	Hash        Hash      `json:"hash"`
}

// Hash is a salted PBKDF2-SHA256 of a secret's text. It does not print itself.
type Hash struct {
	Iterations int    `json:"iterations"`
	Salt       []byte `json:"salt"`
	Sum        []byte `json:"sum"`
}

// String keeps the hash out of logs.
func (Hash) String() string { return "[hash]" }

const (
	maxSecrets     = 20                   // per application; each costs a hash only if its hint fits
	secretLifetime = 365 * 24 * time.Hour // az's default for a credential without an end
	maxSecretText  = 1024                 // bytes; longer texts are wrong without a look

	// Secrets are never chosen by people: newSecretText draws 34 characters of 62, about 200 bits, which no amount of
	// hashing per second searches. Stretching therefore only pays for the case that the generator were weaker than
	// believed, and the price is paid at each token request, also by whoever guesses. 10,000 rounds are some 3 ms of one
	// core; the figure is stored with each hash, so that it can be raised. Passwords of people need far more.
	iterations = 10_000
)

const secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newSecretText makes a secret of Entra's looks: 40 characters, "~" at the sixth. It never begins with "-", which az
// would take for an option, and needs no quoting in a shell (a "~" expands only at the beginning of a word).
func newSecretText() string {
	var b strings.Builder
	for b.Len() < 40 {
		switch b.Len() {
		case 3:
			b.WriteString("8Q~")
		default:
			b.WriteByte(secretAlphabet[randomBelow(len(secretAlphabet))])
		}
	}
	return b.String()
}

// randomBelow draws without bias: bytes beyond the last whole multiple of n are thrown away.
func randomBelow(n int) int {
	var one [1]byte
	for {
		rand.Read(one[:])
		if v := int(one[0]); v < 256-256%n {
			return v % n
		}
	}
}

func newHash(text string) (Hash, error) {
	h := Hash{Iterations: iterations, Salt: make([]byte, 16)}
	rand.Read(h.Salt)
	var err error
	h.Sum, err = h.derive(text)
	return h, err
}

func (h Hash) derive(text string) ([]byte, error) {
	sum, err := pbkdf2.Key(sha256.New, text, h.Salt, h.Iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("directory: hash a secret: %w", err)
	}
	return sum, nil
}

func (h Hash) matches(text string) (bool, error) {
	sum, err := h.derive(text)
	return err == nil && subtle.ConstantTimeCompare(sum, h.Sum) == 1, err
}

// SecretSpec says what a new secret is like. A zero Start is now; a zero End is a year after Start.
type SecretSpec struct {
	DisplayName string
	Start, End  time.Time
}

// AddSecret makes a further secret of an application and returns its text, which is not kept, and its record.
func (d *Directory) AddSecret(ctx context.Context, appID string, spec SecretSpec) (text string, s Secret, err error) {
	err = d.store.Update(ctx, func(tx store.Tx) error {
		text, s, err = d.AddSecretIn(tx, appID, spec)
		return err
	})
	return text, s, err
}

// AddSecretIn is AddSecret as a part of tx.
func (d *Directory) AddSecretIn(tx store.Tx, appID string, spec SecretSpec) (string, Secret, error) {
	a, doc, err := d.application(tx, appID)
	if err != nil {
		return "", Secret{}, err
	}
	text, s, err := d.newSecret(spec)
	if err != nil {
		return "", Secret{}, err
	}
	switch {
	case firstParty(a.AppID):
		return "", Secret{}, fmt.Errorf("application %s is not registered here: %w", a.AppID, ErrInvalid)
	case len(a.Secrets) >= maxSecrets:
		return "", Secret{}, fmt.Errorf("application %s has %d secrets, remove one first: %w", a.AppID, maxSecrets, ErrInvalid)
	}
	a.Secrets = append(a.Secrets, s)
	return text, s, write(tx, doc, a)
}

func (d *Directory) newSecret(spec SecretSpec) (string, Secret, error) {
	if spec.DisplayName != "" {
		if err := checkName("secret name", spec.DisplayName); err != nil {
			return "", Secret{}, err
		}
	}
	if spec.Start.IsZero() {
		spec.Start = d.now()
	}
	if spec.End.IsZero() {
		spec.End = spec.Start.Add(secretLifetime)
	}
	if !spec.End.After(spec.Start) {
		return "", Secret{}, fmt.Errorf("secret would end at %s, not after it starts: %w", spec.End.Format(time.RFC3339), ErrInvalid)
	}
	text := newSecretText()
	hash, err := newHash(text)
	return text, Secret{KeyID: uuid.NewString(), DisplayName: spec.DisplayName, Hint: text[:3],
		Start: spec.Start.UTC(), End: spec.End.UTC(), Hash: hash}, err
}

// RemoveSecret makes a secret unusable. Tokens that it brought stay valid until they expire.
func (d *Directory) RemoveSecret(ctx context.Context, appID, keyID string) error {
	return d.store.Update(ctx, func(tx store.Tx) error {
		a, doc, err := d.application(tx, appID)
		if err != nil {
			return err
		}
		kept := slices.DeleteFunc(slices.Clone(a.Secrets), func(s Secret) bool { return strings.EqualFold(s.KeyID, keyID) })
		if len(kept) == len(a.Secrets) {
			return fmt.Errorf("secret %.64q of application %s: %w", keyID, a.AppID, ErrSecretNotFound)
		}
		a.Secrets = kept
		return write(tx, doc, a)
	})
}

// VerifySecret proves that text is a secret of the application at now, and tells which one. Its errors are
// ErrApplicationNotFound, ErrWrongSecret (also: not yet valid) and ErrExpiredSecret (the right text, too late).
// An unknown application and a secret whose hint fits nothing cost as much time as a wrong one.
func (d *Directory) VerifySecret(ctx context.Context, appID, text string, now time.Time) (keyID string, err error) {
	a, err := d.Application(ctx, appID)
	if err != nil {
		decoy(text)
		return "", err
	}
	return a.verify(text, now)
}

func (a Application) verify(text string, now time.Time) (string, error) {
	wrong := fmt.Errorf("application %s: %w", a.AppID, ErrWrongSecret)
	if len(text) > maxSecretText {
		return "", wrong
	}
	tried := false
	for _, s := range a.Secrets {
		if !strings.HasPrefix(text, s.Hint) {
			continue
		}
		tried = true
		ok, err := s.Hash.matches(text)
		if err != nil {
			return "", err
		}
		if !ok || now.Before(s.Start) {
			continue
		}
		if !now.Before(s.End) {
			return "", fmt.Errorf("secret %s of application %s: %w", s.KeyID, a.AppID, ErrExpiredSecret)
		}
		return s.KeyID, nil
	}
	if !tried {
		decoy(text)
	}
	return "", wrong
}

// decoy spends the time of one comparison.
func decoy(text string) {
	if len(text) <= maxSecretText {
		_, _ = Hash{Iterations: iterations, Salt: make([]byte, 16)}.matches(text)
	}
}
