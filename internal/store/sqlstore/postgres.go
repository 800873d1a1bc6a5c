package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"vitrine/internal/store"
)

// Connections of one server to PostgreSQL. Writers queue for one row, so a few are enough.
const (
	postgresReaders = 8
	postgresWriters = 4
)

// OpenPostgres opens a database by its connection string, which may come from the environment variables of libpq.
func OpenPostgres(dsn string) (store.Driver, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the connection string of PostgreSQL: %w", err) // pgx leaves the password out
	}
	// A plan made for any argument may scan where one for this argument would not.
	config.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	config.RuntimeParams["application_name"] = "vitrine"
	connect := func(connections int) *sql.DB {
		db := stdlib.OpenDB(*config)
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return open(ctx, postgresDialect(), connect(postgresReaders), connect(postgresWriters))
}

func postgresDialect() dialect {
	return dialect{
		name: "PostgreSQL",
		words: map[string]string{
			"text": `TEXT COLLATE "C"`, "norowid": "", "materialized": "MATERIALIZED", "skiplocked": "FOR UPDATE SKIP LOCKED",
		},
		// The database's clock, because those of several servers differ. It must stand still in a statement to lead an index.
		now:       func() string { return `(extract(epoch FROM statement_timestamp()) * 1000000)::bigint` },
		forUpdate: " FOR UPDATE",
		returning: columns,
		// Any number that nobody else uses.
		lockSchema: `SELECT pg_advisory_xact_lock(7598254601)`,
		view:       &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
		// Each statement sees what was committed before the lock was won; nobody else commits until this one has.
		update: &sql.TxOptions{Isolation: sql.LevelReadCommitted},
		lostRace: func(err error) bool {
			var e *pgconn.PgError
			return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
		},
		// What ends the session (FATAL, PANIC) may come after the commit, as while it waits for a standby.
		refused: func(err error) bool {
			var e *pgconn.PgError
			return errors.As(err, &e) && e.SeverityUnlocalized == "ERROR" || errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err)
		},
	}
}
