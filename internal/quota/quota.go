// Package quota counts the bytes that each tenant holds, and refuses what would be more than it may.
//
// It owns the accounts: one document per tenant with its sum and its limit, one per holder (a resource, a container of
// blobs, a body under way) with what it holds. Both are written in the transaction that writes the holder, so writers who
// come together cannot pass the limit together, and nothing is left to be counted after a crash. It does not know what a
// holder is, nor how many bytes one needs: whoever saves it says so.
//
//	control.Save, content ── Hold(tenant, holder, bytes) ──▶ holder's entry, tenant's sum ──▶ *Exceeded, before any byte
//	Put Block, Put Blob   ── Reserve ──▶ body arrives ──▶ Release and Grow in one transaction
package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

const (
	tenantKind  = "quota/tenants"
	heldKind    = "quota/held"
	defaultKey  = "quota/default"
	defaultKind = "quota/default"
)

// Account is a tenant's.
type Account struct {
	Tenant string // its ID, in lower case
	Used   int64  // bytes
	Limit  *int64 // bytes; nil: none
	Own    bool   // the limit is the tenant's own, not that of all
}

// Most is the limit, or -1 where there is none.
func (a Account) Most() int64 {
	if a.Limit == nil {
		return -1
	}
	return *a.Limit
}

// Gigabytes are what is used and the limit in the unit of usages, whose clients read 32 bits: GiB, begun ones used and whole ones
// allowed. Not ok: there is no limit.
func (a Account) Gigabytes() (used, limit int, ok bool) {
	if a.Limit == nil {
		return 0, 0, false
	}
	const gib = 1 << 30
	return int((a.Used + gib - 1) / gib), int(*a.Limit / gib), true
}

// Exceeded is why more bytes than a tenant may hold were refused; it is the cause of an *arm.Error QuotaExceeded.
type Exceeded struct {
	Account
	More int64 // bytes that were asked for
}

// Error implements error.
func (e *Exceeded) Error() string {
	return fmt.Sprintf("quota: tenant %s holds %d of %d bytes, and %d more were asked for", e.Tenant, e.Used, *e.Limit, e.More)
}

// refuse is worded as Compute words a quota of its own, "QuotaExceeded" being ARM's code for what is no compute core.
func refuse(e *Exceeded) *arm.Error {
	return arm.Errorf(409, "QuotaExceeded", "Operation could not be completed as it results in exceeding the approved quota of stored bytes of the tenant '%s'. Additional details - Current Limit: %d, Current Usage: %d, Additional Required: %d, (Minimum) New Limit Required: %s. Delete what is not needed any more, or ask whoever runs this server for a higher quota (vitrine tenant quota).",
		e.Tenant, *e.Limit, e.Used, e.More, new(big.Int).Add(big.NewInt(e.Used), big.NewInt(e.More))).Because(e)
}

// account is a tenant's document.
type account struct {
	Used      int64  `json:"used"`
	Limit     *int64 `json:"limit,omitempty"`
	Unlimited bool   `json:"unlimited,omitempty"` // also when there is a limit for all
	etag      int64
}

// entry is a holder's document.
type entry struct {
	Tenant string `json:"tenant"`
	Bytes  int64  `json:"bytes"`
	Since  int64  `json:"since,omitempty"` // of a body under way, seconds
	etag   int64
}

func tenantKey(tenant string) string { return tenantKind + "/" + strings.ToLower(tenant) }

// The keys of resources are their IDs, so an entry's begins with another word than a resource's.
func heldKey(holder string) string { return heldKind + "/" + holder }

// load reads a document into v, and gives its ETag; what does not exist leaves v as it is.
func load(tx store.Tx, key string, v any) (etag int64, err error) {
	d, err := tx.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(d.Body, v); err != nil {
		return 0, fmt.Errorf("document %s: %w", key, err)
	}
	return d.ETag, nil
}

func save(tx store.Tx, kind, key string, etag int64, v any) error {
	body, err := json.Marshal(v)
	if err == nil {
		_, err = tx.Put(store.Document{Key: key, Kind: kind, Body: body, ETag: etag})
	}
	return err
}

func loadAccount(tx store.Tx, tenant string) (a account, err error) {
	a.etag, err = load(tx, tenantKey(tenant), &a)
	return a, err
}

func loadEntry(tx store.Tx, holder string) (e entry, err error) {
	e.etag, err = load(tx, heldKey(holder), &e)
	return e, err
}

// Of reads a tenant's account.
func Of(tx store.Tx, tenant string) (Account, error) {
	a, err := loadAccount(tx, tenant)
	if err != nil {
		return Account{}, err
	}
	return a.of(tx, tenant)
}

// of is the account as others see it, with the limit that holds now.
func (a account) of(tx store.Tx, tenant string) (out Account, err error) {
	out = Account{Tenant: strings.ToLower(tenant), Used: a.Used, Limit: a.Limit, Own: a.Limit != nil || a.Unlimited}
	if !out.Own {
		out.Limit, err = Default(tx)
	}
	return out, err
}

// Hold says how many bytes a holder of a tenant holds from now on; 0: it is gone. More than before is refused with
// QuotaExceeded when the tenant may not; less never is, also when the tenant has more than it may.
func Hold(tx store.Tx, tenant, holder string, bytes int64) error {
	e, err := loadEntry(tx, holder)
	if err != nil || e.etag != 0 && e.Bytes == bytes && strings.EqualFold(e.Tenant, tenant) {
		return err
	}
	if e.etag != 0 && !strings.EqualFold(e.Tenant, tenant) { // another tenant's subscription has this ID now
		if err := Drop(tx, holder); err != nil {
			return err
		}
		e = entry{}
	}
	e.Tenant = strings.ToLower(tenant)
	return e.set(tx, holder, bytes)
}

// Holding is what a resource's properties offer when it keeps bytes: the most that it may come to hold.
type Holding interface {
	Bytes() int64
}

// Count is Hold for a resource, by its properties and its key; whose are no Holding count nothing.
func Count(tx store.Tx, tenant func() (string, error), key string, properties any) error {
	h, ok := properties.(Holding)
	if !ok {
		return nil
	}
	id, err := tenant()
	if err != nil {
		return err
	}
	return Hold(tx, id, key, h.Bytes())
}

// Open begins the entry of a holder that Grow changes.
func Open(tx store.Tx, tenant, holder string) error {
	return save(tx, heldKind, heldKey(holder), 0, entry{Tenant: strings.ToLower(tenant)})
}

// Grow changes what a holder holds that Open began, as Hold does. Without an entry nothing is counted.
func Grow(tx store.Tx, holder string, more int64) error {
	e, err := loadEntry(tx, holder)
	if err != nil || e.etag == 0 || more == 0 {
		return err
	}
	return e.set(tx, holder, e.Bytes+more)
}

// Drop ends a holder's entry; that there is none is no error.
func Drop(tx store.Tx, holder string) error {
	e, err := loadEntry(tx, holder)
	if err != nil || e.etag == 0 {
		return err
	}
	if err := e.pay(tx, -e.Bytes); err != nil {
		return err
	}
	return tx.Delete(heldKey(holder), e.etag)
}

func (e entry) set(tx store.Tx, holder string, bytes int64) error {
	if bytes < 0 {
		return fmt.Errorf("quota: %s would hold %d bytes", holder, bytes)
	}
	if err := e.pay(tx, bytes-e.Bytes); err != nil {
		return err
	}
	e.Bytes = bytes
	return save(tx, heldKind, heldKey(holder), e.etag, e)
}

// pay changes the tenant's sum.
func (e entry) pay(tx store.Tx, more int64) error {
	if more == 0 {
		return nil
	}
	a, err := loadAccount(tx, e.Tenant)
	if err != nil {
		return err
	}
	if more > 0 {
		now, err := a.of(tx, e.Tenant)
		if err != nil {
			return err
		}
		most := int64(math.MaxInt64) // a sum that does not wrap
		if now.Limit != nil {
			most = *now.Limit
		}
		if now.Used > most-more {
			now.Limit = &most
			return refuse(&Exceeded{now, more})
		}
	}
	a.Used += more
	return save(tx, tenantKind, tenantKey(e.Tenant), a.etag, a)
}
