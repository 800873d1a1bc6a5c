package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func whole() map[string]result {
	kept := map[string]result{}
	for _, r := range rows() {
		kept[r.name] = result{At: "2026-11-23 00:16", Program: "abc", Machine: "m", Peers: "p", Rounds: 5, Lines: []line{{Row: r.name, What: "work", Ours: 1, Rounds: 5}}}
	}
	return kept
}

// TestPageTellsOfSeveralRuns: a page of one run says so by silence, any other names what differs.
func TestPageTellsOfSeveralRuns(t *testing.T) {
	const doubt = "Not one whole run"
	if text := page(whole()); strings.Contains(text, doubt) || strings.Contains(text, "**only ") {
		t.Errorf("one run is doubted:\n%s", text)
	}
	for name, c := range map[string]struct {
		change func(*result)
		want   []string
	}{
		"program": {func(r *result) { r.Program = "def" }, []string{doubt, "different versions", "* vitrine: def (reads)", "| reads | 2026-11-23 00:16 | def |"}},
		"changed": {func(r *result) { r.Program = "abc+12" }, []string{doubt, "no commit"}},
		"old":     {func(r *result) { r.Program = "" }, []string{doubt, "* vitrine: not noted (reads)"}},
		"day":     {func(r *result) { r.At = "2026-11-24 00:16" }, []string{doubt, "different days", "* date: 2026-11-24 (reads)"}},
		"machine": {func(r *result) { r.Machine = "n" }, []string{doubt, "different machines", "* machine: n (reads)"}},
		"size":    {func(r *result) { r.Size = "64M" }, []string{doubt, "less than all data", "| reads, **only 64M** | work |"}},
	} {
		t.Run(name, func(t *testing.T) {
			kept := whole()
			r := kept["reads"]
			c.change(&r)
			kept["reads"] = r
			text := page(kept)
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("%q is missing in:\n%s", w, text)
				}
			}
		})
	}
}

// TestRowCutShort: a row that fails or is interrupted has no result, though it had lines by then.
func TestRowCutShort(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := &bench{}
	fault := errors.New("fault")
	err := b.runRow(ctx, row{name: "reads", run: func(_ context.Context, b *bench) error {
		b.add(line{What: "half"})
		return fault
	}})
	if !errors.Is(err, fault) {
		t.Errorf("a fault: %v", err)
	}
	err = b.runRow(ctx, row{name: "reads", run: func(context.Context, *bench) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an interruption: %v", err)
	}
}

// TestKeptUntilMeasuredAgain: what is kept is read again, the page is published when every row is there and not before.
func TestKeptUntilMeasuredAgain(t *testing.T) {
	dir := t.TempDir()
	published := filepath.Join(dir, "published.md")
	all := whole()
	for i, r := range rows() {
		if _, err := os.Stat(published); err == nil {
			t.Fatalf("published with %d rows", i)
		}
		of := all[r.name]
		of.Growths = []*growth{{What: "cost", Sizes: []float64{1, 4, 16}, Costs: map[string][]float64{"vitrine": {1, 4, 16}}}}
		if err := keep(dir, r.name, of); err != nil {
			t.Fatal(err)
		}
		if err := report(dir, published); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(published)
	if err != nil || strings.Count(string(text), "| vitrine | 1 | 4 | 16 | 1.00 |") != len(rows()) {
		t.Errorf("%v\n%s", err, text)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestGrowthGrows: sizes come in any order, and a contender that is missing has no line.
func TestGrowthGrows(t *testing.T) {
	b := &bench{}
	g := b.growth("cost", "s", mibOfData)
	cs := []contender{{name: "vitrine"}, {name: "peer", missing: errors.New("away")}}
	for _, n := range []float64{16, 1, 4} {
		g.add(n, cs, map[string][]sample{"vitrine": {{wall: n * n}}}, wallOf)
	}
	if text := g.markdown(""); !strings.Contains(text, "| | 1 | 4 | 16 | slope |") || !strings.Contains(text, "| vitrine | 1 s | 16 s | 256 s | 2.00 |") || strings.Contains(text, "peer") {
		t.Error(text)
	}
}
