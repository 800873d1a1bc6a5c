// Package rule has the words of the directory: the errors by which its failures are told apart, and the forms that IDs and names must have.
//
// It knows no object and no store. directory and the packages below it speak through it:
//
//	credential, registration ─┐
//	directory ────────────────┴──▶ rule
package rule

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The failures that a rule can give; directory has them under the same names.
var (
	ErrExists         = errors.New("already exists")
	ErrInvalid        = errors.New("not valid")
	ErrWrongSecret    = errors.New("secret does not match")
	ErrExpiredSecret  = errors.New("secret is expired")
	ErrSecretNotFound = errors.New("secret not found")
)

// CanonicalID gives a GUID in the form in which this package stores it, or "" if s is none. Only the plain form with
// hyphens counts: uuid.Parse alone would also take braces and a urn: prefix.
func CanonicalID(s string) string {
	if len(s) != 36 {
		return ""
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return ""
	}
	return id.String()
}

// NewOrGiven gives the canonical form of a chosen GUID, or a new one when none was chosen.
func NewOrGiven(what, id string) (string, error) {
	if id == "" {
		return uuid.NewString(), nil
	}
	if c := CanonicalID(id); c != "" && c != uuid.Nil.String() {
		return c, nil
	}
	return "", fmt.Errorf("%s %q is not a GUID: %w", what, id, ErrInvalid)
}

const maxName = 256 // bytes, and a display name's limit in Entra

// CheckName refuses what cannot be shown as a name; what names the thing in the error.
func CheckName(what, name string) error {
	if strings.TrimSpace(name) == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, IsControl) {
		return fmt.Errorf("%s %.64q must have 1 to %d printable characters: %w", what, name, maxName, ErrInvalid)
	}
	return nil
}

// IsControl finds control characters.
func IsControl(r rune) bool { return r < 0x20 || r == 0x7f }

// IsDomain takes ASCII host names of two labels or more, in lower case.
func IsDomain(name string) bool {
	labels := strings.Split(name, ".")
	if len(name) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// CutLast is strings.Cut at the last separator.
func CutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// IsSpaceOrControl finds what must not stand in a URI or a value.
func IsSpaceOrControl(r rune) bool { return r <= 0x20 || r == 0x7f }
