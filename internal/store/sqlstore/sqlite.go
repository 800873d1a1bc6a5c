package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"vitrine/internal/store"
)

// sqliteReaders is how many Views run at once on SQLite.
const sqliteReaders = 4

// OpenSQLite opens or makes the database file. It holds secrets, if sealed ones, so only its owner may read it; SQLite
// gives its companions (-wal, -shm) the same mode. A network file system is refused: WAL needs shared memory there.
func OpenSQLite(path string) (store.Driver, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if kind := networkFS(filepath.Dir(path)); kind != "" {
		return nil, fmt.Errorf("%s is on a network file system (%s), where SQLite loses data: use a local disk or PostgreSQL", path, kind)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	write, err := openFile(path, 1, url.Values{"_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	read, err := openFile(path, sqliteReaders, url.Values{"_query_only": {"1"}})
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return open(context.Background(), sqliteDialect(), read, write)
}

func openFile(path string, connections int, settings url.Values) (*sql.DB, error) {
	// FULL: a commit is on the disk before it is acknowledged, also in WAL mode.
	settings["_pragma"] = []string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func sqliteDialect() dialect {
	return dialect{
		name: "SQLite",
		words: map[string]string{
			"text": "TEXT", "norowid": " WITHOUT ROWID", "materialized": "MATERIALIZED", "skiplocked": "",
		},
		now:        func() string { return strconv.FormatInt(time.Now().UnixMicro(), 10) },
		returning:  "key, kind, etag, terms, body, due",
		lockSchema: "SELECT 1", // the writing connection begins IMMEDIATE
		view:       &sql.TxOptions{ReadOnly: true},
		update:     &sql.TxOptions{},
		oneWriter:  true,
		lostRace: func(err error) bool {
			var e *sqlite.Error
			return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
		},
		refused: func(err error) bool { // after a failure of the disk the frame may be found whole at the next start
			var e *sqlite.Error
			return !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_IOERR
		},
	}
}
