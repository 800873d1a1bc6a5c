package quota

import (
	"fmt"

	"vitrine/internal/store"
)

// Default reads the limit of tenants that have none of their own; nil: none.
func Default(tx store.Tx) (*int64, error) {
	var d struct{ Limit *int64 }
	_, err := load(tx, defaultKey, &d)
	return d.Limit, err
}

// SetDefault changes it; it writes nothing when it is that already.
func SetDefault(tx store.Tx, limit *int64) error {
	if err := check(limit); err != nil {
		return err
	}
	var d struct{ Limit *int64 }
	etag, err := load(tx, defaultKey, &d)
	if err != nil || same(d.Limit, limit) {
		return err
	}
	d.Limit = limit
	return save(tx, defaultKind, defaultKey, etag, d)
}

// countedKey is there when what a data folder held before there were quotas has been counted.
const countedKey, countedKind = "quota/counted", "quota/counted"

// Counted tells whether that was done.
func Counted(tx store.Tx) (bool, error) {
	etag, err := load(tx, countedKey, &struct{}{})
	return etag != 0, err
}

// SetCounted notes that it was.
func SetCounted(tx store.Tx) error { return save(tx, countedKind, countedKey, 0, struct{}{}) }

func same(a, b *int64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// Limits is what a tenant may hold.
type Limits struct {
	Own       *int64 // bytes; nil: what Unlimited says
	Unlimited bool   // without end, else as all tenants
}

// Set changes what a tenant may hold. What it holds already stays, also when that is more.
func Set(tx store.Tx, tenant string, l Limits) error {
	if err := check(l.Own); err != nil {
		return err
	}
	a, err := loadAccount(tx, tenant)
	if err != nil {
		return err
	}
	a.Limit, a.Unlimited = l.Own, l.Own == nil && l.Unlimited
	return save(tx, tenantKind, tenantKey(tenant), a.etag, a)
}

func check(limit *int64) error {
	if limit != nil && *limit < 0 {
		return fmt.Errorf("quota: a limit of %d bytes", *limit)
	}
	return nil
}
