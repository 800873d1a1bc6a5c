package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/seal"
	"vitrine/internal/store"
)

// DefaultKeep is how long events are kept unless the operator says otherwise; Azure's activity log has the same 90 days.
const DefaultKeep = 90 * 24 * time.Hour

// Config is what a Log needs.
type Config struct {
	Store  *store.Store
	Sealer *seal.Sealer
	Owner  string        // names this process among all that share the store
	Keep   time.Duration // of events; 0: DefaultKeep; negative: for ever
	Log    *slog.Logger
	Now    func() time.Time
}

// timing is how long things are waited for; a test shortens it.
type timing struct {
	batch  time.Duration // from the first event of a batch to its seal
	poll   time.Duration // between looks for a batch that is due
	lease  time.Duration
	window time.Duration // in which repeats are one event
	sweep  time.Duration // between looks for events that are too old
	idle   time.Duration // until a chain without events is looked at
}

func usual() timing {
	return timing{batch: 5 * time.Second, poll: time.Second, lease: 30 * time.Second, window: time.Minute, sweep: time.Hour, idle: time.Hour}
}

// Log is the activity log. It may be used from many goroutines.
type Log struct {
	Config
	time    timing
	part    int // events in one seal at most
	mu      sync.Mutex
	tallies map[string]*tally
	callers map[string]int // tallies of each caller
}

// New makes a log; nothing is sealed before Run.
func New(c Config) *Log {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Keep == 0 {
		c.Keep = DefaultKeep
	}
	return &Log{Config: c, time: usual(), part: maxPart, tallies: map[string]*tally{}, callers: map[string]int{}}
}

// head is what the chain of a tenant has come to. Only the worker changes Sealed and what follows.
type head struct {
	Tenant   string    `json:"tenant"`
	Open     int64     `json:"open"`   // the batch that events join
	Sealed   int64     `json:"sealed"` // the last batch that is sealed whole
	Sequence int64     `json:"sequence"`
	Hash     []byte    `json:"hash,omitempty"` // of the last seal
	MAC      []byte    `json:"mac,omitempty"`  // over Tenant, Sealed, Sequence, Hash
	Swept    time.Time `json:"swept,omitzero"`
}

func readHead(tx store.Tx, tenant string) (head, store.Document, error) {
	h := head{Tenant: tenant, Open: 1}
	d, err := tx.Get(headKey(tenant))
	if errors.Is(err, store.ErrNotFound) {
		return h, store.Document{Key: headKey(tenant), Kind: HeadKind}, nil
	}
	if err != nil {
		return h, d, err
	}
	if err := json.Unmarshal(d.Body, &h); err != nil {
		return h, d, fmt.Errorf("audit: the head of %s: %w", tenant, err)
	}
	return h, d, nil
}

func (h head) write(tx store.Tx, d store.Document, due time.Time) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	d.Body, d.Due = body, due
	_, err = tx.Put(d)
	return err
}

// Record writes an event in the caller's transaction: both are kept or neither.
func (l *Log) Record(tx store.Tx, e Event) error {
	now := l.Now()
	e = e.normal(now)
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	e.ID = id.String()
	h, d, err := readHead(tx, e.Tenant)
	if err != nil {
		return err
	}
	if due := now.Add(l.time.batch); d.ETag == 0 || d.Due.IsZero() || d.Due.After(due.Add(time.Second)) {
		if err := h.write(tx, d, due); err != nil { // the first event of a batch tells the worker of it
			return err
		}
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: e.key(), Kind: EventKind, Terms: []string{batchTerm(e.Tenant, h.Open)}, Body: body})
	return err
}

// last writes the counts of repeats at the end of the server.
func (l *Log) last(ctx context.Context) {
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.time.batch)
	defer cancel()
	if err := l.flush(rest, true); err != nil {
		l.Log.Error("activity log: repeats", "error", err)
	}
}

// Run seals, counts and sweeps until ctx ends. Any number of servers may run it on one store.
func (l *Log) Run(ctx context.Context) {
	timer := time.NewTicker(l.time.poll)
	defer timer.Stop()
	for {
		if err := l.flush(ctx, false); err != nil && ctx.Err() == nil {
			l.Log.Error("activity log: repeats", "error", err)
		}
		for ctx.Err() == nil && l.work(ctx) {
		}
		select {
		case <-ctx.Done():
			l.last(ctx)
			return
		case <-timer.C:
		}
	}
}
