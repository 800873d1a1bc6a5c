package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/store"
	"vitrine/internal/store/storetest"
	"vitrine/internal/store/storetest/pgtest"
)

func openSQLite(t *testing.T, path string) store.Driver {
	t.Helper()
	d, err := OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func openPostgres(t *testing.T, dsn string) store.Driver {
	t.Helper()
	d, err := OpenPostgres(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Driver { return openSQLite(t, filepath.Join(t.TempDir(), "store.db")) })
}

func TestPostgres(t *testing.T) {
	dsn := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) store.Driver { return openPostgres(t, pgtest.Database(t, dsn)) })
	t.Run("Reopen", func(t *testing.T) {
		fresh := pgtest.Database(t, dsn)
		testReopen(t, func(t *testing.T) store.Driver { return openPostgres(t, fresh) })
	})
	t.Run("Newer", func(t *testing.T) {
		fresh := pgtest.Database(t, dsn)
		testNewer(t, func() (store.Driver, error) { return OpenPostgres(fresh) })
	})
	t.Run("ReadersDoNotWait", func(t *testing.T) { testReadersDoNotWait(t, openPostgres(t, pgtest.Database(t, dsn))) })
}

func TestSQLiteReadersDoNotWait(t *testing.T) {
	testReadersDoNotWait(t, openSQLite(t, filepath.Join(t.TempDir(), "store.db")))
}

func TestReopenSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?name#%41.db")
	testReopen(t, func(t *testing.T) store.Driver { return openSQLite(t, path) })
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err == nil && info.Mode().Perm() != 0o600 || suffix == "" && err != nil {
			t.Errorf("%s%s: %v, %v", path, suffix, info, err)
		}
	}
}

func TestNewerSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	testNewer(t, func() (store.Driver, error) { return OpenSQLite(path) })
}

func write(t *testing.T, d store.Driver, docs ...store.Document) {
	t.Helper()
	err := d.Update(t.Context(), func(tx store.Tx) error {
		for _, doc := range docs {
			if _, err := tx.Put(doc); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testReopen: what was acknowledged is there for the next process and for one beside it, leases included.
func testReopen(t *testing.T, open func(*testing.T) store.Driver) {
	first := open(t)
	doc := store.Document{Key: "a", Kind: "k", Body: []byte(`1`), Terms: []string{"t"}, Due: time.Now().Add(-time.Hour)}
	write(t, first, doc)
	lease, err := first.Claim(t.Context(), "k", "w", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, third := open(t), open(t)
	err = second.View(t.Context(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: "k", All: []string{"t"}})
		if err != nil || len(docs) != 1 || string(docs[0].Body) != `1` {
			t.Errorf("after opening again: %+v, %v", docs, err)
		}
		return tx.Fence(lease)
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := third.Claim(t.Context(), "k", "other", time.Hour); !errors.Is(err, store.ErrNothing) {
		t.Errorf("Claim beside the holder: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	waited := make(chan error, 1)
	go func() { waited <- third.Wait(ctx, 1) }()
	write(t, second, store.Document{Key: "b", Kind: "k", Body: []byte(`1`)})
	if err := <-waited; err != nil {
		t.Errorf("Wait for another server's write: %v", err)
	}
}

func testNewer(t *testing.T, open func() (store.Driver, error)) {
	d, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.(*database).write.ExecContext(t.Context(), `INSERT INTO migrations (number) VALUES (999)`); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("a newer schema: %v", err)
	}
}

// testReadersDoNotWait: a View begins and ends while an Update is open.
func testReadersDoNotWait(t *testing.T, d store.Driver) {
	write(t, d, store.Document{Key: "a", Kind: "k", Body: []byte(`1`)})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := d.Update(ctx, func(tx store.Tx) error {
		if err := tx.Delete("a", 0); err != nil {
			return err
		}
		return d.View(ctx, func(tx store.Tx) error {
			_, err := tx.Get("a")
			return err
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTrialAgain: an Update whose race is lost is run again.
func TestTrialAgain(t *testing.T) {
	d := openSQLite(t, filepath.Join(t.TempDir(), "store.db")).(*database)
	lost := errors.New("lost")
	d.dialect.lostRace = func(err error) bool { return errors.Is(err, lost) }
	tries := 0
	err := d.Update(t.Context(), func(tx store.Tx) error {
		if tries++; tries < 3 {
			return lost
		}
		_, err := tx.Put(store.Document{Key: "a", Kind: "k", Body: []byte(`1`)})
		return err
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// plans explains the statements of the readers that must not scan.
func plans(t *testing.T, db *sql.DB, statement string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, statement)
	}
	defer func() { _ = rows.Close() }()
	var text strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		text.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestPlans(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "store.db")).(*database)
	for name, q := range map[string]store.Query{
		"assignments at a scope": {Kind: "assignment", Any: []string{"ps:1|/", "ps:1|/s", "ps:1|/s/g"}},
		"scopes of a caller":     {Any: []string{"p:1"}},
		"page of a type":         {Kind: "disk", Prefix: "/s/", After: "/s/x", All: []string{"l:eastus", "g:1"}, Limit: 50},
		"page without terms":     {Kind: "disk", Prefix: "/s/", Limit: 50},
		"all and any":            {Kind: "k", All: []string{"a"}, Any: []string{"b", "c"}},
		"prefix":                 {Prefix: "/s/"},
	} {
		statement, args := selection(q)
		plan := plans(t, db.read, statement, args)
		if strings.Contains(plan, "SCAN d\n") || strings.Contains(plan, "SCAN t\n") || strings.Contains(plan, "TEMP B-TREE FOR ORDER") || !strings.Contains(plan, "SEARCH") {
			t.Errorf("%s:\n%s\n%s", name, statement, plan)
		}
	}
	claim := db.dialect.render(`SELECT key FROM documents WHERE kind = $1 AND due > 0 AND due <= {{now}} AND lease_until <= {{now}} ORDER BY due, key LIMIT 1`)
	if plan := plans(t, db.read, claim, []any{"k"}); !strings.Contains(plan, "documents_due") || strings.Contains(plan, "TEMP") {
		t.Errorf("claim:\n%s", plan)
	}
	if plan := plans(t, db.read, `SELECT revision FROM changes WHERE revision > $1 ORDER BY revision`, []any{1}); !strings.Contains(plan, "SEARCH") {
		t.Errorf("feed:\n%s", plan)
	}
}
