// Package sqlstore keeps documents in SQLite or PostgreSQL: one code, two dialects.
//
// It owns the tables of migrations/ and the SQL; no other package speaks to the database. Writers take turns (SQLite by
// its one writing connection, PostgreSQL by a lock on the row that counts revisions), so revisions grow in commit order
// and what Update reads cannot change under it. Readers have a pool of their own and wait for nobody:
//
//	Update ─▶ write pool ─▶ lock, f(tx), revision ─▶ commit ─▶ wake those who Wait   (lost race: again)
//	View   ─▶ read pool  ─▶ snapshot, f(tx)
//	Claim, Renew, Release ─▶ one statement each
//	Wait   ─▶ woken by this process's commits; asks the database four times a second for those of others
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"vitrine/internal/store"
)

// poll is how long a commit of another process may go unnoticed by Wait.
const poll = 250 * time.Millisecond

type database struct {
	read, write *sql.DB
	dialect     dialect
	closing     context.Context // ends at Close
	close       context.CancelFunc

	mu   sync.Mutex
	wake chan struct{} // closed and replaced at each commit
}

func open(ctx context.Context, d dialect, read, write *sql.DB) (store.Driver, error) {
	if err := migrate(ctx, d, write); err != nil {
		return nil, errors.Join(err, write.Close(), read.Close())
	}
	db := &database{read: read, write: write, dialect: d, wake: make(chan struct{})}
	db.closing, db.close = context.WithCancel(context.Background())
	return db, nil
}

// fail gives an error of the database its public meaning.
func (db *database) fail(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case db.closing.Err() != nil:
		return store.ErrClosed
	case errors.Is(err, sql.ErrNoRows):
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// ready says why nothing can be done.
func (db *database) ready(ctx context.Context) error {
	if db.closing.Err() != nil {
		return store.ErrClosed
	}
	return ctx.Err()
}

func (db *database) View(ctx context.Context, f func(store.Tx) error) error {
	if err := db.ready(ctx); err != nil {
		return err
	}
	sqlTx, err := db.read.BeginTx(ctx, db.dialect.view)
	if err != nil {
		return db.fail(ctx, "begin to read", err)
	}
	defer func() { _ = sqlTx.Rollback() }() // nothing was written
	t := &tx{ctx: ctx, tx: sqlTx, db: db}
	if err := f(t); err != nil {
		return err
	}
	return t.broken
}

// Update tries until the race is won or ctx ends: a lost race means that another writer got on.
func (db *database) Update(ctx context.Context, f func(store.Tx) error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if err := db.ready(ctx); err != nil {
			return err
		}
		err := db.update(ctx, f)
		if err == nil || !db.dialect.lostRace(err) {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// patience is for how long a commit is waited for that somebody gave up who asked for it.
const patience = 10 * time.Second

// update is one try. PostgreSQL's driver commits with the context of the beginning, and would leave us in doubt when that ends: so from the
// beginning on the transaction's own ends only patience later. Statements still end with ctx.
func (db *database) update(ctx context.Context, f func(store.Tx) error) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	begun := context.AfterFunc(ctx, end)
	sqlTx, err := db.write.BeginTx(life, db.dialect.update)
	if err != nil {
		return db.fail(ctx, "begin to write", err)
	}
	defer func() { _ = sqlTx.Rollback() }() // after Commit it does nothing
	if !begun() {
		return db.fail(ctx, "begin to write", ctx.Err())
	}
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, end) })()
	t := &tx{ctx: ctx, tx: sqlTx, db: db, writes: true}
	if err := t.lock(); err != nil {
		return err
	}
	if err := f(t); err != nil {
		if t.broken != nil && db.dialect.lostRace(t.broken) {
			return t.broken
		}
		return err
	}
	if err := t.finish(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return db.fail(ctx, "commit", err)
	}
	if err := sqlTx.Commit(); err != nil {
		if db.dialect.refused(err) {
			return db.fail(ctx, "commit", err)
		}
		return fmt.Errorf("%w: %w", store.ErrInDoubt, err)
	}
	if t.revision != t.first {
		db.committed()
	}
	return nil
}

func (db *database) committed() {
	db.mu.Lock()
	defer db.mu.Unlock()
	close(db.wake)
	db.wake = make(chan struct{})
}

func (db *database) woken() <-chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.wake
}

func (db *database) Changes(ctx context.Context, after int64, limit int) ([]store.Change, error) {
	if err := db.ready(ctx); err != nil {
		return nil, err
	}
	statement := `SELECT revision, key, kind, deleted FROM changes WHERE revision > $1 ORDER BY revision`
	if limit > 0 {
		statement += fmt.Sprintf(" LIMIT %d", limit)
	}
	// Revisions have no holes, so that a first entry later than the next one tells what was trimmed: one statement, one
	// snapshot.
	rows, err := db.read.QueryContext(ctx, statement, max(after, 0))
	if err != nil {
		return nil, db.fail(ctx, "read the change feed", err)
	}
	defer func() { _ = rows.Close() }()
	var found []store.Change
	for rows.Next() {
		var c store.Change
		var deleted int64
		if err := rows.Scan(&c.Revision, &c.Key, &c.Kind, &deleted); err != nil {
			return nil, db.fail(ctx, "read the change feed", err)
		}
		c.Deleted = deleted != 0
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return nil, db.fail(ctx, "read the change feed", err)
	}
	if len(found) > 0 && found[0].Revision > max(after, 0)+1 {
		return nil, store.ErrTrimmed
	}
	return found, nil
}

func (db *database) Wait(ctx context.Context, after int64) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		wake := db.woken()
		if err := db.ready(ctx); err != nil {
			return err
		}
		var revision int64
		if err := db.read.QueryRowContext(ctx, `SELECT revision FROM meta WHERE id = 1`).Scan(&revision); err != nil {
			return db.fail(ctx, "wait for a change", err)
		}
		if revision > after {
			return nil
		}
		select {
		case <-wake:
		case <-tick.C:
		case <-ctx.Done():
		case <-db.closing.Done():
		}
	}
}

func (db *database) Close() error {
	if db.closing.Err() != nil {
		return nil
	}
	db.close()
	return errors.Join(db.read.Close(), db.write.Close())
}
