package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"vitrine/internal/store"
)

// held is the condition under which $1..$4 (key, owner, attempt, ETag) still hold the document at {{now}}. An ETag less than
// created belongs to an earlier document of that key.
const held = `key = $1 AND lease_owner = $2 AND attempt = $3 AND created <= $4 AND lease_until > {{now}}`

func hold(l store.Lease, more ...any) []any {
	return append([]any{l.Key, l.Owner, l.Attempt, l.ETag}, more...)
}

func (db *database) Claim(ctx context.Context, kind, owner string, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckClaim(kind, owner, ttl); err != nil {
		return store.Lease{}, err
	}
	// The candidate is locked before it is changed; in PostgreSQL workers skip what another has locked, and the CTE is
	// evaluated once.
	statement := db.dialect.render(`WITH c AS {{materialized}} (
		SELECT key FROM documents WHERE kind = $1 AND due > 0 AND due <= {{now}} AND lease_until <= {{now}}
		ORDER BY due, key LIMIT 1 {{skiplocked}})
		UPDATE documents AS d SET lease_owner = $2, lease_until = {{now}} + $3, attempt = attempt + 1
		WHERE d.key = (SELECT key FROM c) RETURNING ` + db.dialect.returning + `, lease_until, attempt`)
	l := store.Lease{Owner: owner}
	err := db.race(ctx, func() (err error) {
		var until int64
		l.Document, err = scan(db.leases().QueryRowContext(ctx, statement, kind, owner, ttl.Microseconds()), &until, &l.Attempt)
		l.Until = moment(until)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return store.Lease{}, store.ErrNothing
	}
	if err != nil {
		return store.Lease{}, db.fail(ctx, "claim", err)
	}
	return l, nil
}

func (db *database) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckClaim(l.Kind, l.Owner, ttl); err != nil {
		return store.Lease{}, err
	}
	until, err := db.change(ctx, "renew", `lease_until = {{now}} + $5`, hold(l, ttl.Microseconds()))
	l.Until = moment(until)
	return l, err
}

func (db *database) Release(ctx context.Context, l store.Lease) error {
	_, err := db.change(ctx, "release", `lease_owner = '', lease_until = 0`, hold(l))
	return err
}

// change sets columns of a lease that is still held, or says ErrLease.
func (db *database) change(ctx context.Context, doing, set string, args []any) (until int64, err error) {
	if err := db.ready(ctx); err != nil {
		return 0, err
	}
	if key, _ := args[0].(string); !store.Storable(key) {
		return 0, store.ErrLease
	}
	statement := db.dialect.render(`UPDATE documents SET ` + set + ` WHERE ` + held + ` RETURNING lease_until`)
	err = db.race(ctx, func() error { return db.leases().QueryRowContext(ctx, statement, args...).Scan(&until) })
	if errors.Is(err, sql.ErrNoRows) {
		return 0, store.ErrLease
	}
	return until, db.fail(ctx, doing, err)
}

// leases is the pool for statements about leases: where writers do not need to take turns, these do not wait for them.
func (db *database) leases() *sql.DB {
	if db.dialect.oneWriter {
		return db.write
	}
	return db.read
}

// race repeats a single statement that lost a race.
func (db *database) race(ctx context.Context, f func() error) error {
	for {
		if err := db.ready(ctx); err != nil {
			return err
		}
		if err := f(); err == nil || !db.dialect.lostRace(err) {
			return err
		}
	}
}

// Fence locks the document, so that nobody claims it before this transaction has ended.
func (t *tx) Fence(l store.Lease) error {
	if !store.Storable(l.Key) || store.CheckClaim("any", l.Owner, time.Second) != nil {
		return store.ErrLease
	}
	statement := `SELECT lease_until FROM documents WHERE ` + held
	if t.writes {
		statement += t.db.dialect.forUpdate
	}
	var until int64
	err := t.tx.QueryRowContext(t.ctx, t.db.dialect.render(statement), hold(l)...).Scan(&until)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrLease
	}
	return t.fail("fence "+l.Key, err)
}
