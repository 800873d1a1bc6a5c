package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// result is what a row left, kept as a file so that rows can be measured one by one. It says of what run it is, since the rows of one page
// may be of several.
type result struct {
	At      string // when it was done, UTC
	Program string // what ours was built of
	Machine string
	Peers   string  // their versions
	Size    string  // -size as given; empty: all
	Rounds  int     // -rounds
	Calm    string  // the load before it began
	Load    string  // and when it was done
	Took    float64 // seconds
	Lines   []line
	Growths []*growth
}

// result is of the row that has just been done.
func (b *bench) result() result {
	return result{At: time.Now().UTC().Format("2006-01-02 15:04"), Program: b.program, Machine: machine(), Peers: programs(), Size: b.smaller,
		Rounds: b.rounds, Calm: b.calm, Load: load(), Took: since(b.begun), Lines: b.lines, Growths: b.growths}
}

// keep writes it whole or not at all.
func keep(dir, name string, r result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name+".json")
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// readResults gives what is kept, by row.
func readResults(dir string) (map[string]result, error) {
	kept := map[string]result{}
	for _, r := range rows() {
		raw, err := os.ReadFile(filepath.Join(dir, r.name+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var of result
		if err == nil {
			err = json.Unmarshal(raw, &of)
		}
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", r.name, err)
		}
		if of.Rounds == 0 && len(of.Lines) > 0 { // one that was kept before these were
			of.Rounds, of.Took = of.Lines[0].Rounds, of.Lines[0].Took
		}
		kept[r.name] = of
	}
	return kept, nil
}

// label stands behind the row's name when it ran on less than all data.
func (r result) label() string {
	if r.Size == "" {
		return ""
	}
	return ", **only " + r.Size + "**"
}

// noted is what a result says of itself. Older ones do not say all.
func noted(s string) string {
	if s == "" {
		return "not noted"
	}
	return s
}

func (r result) program() string { return noted(r.Program) }
func (r result) machine() string { return noted(r.Machine) }
func (r result) peers() string   { return noted(r.Peers) }

// spread lists what differs between rows, with the rows, in their order.
func spread(kept map[string]result, of func(result) string) (values []string, names map[string][]string) {
	names = map[string][]string{}
	for _, r := range rows() {
		if k, ok := kept[r.name]; ok {
			v := of(k)
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
			names[v] = append(names[v], r.name)
		}
	}
	return values, names
}

// machines says where, with what and when the rows ran; what is not the same for all is told of each.
func machines(kept map[string]result) string {
	var text strings.Builder
	for _, what := range []struct {
		name string
		of   func(result) string
	}{
		{"machine", result.machine},
		{"programs", result.peers},
		{"vitrine", result.program},
		{"date", result.day},
	} {
		values, names := spread(kept, what.of)
		for _, v := range values {
			if len(values) > 1 {
				v = fmt.Sprintf("%s (%s)", v, strings.Join(names[v], ", "))
			}
			fmt.Fprintf(&text, "* %s: %s\n", what.name, v)
		}
	}
	return text.String()
}

func (r result) day() string {
	day, _, _ := strings.Cut(r.At, " ")
	return day
}

// doubts says why the page is not one run of one program on all data; empty when it is.
func doubts(kept map[string]result) string {
	var why []string
	silent := false
	for _, what := range []struct {
		of  func(result) string
		why string
	}{
		{result.program, "of different versions of vitrine"},
		{result.day, "of different days"},
		{result.machine, "of different machines"},
		{result.peers, "beside different versions of the peers"},
	} {
		v, _ := spread(kept, what.of)
		said := slices.DeleteFunc(slices.Clone(v), func(s string) bool { return s == noted("") })
		silent = silent || len(said) < len(v)
		if len(said) > 1 {
			why = append(why, what.why)
		}
	}
	if silent {
		why = append(why, "of a time when none said of which version it was")
	}
	if v, _ := spread(kept, func(r result) string { return r.Size }); !slices.Equal(v, []string{""}) {
		why = append(why, "on less than all data")
	}
	for _, r := range kept {
		if strings.Contains(r.Program, "+") {
			why = append(why, "of a tree with changes that are no commit")
			break
		}
	}
	if len(why) == 0 {
		return ""
	}
	return "\n**Not one whole run:** rows are " + strings.Join(why, ", ") + ". [The runs](#the-runs).\n"
}

// runs is a table of them.
func runs(kept map[string]result) string {
	var text strings.Builder
	text.WriteString("\n## The runs\n\nA row is kept until it is measured again. A commit with `+` had changes beside it, which the letters behind name.\n\n")
	text.WriteString("| row | done (UTC) | vitrine | data | rounds asked for | minutes | load before and after |\n| --- | --- | --- | --- | ---: | ---: | --- |\n")
	for _, r := range rows() {
		k, ok := kept[r.name]
		if !ok {
			continue
		}
		data := "all"
		if k.Size != "" {
			data = "**only " + k.Size + "**"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %d | %.1f | %s, %s |\n", r.name, k.At, k.program(), data, k.Rounds, k.Took/60, noted(k.Calm), noted(k.Load))
	}
	return text.String()
}
