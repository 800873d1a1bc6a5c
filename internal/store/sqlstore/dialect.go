package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// dialect is all that differs between the databases.
type dialect struct {
	name         string
	words        map[string]string // what {{word}} stands for in a statement
	now          func() string     // the moment, in microseconds, as SQL
	forUpdate    string            // appended to a SELECT whose rows are locked
	returning    string            // columns, as RETURNING spells them
	lockSchema   string            // makes servers that start together migrate in turn
	view, update *sql.TxOptions
	oneWriter    bool // every write waits for the one writing connection
	lostRace     func(error) bool
	refused      func(error) bool // of a commit's: nothing was committed
}

func (d dialect) render(statement string) string {
	pairs := []string{"{{now}}", d.now()}
	for word, text := range d.words {
		pairs = append(pairs, "{{"+word+"}}", text)
	}
	return strings.NewReplacer(pairs...).Replace(statement)
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date: all missing steps or none. A database of a newer program is refused.
func migrate(ctx context.Context, d dialect, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, d.update)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, statement := range []string{d.lockSchema, `CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY)`} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare migrations: %w", err)
		}
	}
	var done int
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM migrations`).Scan(&done); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if done > len(names) {
		return fmt.Errorf("the database has schema %d, made by a newer program; this one knows %d", done, len(names))
	}
	for i, name := range names[done:] {
		if err := step(ctx, d, tx, name, done+i+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return tx.Commit()
}

func step(ctx context.Context, d dialect, tx *sql.Tx, name string, number int) error {
	if prefix, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_"); prefix != fmt.Sprintf("%04d", number) {
		return errors.New("is not number " + strconv.Itoa(number))
	}
	text, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	for statement := range strings.SplitSeq(d.render(string(text)), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO migrations (number) VALUES ($1)`, number)
	return err
}
