package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"vitrine/internal/store"
	"vitrine/internal/store/storetest/pgtest"
)

// slow makes each commit that writes a document last until its session is told to go on.
const slow = `CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON documents DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()`

// committing begins an Update, and gives back once the database is carrying out its commit, with what ends or goes on.
func committing(ctx context.Context, t *testing.T, d *database) (pid int, goOn func(), result chan error) {
	t.Helper()
	admin, err := d.read.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	do := func(statement string) {
		t.Helper()
		if _, err := admin.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	do(slow)
	do(`SELECT pg_advisory_lock(4711)`)
	result = make(chan error, 1)
	go func() {
		result <- d.Update(ctx, func(tx store.Tx) error {
			_, err := tx.Put(store.Document{Key: "a", Kind: "k", Body: []byte(`1`)})
			return err
		})
	}()
	for limit := time.Now().Add(2 * time.Minute); ; {
		err := admin.QueryRowContext(t.Context(), `SELECT pid FROM pg_stat_activity WHERE query = 'commit' AND wait_event = 'advisory'`).Scan(&pid)
		if err == nil {
			return pid, func() { do(`SELECT pg_advisory_unlock(4711)`) }, result
		}
		if !errors.Is(err, sql.ErrNoRows) || time.Now().After(limit) {
			t.Fatalf("no commit is under way: %v", err)
		}
	}
}

func thereIs(t *testing.T, d *database) bool {
	t.Helper()
	err := d.View(t.Context(), func(tx store.Tx) error {
		_, err := tx.Get("a")
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// TestPostgresCommits: who gives up while a transaction is being committed still hears how it ended; and where that cannot be
// known, it is said, so that nobody undoes what is there.
func TestPostgresCommits(t *testing.T) {
	dsn := pgtest.Start(t)
	t.Run("given up", func(t *testing.T) {
		d := openPostgres(t, pgtest.Database(t, dsn)).(*database)
		ctx, cancel := context.WithCancel(t.Context())
		_, goOn, result := committing(ctx, t, d)
		cancel()
		select { // the driver would end the connection at once
		case err := <-result:
			t.Fatalf("the end was not waited for: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		goOn()
		if err := <-result; err != nil || !thereIs(t, d) {
			t.Errorf("%v, and it is there: %t", err, thereIs(t, d))
		}
	})
	t.Run("cut off", func(t *testing.T) {
		d := openPostgres(t, pgtest.Database(t, dsn)).(*database)
		pid, _, result := committing(t.Context(), t, d)
		if _, err := d.read.ExecContext(t.Context(), `SELECT pg_terminate_backend($1)`, pid); err != nil {
			t.Fatal(err)
		}
		if err := <-result; !errors.Is(err, store.ErrInDoubt) {
			t.Errorf("the connection ended: %v", err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		d := openPostgres(t, pgtest.Database(t, dsn)).(*database)
		pid, _, result := committing(t.Context(), t, d)
		if _, err := d.read.ExecContext(t.Context(), `SELECT pg_cancel_backend($1)`, pid); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err == nil || errors.Is(err, store.ErrInDoubt) || thereIs(t, d) {
			t.Errorf("the database refused: %v, and it is there: %t", err, thereIs(t, d))
		}
	})
}
