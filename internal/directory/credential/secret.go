package credential

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory/rule"
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

// MaxSecrets bounds how many an application has.
const (
	MaxSecrets     = 20                   // per application; each costs a hash only if its hint fits
	secretLifetime = 365 * 24 * time.Hour // az's default for a credential without an end
	maxSecretText  = 1024                 // bytes; longer texts are wrong without a look

	// Secrets are never chosen by people: NewText draws 34 characters of 62, about 200 bits, which no amount of
	// hashing per second searches. Stretching therefore only pays for the case that the generator were weaker than
	// believed, and the price is paid at each token request, also by whoever guesses. 10,000 rounds are some 3 ms of one
	// core; the figure is stored with each hash, so that it can be raised. Passwords of people need far more.
	iterations = 10_000
)

const secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewText makes a secret of Entra's looks: 40 characters, "~" at the sixth. It never begins with "-", which az
// would take for an option, and needs no quoting in a shell (a "~" expands only at the beginning of a word).
func NewText() string {
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

// NewSecret makes a secret and its text, which is not kept.
func NewSecret(spec SecretSpec, now time.Time) (string, Secret, error) {
	if spec.DisplayName != "" {
		if err := rule.CheckName("secret name", spec.DisplayName); err != nil {
			return "", Secret{}, err
		}
	}
	if spec.Start.IsZero() {
		spec.Start = now
	}
	if spec.End.IsZero() {
		spec.End = spec.Start.Add(secretLifetime)
	}
	if !spec.End.After(spec.Start) {
		return "", Secret{}, fmt.Errorf("secret would end at %s, not after it starts: %w", spec.End.Format(time.RFC3339), rule.ErrInvalid)
	}
	text := NewText()
	hash, err := newHash(text)
	return text, Secret{KeyID: uuid.NewString(), DisplayName: spec.DisplayName, Hint: text[:3],
		Start: spec.Start.UTC(), End: spec.End.UTC(), Hash: hash}, err
}

// RemoveSecret takes a secret away, or says rule.ErrSecretNotFound.
func (c *Credentials) RemoveSecret(keyID string) error {
	kept := slices.DeleteFunc(slices.Clone(c.Secrets), func(s Secret) bool { return strings.EqualFold(s.KeyID, keyID) })
	if len(kept) == len(c.Secrets) {
		return fmt.Errorf("secret %.64q: %w", keyID, rule.ErrSecretNotFound)
	}
	c.Secrets = kept
	return nil
}

// Verify proves that text is one of the secrets at now, and tells which. rule.ErrWrongSecret (also: not yet valid), rule.ErrExpiredSecret. A
// secret whose hint fits nothing costs as much time as a wrong one.
func Verify(secrets []Secret, appID, text string, now time.Time) (string, error) {
	wrong := fmt.Errorf("application %.64s: %w", appID, rule.ErrWrongSecret)
	if len(text) > maxSecretText {
		return "", wrong
	}
	tried, expired := false, ""
	for _, s := range secrets {
		if !strings.HasPrefix(text, s.Hint) {
			continue
		}
		tried = true
		ok, err := s.Hash.matches(text)
		switch {
		case err != nil:
			return "", err
		case !ok || now.Before(s.Start):
		case !now.Before(s.End):
			expired = s.KeyID
		default:
			return s.KeyID, nil
		}
	}
	if expired != "" {
		return "", fmt.Errorf("secret %s of application %.64s: %w", expired, appID, rule.ErrExpiredSecret)
	}
	if !tried {
		Decoy(text)
	}
	return "", wrong
}

// Decoy spends the time of one comparison.
func Decoy(text string) {
	if len(text) <= maxSecretText {
		_, _ = Hash{Iterations: iterations, Salt: make([]byte, 16)}.matches(text)
	}
}
