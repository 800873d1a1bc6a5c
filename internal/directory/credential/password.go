package credential

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"vitrine/internal/directory/rule"
)

// Password is an argon2id hash of what a person chose. It does not print itself.
type Password struct {
	MemoryKiB uint32 `json:"memoryKiB,omitempty"`
	Passes    uint32 `json:"passes,omitempty"`
	Salt      []byte `json:"salt,omitempty"`
	Sum       []byte `json:"sum,omitempty"`
}

// String keeps the hash out of logs.
func (Password) String() string { return "[password]" }

// GoString does so for %#v.
func (Password) GoString() string { return "[password]" }

// IsZero says that there is no password.
func (p Password) IsZero() bool { return !p.Set() }

// Set says that there is a password.
func (p Password) Set() bool { return len(p.Sum) > 0 }

// Same says whether two are one and the same hash.
func (p Password) Same(q Password) bool { return subtle.ConstantTimeCompare(p.Sum, q.Sum) == 1 }

// People choose passwords, so each guess must be dear: argon2id with 19 MiB and two passes is what OWASP's password storage
// guide asks for at least. The figures are stored with each hash, so that they can be raised.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2

	minPassword = 8 // Entra's policy: 8 to 256 characters, three of four kinds
	MaxPassword = 256
)

// NewPassword hashes a password. It takes tens of milliseconds and 19 MiB.
func NewPassword(text string) Password {
	p := Password{MemoryKiB: argonMemory, Passes: argonPasses, Salt: make([]byte, 16)}
	rand.Read(p.Salt)
	p.Sum = p.derive(text)
	return p
}

// Matches says whether text is the password. No password matches nothing, in the same time.
func (p Password) Matches(text string) bool {
	q := p
	if !p.Set() {
		q = Password{MemoryKiB: argonMemory, Passes: argonPasses, Salt: make([]byte, 16), Sum: make([]byte, 32)}
	}
	same := subtle.ConstantTimeCompare(q.derive(text), q.Sum) == 1
	return same && p.Set()
}

func (p Password) derive(text string) []byte {
	return argon2.IDKey([]byte(text), p.Salt, p.Passes, p.MemoryKiB, 1, 32)
}

// CheckPassword is Entra's policy for cloud accounts.
func CheckPassword(text, upn string) error {
	weak := fmt.Errorf("The specified password does not comply with password complexity requirements. Please provide a different password: %w", rule.ErrInvalid)
	n := utf8.RuneCountInString(text)
	local, _, _ := strings.Cut(upn, "@")
	if n < minPassword || n > MaxPassword || !utf8.ValidString(text) || local != "" && len(local) > 2 && strings.Contains(strings.ToLower(text), strings.ToLower(local)) {
		return weak
	}
	var lower, upper, digit, other int
	for _, r := range text {
		switch {
		case unicode.IsControl(r):
			return weak
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			other = 1
		}
	}
	if lower+upper+digit+other < 3 {
		return weak
	}
	return nil
}
