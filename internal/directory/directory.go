package directory

import (
	"context"
	"errors"
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
	KindMember           = "directory/member" // one membership in a group
	KindDomain           = "directory/domain" // a domain name and the tenant that it belongs to
	// What consent writes between principals, and which ends with either of them.
	KindPermissionGrant   = "directory/permissiongrant"
	KindAppRoleAssignment = "directory/approleassignment"
	KindDeleted           = "directory/deleted" // what may be restored for 30 days
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
