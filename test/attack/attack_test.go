package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// row is one attack. Its answer must have the status and the code; an answer that is no error has a code of the row's own wording.
type row struct {
	name, sent string
	status     int
	code       string
	attack     func(w *world) outcome
}

// outcome is what came of an attack: status 0 means that the connection ended without an answer.
type outcome struct {
	status int
	code   string
	body   string
}

const minRows = 60

func TestAttacks(t *testing.T) {
	w := prepare(t)
	var lines []string
	begin := time.Now()
	for _, group := range [][]row{tokenRows(), auxiliaryRows(), goneRows(), assertionRows(), federatedRows(), codeRows(), pageRows(), graphRows(), consentRows(), sessionRows(), renewRows(), accessRows(), listRows(),
		sasRows(), pathRows(), sizeRows(), templateRows(), proxyRows(), smuggleRows(), innerRows(), bruteRows()} {
		for _, r := range group {
			got := w.try(t, r)
			verdict := "ok"
			if got.status != r.status || got.code != r.code {
				verdict = fmt.Sprintf("WANT %d %s", r.status, r.code)
			}
			lines = append(lines, fmt.Sprintf("%3d  %s  %s  %3d  %s  %s", len(lines)+1, pad(r.name, 52), pad(r.sent, 76), got.status, pad(got.code, 36), verdict))
		}
	}
	if len(lines) < minRows {
		t.Errorf("%d rows, want at least %d", len(lines), minRows)
	}
	if w.calls.Load() != 0 {
		t.Errorf("the server called the attacker's listener %d times", w.calls.Load())
	}
	w.controls()
	table := fmt.Sprintf("%3s  %s  %s  %3s  %s  verdict\n%s\n%d rows in %.1f s\n", "#", pad("attack", 52), pad("sent", 76), "is", pad("code", 36),
		strings.Join(lines, "\n"), len(lines), time.Since(begin).Seconds())
	t.Log("\n" + table)
	dir := filepath.Join("..", "..", "build")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "attack.txt"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
}

// try runs one row in a test of its own, so that it can fail alone.
func (w *world) try(t *testing.T, r row) (got outcome) {
	t.Run(r.name, func(t *testing.T) {
		w.t = t
		got = r.attack(w)
		if got.status != r.status || got.code != r.code {
			t.Errorf("%s: answered %d %s, want %d %s\n%.600s", r.sent, got.status, got.code, r.status, r.code, got.body)
		}
	})
	w.t = t
	return got
}

func pad(s string, n int) string {
	if miss := n - utf8.RuneCountInString(s); miss > 0 {
		return s + strings.Repeat(" ", miss)
	}
	return s
}
