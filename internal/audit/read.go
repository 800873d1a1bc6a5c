package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"vitrine/internal/store"
)

// Query selects events of one place, newest first.
type Query struct {
	Tenant       string
	Subscription string // empty: what is in no subscription
	From, To     time.Time
	After        string            // what an earlier List gave as next
	Limit        int               // events at most; 0: 200
	Match        func(*Event) bool // nil: every one
}

const (
	page    = 200
	maxScan = 5000 // events that one List looks at
)

// Place is what the keys of a place's events, and so the positions that List gives, begin with.
func Place(tenant, subscription string) string {
	return Event{Tenant: strings.ToLower(tenant), Subscription: strings.ToLower(subscription)}.place()
}

// List reads a page. next is empty at the end; a page may be short, or empty, although there is more.
func List(tx store.Tx, q Query) (events []Event, next string, err error) {
	prefix := Place(q.Tenant, q.Subscription)
	if q.Limit <= 0 {
		q.Limit = page
	}
	after, oldest := q.After, prefix+turned(q.From)+"~"
	if !q.To.IsZero() {
		after = max(after, prefix+turned(q.To))
	}
	if q.After != "" && !strings.HasPrefix(q.After, prefix) {
		return nil, "", fmt.Errorf("audit: %q is of another list", q.After)
	}
	for scanned := 0; scanned < maxScan; scanned += page {
		docs, err := tx.List(store.Query{Kind: EventKind, Prefix: prefix, After: after, Limit: page})
		if err != nil {
			return nil, "", err
		}
		for _, d := range docs {
			if after = d.Key; !q.From.IsZero() && d.Key > oldest {
				return events, "", nil
			}
			var e Event
			if err := json.Unmarshal(d.Body, &e); err != nil {
				return nil, "", fmt.Errorf("audit: %s: %w", d.Key, err)
			}
			if q.Match != nil && !q.Match(&e) {
				continue
			}
			if events = append(events, e); len(events) == q.Limit {
				return events, d.Key, nil
			}
		}
		if len(docs) < page {
			return events, "", nil
		}
	}
	return events, after, nil
}

// Places lists the subscriptions of which a tenant has events, "" for what is in none.
func Places(tx store.Tx, tenant string) (places []string, err error) {
	prefix, after := eventPrefix(strings.ToLower(tenant)), ""
	for {
		docs, err := tx.List(store.Query{Kind: EventKind, Prefix: prefix, After: after, Limit: 1})
		if err != nil || len(docs) == 0 {
			return places, err
		}
		place, _ := splitKey(strings.TrimPrefix(docs[0].Key, prefix))
		if after = prefix + place + "0"; place == "-" { // '0' comes after '/'
			place = ""
		}
		places = append(places, place)
	}
}

// Tenants lists the tenants that have a log, Installation among them.
func Tenants(tx store.Tx) (tenants []string, err error) {
	after := ""
	for {
		docs, err := tx.List(store.Query{Kind: HeadKind, After: after, Limit: page})
		if err != nil || len(docs) == 0 {
			return tenants, err
		}
		for _, d := range docs {
			after = d.Key
			tenants = append(tenants, strings.TrimPrefix(d.Key, HeadKind+"/"))
		}
	}
}

// Export writes a tenant's events as lines of JSON, place by place and newest first, exactly as they were sealed.
func (l *Log) Export(ctx context.Context, w io.Writer, tenant string, from time.Time) error {
	out, prefix := bufio.NewWriter(w), eventPrefix(strings.ToLower(tenant))
	for after, more := "", true; more; {
		var docs []store.Document
		err := l.Store.View(ctx, func(tx store.Tx) (err error) {
			docs, err = tx.List(store.Query{Kind: EventKind, Prefix: prefix, After: after, Limit: page})
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range docs {
			after = d.Key
			if _, rest := splitKey(strings.TrimPrefix(d.Key, prefix)); !from.IsZero() && rest > turned(from)+"~" {
				continue
			}
			if _, err := out.Write(append(d.Body, '\n')); err != nil {
				return err
			}
		}
		more = len(docs) == page
	}
	return out.Flush()
}
