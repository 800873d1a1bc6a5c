package quota

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/store"
)

// underWay begins the holders of bodies that are arriving.
const underWay = "coming/"

// Stale is the age at which nobody waits for a body any more: what reserved for it crashed.
const Stale = time.Hour

// Reservation holds bytes for a body that is arriving; the zero one holds nothing.
type Reservation struct{ holder string }

// Reserve holds bytes beside what a holder holds, before the first of them is read. QuotaExceeded when the tenant may not
// hold them. Where there is no limit nothing is written.
func Reserve(ctx context.Context, s *store.Store, beside string, bytes int64, now time.Time) (Reservation, error) {
	limited := false
	err := s.View(ctx, func(tx store.Tx) error {
		e, err := loadEntry(tx, beside)
		if err != nil || e.etag == 0 {
			return err
		}
		a, err := Of(tx, e.Tenant)
		limited = a.Limit != nil
		return err
	})
	if err != nil || !limited || bytes == 0 {
		return Reservation{}, err
	}
	r := Reservation{underWay + uuid.NewString()}
	err = s.Update(ctx, func(tx store.Tx) error {
		e, err := loadEntry(tx, beside)
		if err != nil || e.etag == 0 { // the container went meanwhile, which the write will find
			return err
		}
		return entry{Tenant: e.Tenant, Since: now.Unix()}.set(tx, r.holder, bytes)
	})
	return r, err
}

// Release gives it back, in the transaction that counts what came of the body, or after a failure.
func (r Reservation) Release(tx store.Tx) error {
	if r.holder == "" {
		return nil
	}
	return Drop(tx, r.holder)
}

// sweepPage is how many reservations one transaction looks at.
const sweepPage = 500

// Sweep gives back what a crash left reserved.
func Sweep(ctx context.Context, s *store.Store, now time.Time) error {
	for after, more := "", true; more; {
		last := ""
		err := s.Update(ctx, func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: heldKind, Prefix: heldKey(underWay), After: after, Limit: sweepPage})
			more = len(docs) == sweepPage
			for _, d := range docs {
				last = d.Key
				var e entry
				if err := json.Unmarshal(d.Body, &e); err != nil {
					return fmt.Errorf("document %s: %w", d.Key, err)
				}
				if now.Sub(time.Unix(e.Since, 0)) < Stale {
					continue
				}
				if err := Drop(tx, strings.TrimPrefix(d.Key, heldKind+"/")); err != nil {
					return err
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		after = last // not in the transaction, which may be run again
	}
	return nil
}
