package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// The failures that callers tell apart with errors.Is. Each comes wrapped in a sentence that names the object.
var (
	ErrTenantNotFound      = errors.New("tenant not found")
	ErrApplicationNotFound = errors.New("application not found")
	ErrPrincipalNotFound   = errors.New("service principal not found")
	ErrSecretNotFound      = rule.ErrSecretNotFound
	ErrExists              = rule.ErrExists
	ErrSingleTenant        = errors.New("application is single-tenant")
	ErrInvalid             = rule.ErrInvalid
	ErrWrongSecret         = rule.ErrWrongSecret
	ErrExpiredSecret       = rule.ErrExpiredSecret
	ErrUserNotFound        = errors.New("user not found")
	ErrGroupNotFound       = errors.New("group not found")
	ErrObjectNotFound      = errors.New("directory object not found")
	ErrWrongPassword       = errors.New("password does not match")
	ErrDisabled            = errors.New("account is disabled")
	ErrLastAdministrator   = errors.New("it is the last administrator")
	ErrQuota               = errors.New("the quota is used up")
)

// The kinds of this package's documents.
const (
	KindTenant           = "directory/tenant"
	KindApplication      = "directory/application"
	KindServicePrincipal = "directory/serviceprincipal"
	KindUser             = "directory/user"
	KindGroup            = "directory/group"
	KindMember           = "directory/member"  // one membership in a group
	KindDomain           = "directory/domain"  // a domain name and the tenant that it belongs to
	KindDeleted          = "directory/deleted" // what may be restored for 30 days
)

// Directory answers from the store; it caches nothing. It may be used from many goroutines.
type Directory struct {
	store   *store.Store
	now     func() time.Time
	hashing chan struct{} // bounds how many passwords are hashed at a time; each takes memory and a core
}

// New returns the directory that lives in st.
func New(st *store.Store) *Directory {
	return &Directory{store: st, now: time.Now, hashing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))}
}

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

// one decodes the first document that q selects, or gives missing.
func one[T any](tx store.Tx, q store.Query, missing error) (T, error) {
	q.Limit = 1
	found, err := list[T](tx, q)
	if err == nil && len(found) == 0 {
		err = missing
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
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
