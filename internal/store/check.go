package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits that hold for every back-end, in bytes unless said otherwise. MaxKey, MaxKind and MaxTerm together fit into
// one entry of a PostgreSQL B-tree (about 2,700 bytes).
const (
	MaxKey     = 1500
	MaxKind    = 128
	MaxTerm    = 512
	MaxTerms   = 1024 // terms in one document, or in each list of a query
	MaxBody    = 16 << 20
	MaxOwner   = 256
	FeedLength = 8192 // entries of the change feed that are kept at least
)

// Normal returns d as back-ends store it: terms sorted without repeats, Due in UTC and microseconds, nothing shared
// with d. What cannot be stored is refused with ErrInvalid.
func (d Document) Normal() (Document, error) {
	if err := d.check(); err != nil {
		return Document{}, err
	}
	d.Terms = slices.Compact(slices.Sorted(slices.Values(d.Terms)))
	d.Body = bytes.Clone(d.Body)
	if !d.Due.IsZero() {
		d.Due = d.Due.UTC().Truncate(time.Microsecond)
	}
	return d, nil
}

func (d Document) check() error {
	if err := checkText("key", d.Key, 1, MaxKey); err != nil {
		return err
	}
	if err := checkText("kind", d.Kind, 1, MaxKind); err != nil {
		return err
	}
	if err := checkTerms(d.Terms); err != nil {
		return err
	}
	if len(d.Body) > MaxBody {
		return fmt.Errorf("%w: the body of %q has %d bytes, more than %d", ErrInvalid, d.Key, len(d.Body), MaxBody)
	}
	// json.Valid lets broken UTF-8 pass, PostgreSQL does not.
	if !json.Valid(d.Body) || !utf8.Valid(d.Body) {
		return fmt.Errorf("%w: the body of %q is not JSON in UTF-8", ErrInvalid, d.Key)
	}
	if y := d.Due.Year(); !d.Due.IsZero() && (y < 1971 || y > 9999) {
		return fmt.Errorf("%w: %q is due in the year %d", ErrInvalid, d.Key, y)
	}
	return nil
}

// Check refuses a query that some back-end could not run.
func (q Query) Check() error {
	if err := checkText("kind", q.Kind, 0, MaxKind); err != nil {
		return err
	}
	if err := checkText("prefix", q.Prefix, 0, MaxKey); err != nil {
		return err
	}
	if err := checkText("after", q.After, 0, MaxKey); err != nil {
		return err
	}
	if q.Limit < 0 {
		return fmt.Errorf("%w: limit %d", ErrInvalid, q.Limit)
	}
	if err := checkTerms(q.Any); err != nil {
		return err
	}
	return checkTerms(q.All)
}

// Storable says whether a document can have this key; one that cannot is simply not found.
func Storable(key string) bool { return checkText("key", key, 1, MaxKey) == nil }

// CheckClaim refuses arguments of Claim and Renew that no back-end accepts.
func CheckClaim(kind, owner string, ttl time.Duration) error {
	if err := checkText("kind", kind, 1, MaxKind); err != nil {
		return err
	}
	if err := checkText("owner", owner, 1, MaxOwner); err != nil {
		return err
	}
	if ttl < time.Microsecond {
		return fmt.Errorf("%w: a hold of %s", ErrInvalid, ttl)
	}
	return nil
}

func checkTerms(terms []string) error {
	if len(terms) > MaxTerms {
		return fmt.Errorf("%w: %d terms, more than %d", ErrInvalid, len(terms), MaxTerms)
	}
	for _, t := range terms {
		if err := checkText("term", t, 1, MaxTerm); err != nil {
			return err
		}
	}
	return nil
}

func checkText(what, s string, least, most int) error {
	switch {
	case len(s) < least:
		return fmt.Errorf("%w: empty %s", ErrInvalid, what)
	case len(s) > most:
		return fmt.Errorf("%w: a %s of %d bytes, more than %d", ErrInvalid, what, len(s), most)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return fmt.Errorf("%w: %s %q is not text (NUL or broken UTF-8)", ErrInvalid, what, s)
	}
	return nil
}
