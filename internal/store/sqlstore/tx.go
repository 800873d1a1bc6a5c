package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"vitrine/internal/store"
)

// trimEvery is how many revisions may gather beyond store.FeedLength before the oldest are thrown away.
const trimEvery = 1024

const columns = `d.key, d.kind, d.etag, d.terms, d.body, d.due`

type tx struct {
	ctx             context.Context
	tx              *sql.Tx
	db              *database
	writes          bool
	first, revision int64 // of an Update: before it, and after its last write
	broken          error // the database's first failure: after it nothing may be committed, even if f forgives it
}

// fail remembers that the transaction is spoilt.
func (t *tx) fail(doing string, err error) error {
	if err = t.db.fail(t.ctx, doing, err); err != nil && t.broken == nil {
		t.broken = err
	}
	return err
}

// lock waits for this writer's turn and learns the revision.
func (t *tx) lock() error {
	err := t.tx.QueryRowContext(t.ctx, `SELECT revision FROM meta WHERE id = 1`+t.db.dialect.forUpdate).Scan(&t.first)
	t.revision = t.first
	return t.fail("lock the revision", err)
}

func (t *tx) finish() error {
	if t.broken != nil || t.revision == t.first {
		return t.broken
	}
	if err := t.exec("count the revision", `UPDATE meta SET revision = $1 WHERE id = 1`, t.revision); err != nil {
		return err
	}
	if t.first/trimEvery == t.revision/trimEvery {
		return nil
	}
	return t.exec("trim the change feed", `DELETE FROM changes WHERE revision <= $1`, t.revision-store.FeedLength)
}

func (t *tx) exec(doing, statement string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, statement, args...)
	return t.fail(doing, err)
}

func (t *tx) Revision() (r int64, err error) {
	if t.writes {
		return t.revision, nil
	}
	err = t.tx.QueryRowContext(t.ctx, `SELECT revision FROM meta WHERE id = 1`).Scan(&r)
	return r, t.fail("read the revision", err)
}

// scan reads columns, and what more of the row is asked for.
func scan(row interface{ Scan(...any) error }, more ...any) (d store.Document, err error) {
	var terms string
	var due int64
	if err := row.Scan(append([]any{&d.Key, &d.Kind, &d.ETag, &terms, &d.Body, &due}, more...)...); err != nil {
		return d, err
	}
	if due > 0 {
		d.Due = moment(due)
	}
	if terms == "" {
		return d, nil
	}
	return d, json.Unmarshal([]byte(terms), &d.Terms)
}

func moment(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func (t *tx) Get(key string) (store.Document, error) {
	if !store.Storable(key) {
		return store.Document{}, store.ErrNotFound
	}
	d, err := scan(t.tx.QueryRowContext(t.ctx, `SELECT `+columns+` FROM documents d WHERE d.key = $1`, key))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Document{}, store.ErrNotFound
	}
	return d, t.fail("get "+key, err)
}

func (t *tx) List(q store.Query) ([]store.Document, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	statement, args := selection(q)
	rows, err := t.tx.QueryContext(t.ctx, statement, args...)
	if err != nil {
		return nil, t.fail("list", err)
	}
	defer func() { _ = rows.Close() }()
	var found []store.Document
	for rows.Next() {
		d, err := scan(rows)
		if err != nil {
			return nil, t.fail("list", err)
		}
		found = append(found, d)
	}
	return found, t.fail("list", rows.Err())
}

func (t *tx) Put(d store.Document) (int64, error) {
	if !t.writes {
		return 0, store.ErrReadOnly
	}
	d, err := d.Normal()
	if err != nil {
		return 0, err
	}
	if d.ETag == 0 {
		return t.insert(d)
	}
	old, err := t.Get(d.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	if old.ETag != d.ETag {
		return 0, store.ErrConflict
	}
	revision, err := t.log(store.Change{Key: d.Key, Kind: d.Kind})
	if err != nil {
		return 0, err
	}
	if _, err := t.write(d, revision, `UPDATE documents SET kind = $2, etag = $3, terms = $4, body = $5, due = $6 WHERE key = $1`); err != nil {
		return 0, err
	}
	return revision, t.index(old, d)
}

// insert writes a new document without reading first whether there is one: the database tells.
func (t *tx) insert(d store.Document) (int64, error) {
	n, err := t.write(d, t.revision+1, `INSERT INTO documents (key, kind, etag, created, terms, body, due) VALUES ($1, $2, $3, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING`)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, store.ErrConflict
	}
	revision, err := t.log(store.Change{Key: d.Key, Kind: d.Kind})
	if err != nil {
		return 0, err
	}
	return revision, t.index(store.Document{}, d)
}

// write gives the number of rows that it changed.
func (t *tx) write(d store.Document, revision int64, statement string) (int64, error) {
	var due int64
	if !d.Due.IsZero() {
		due = d.Due.UnixMicro()
	}
	var terms []byte
	if len(d.Terms) > 0 {
		var err error
		if terms, err = json.Marshal(d.Terms); err != nil {
			return 0, fmt.Errorf("terms of %s: %w", d.Key, err)
		}
	}
	result, err := t.tx.ExecContext(t.ctx, statement, d.Key, d.Kind, revision, string(terms), string(d.Body), due)
	if err != nil {
		return 0, t.fail("put "+d.Key, err)
	}
	n, err := result.RowsAffected()
	return n, t.fail("put "+d.Key, err)
}

// index changes the rows of the terms table from those of old to those of d.
func (t *tx) index(old, d store.Document) error {
	for _, term := range old.Terms {
		if old.Kind == d.Kind && slices.Contains(d.Terms, term) {
			continue
		}
		err := t.exec("index "+old.Key, `DELETE FROM terms WHERE term = $1 AND kind = $2 AND key = $3`, term, old.Kind, old.Key)
		if err != nil {
			return err
		}
	}
	for _, term := range d.Terms {
		if old.Kind == d.Kind && slices.Contains(old.Terms, term) {
			continue
		}
		if err := t.exec("index "+d.Key, `INSERT INTO terms (term, kind, key) VALUES ($1, $2, $3)`, term, d.Kind, d.Key); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) log(c store.Change) (int64, error) {
	t.revision++
	deleted := 0
	if c.Deleted {
		deleted = 1
	}
	return t.revision, t.exec("write the change feed", `INSERT INTO changes (revision, key, kind, deleted) VALUES ($1, $2, $3, $4)`,
		t.revision, c.Key, c.Kind, deleted)
}

func (t *tx) Delete(key string, etag int64) error {
	if !t.writes {
		return store.ErrReadOnly
	}
	old, err := t.Get(key)
	if err != nil {
		return err
	}
	if etag != 0 && etag != old.ETag {
		return store.ErrConflict
	}
	if _, err := t.log(store.Change{Key: key, Kind: old.Kind, Deleted: true}); err != nil {
		return err
	}
	if err := t.exec("delete "+key, `DELETE FROM documents WHERE key = $1`, key); err != nil {
		return err
	}
	return t.index(old, store.Document{})
}
