package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"vitrine/internal/store"
)

// The failures that callers tell apart with errors.Is. Each comes wrapped in a sentence that names the object.
var (
	ErrTenantNotFound      = errors.New("tenant not found")
	ErrApplicationNotFound = errors.New("application not found")
	ErrPrincipalNotFound   = errors.New("service principal not found")
	ErrSecretNotFound      = errors.New("secret not found")
	ErrExists              = errors.New("already exists")
	ErrSingleTenant        = errors.New("application is single-tenant")
	ErrInvalid             = errors.New("not valid")
	ErrWrongSecret         = errors.New("secret does not match")
	ErrExpiredSecret       = errors.New("secret is expired")
)

// The kinds of this package's documents.
const (
	KindTenant           = "directory/tenant"
	KindApplication      = "directory/application"
	KindServicePrincipal = "directory/serviceprincipal"
)

// Directory answers from the store; it caches nothing. It may be used from many goroutines.
type Directory struct {
	store *store.Store
	now   func() time.Time
}

// New returns the directory that lives in st.
func New(st *store.Store) *Directory { return &Directory{store: st, now: time.Now} }

// read decodes the document at key, or gives missing when there is none.
func read[T any](tx store.Tx, key string, missing error) (T, store.Document, error) {
	var v T
	doc, err := tx.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return v, doc, missing
	}
	if err != nil {
		return v, doc, fmt.Errorf("directory: read %s: %w", key, err)
	}
	err = decode(doc, &v)
	return v, doc, err
}

func decode(doc store.Document, v any) error {
	if err := json.Unmarshal(doc.Body, v); err != nil {
		return fmt.Errorf("directory: document %s: %w", doc.Key, err)
	}
	return nil
}

// list decodes the documents that q selects.
func list[T any](tx store.Tx, q store.Query) ([]T, error) {
	docs, err := tx.List(q)
	if err != nil {
		return nil, fmt.Errorf("directory: list %s: %w", q.Kind, err)
	}
	out := make([]T, len(docs))
	for i, doc := range docs {
		if err := decode(doc, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// write stores v in doc, whose ETag says what it replaces (0: nothing).
func write(tx store.Tx, doc store.Document, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("directory: encode %s: %w", doc.Key, err)
	}
	doc.Body = body
	_, err = tx.Put(doc)
	return err
}

// view runs f in a reading transaction and hands out its result.
func view[T any](ctx context.Context, d *Directory, f func(store.Tx) (T, error)) (out T, err error) {
	err = d.store.View(ctx, func(tx store.Tx) error {
		out, err = f(tx)
		return err
	})
	return out, err
}

// update is view for a writing transaction.
func update[T any](ctx context.Context, d *Directory, f func(store.Tx) (T, error)) (out T, err error) {
	err = d.store.Update(ctx, func(tx store.Tx) error {
		out, err = f(tx)
		return err
	})
	return out, err
}

// canonicalID gives a GUID in the form in which this package stores it, or "" if s is none. Only the plain form with
// hyphens counts: uuid.Parse alone would also take braces and a urn: prefix.
func canonicalID(s string) string {
	if len(s) != 36 {
		return ""
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return ""
	}
	return id.String()
}

// newOrGiven gives the canonical form of a chosen GUID, or a new one when none was chosen.
func newOrGiven(what, id string) (string, error) {
	if id == "" {
		return uuid.NewString(), nil
	}
	if c := canonicalID(id); c != "" && c != uuid.Nil.String() {
		return c, nil
	}
	return "", fmt.Errorf("%s %q is not a GUID: %w", what, id, ErrInvalid)
}

const maxName = 256 // bytes, and a display name's limit in Entra

func checkName(what, name string) error {
	if strings.TrimSpace(name) == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("%s %.64q must have 1 to %d printable characters: %w", what, name, maxName, ErrInvalid)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
