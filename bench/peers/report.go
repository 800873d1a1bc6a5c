package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"
)

// findings are what profiles of missed targets have shown; written by hand.
//
//go:embed findings.md
var findings string

// result is what a row left, kept as a file so that rows can be measured one by one.
type result struct {
	At      string
	Lines   []line
	Growths []growth
}

func keep(dir, name string, lines []line, growths []growth) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(result{time.Now().UTC().Format("2006-01-02 15:04"), lines, growths}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(raw, '\n'), 0o644)
}

// report writes RESULTS.md of what is kept, and prints it.
func report(dir, results string) error {
	var text strings.Builder
	whole := true
	text.WriteString("# Ours beside the peers\n\nMade by `make bench`; not edited by hand.\n\n")
	text.WriteString(machine())
	text.WriteString("\n| row | work | ours | peers | ratio | target | verdict | rounds, data | load |\n| --- | --- | ---: | --- | ---: | ---: | --- | --- | ---: |\n")
	var growths []growth
	for _, r := range rows() {
		raw, err := os.ReadFile(filepath.Join(dir, r.name+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(&text, "| %s | %s | | | | | not measured | | |\n", r.name, r.about)
			whole = false
			continue
		}
		var kept result
		if err == nil {
			err = json.Unmarshal(raw, &kept)
		}
		if err != nil {
			return err
		}
		for _, l := range kept.Lines {
			text.WriteString(l.markdown())
		}
		growths = append(growths, kept.Growths...)
	}
	text.WriteString("\nThe ratio is ours to the best peer's; a target of ≤ 0.5 asks for half its cost, one of ≥ 4 for four times its speed. Figures are medians. CPU time is that of\nall processes of a program; the load is the machine's one-minute average when the line was done: with much of it, believe CPU time rather than wall.\n")
	if len(growths) > 0 {
		text.WriteString("\n## How cost grows\n\nThe slope is the power of the size by which the cost grows: 1 is in proportion.\n")
		for _, g := range growths {
			text.WriteString(g.markdown())
		}
	}
	boots, err := bootRows(filepath.Join(filepath.Dir(results), "boot", "RESULTS.md"))
	if err != nil {
		return err
	}
	text.WriteString(boots + "\n" + findings)
	fmt.Print(text.String())
	err = os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(text.String()), 0o644)
	if whole && results != "" {
		err = errors.Join(err, os.WriteFile(results, []byte(text.String()), 0o644))
	}
	return err
}

// bootRows is the table of booted guests in the results of bench/boot, which boots them for hours and is run apart.
func bootRows(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	_, section, found := strings.Cut(string(raw), "\n## Boot ")
	if err == nil && !found {
		err = fmt.Errorf("%s has no table of boots", path)
	}
	if err != nil {
		return "", err
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return "\n## Boot " + section + "\nOf [bench/boot](boot/RESULTS.md), run apart. Targets: a cold base ≤ 1.5 of a raw file, a whole one ≤ 1.15.\n", nil
}

func (l line) verdict() string {
	ok, err := l.met()
	said := "no target"
	switch {
	case math.IsNaN(l.judged()):
		said = "not measured"
	case l.Target == 0:
	case ok:
		said = "met"
	default:
		said = fmt.Sprintf("**missed** by %.0f %%", 100*math.Abs(l.judged()/l.Target-1))
	}
	if err != nil {
		said = "**failed**, without " + strings.ReplaceAll(err.Error(), "\n", " and ") + "; beside the rest: " + said
	}
	return said
}

// judged is what is held against the target.
func (l line) judged() float64 {
	if l.Alone {
		return l.Ours
	}
	return l.ratio()
}

func (l line) markdown() string {
	var peers []string
	for _, p := range l.Peers {
		if p.Missing == "" {
			peers = append(peers, p.Name+" "+figure(p.Value, l.Unit))
		}
	}
	target, ratio := "", ""
	if l.Target != 0 {
		target = "≤ " + figure(l.Target, "")
		if l.More {
			target = "≥ " + figure(l.Target, "")
		}
	}
	if l.Alone {
		target += " " + l.Unit
	}
	if r := l.ratio(); !math.IsNaN(r) {
		ratio = fmt.Sprintf("%.2f", r)
	}
	verdict := l.verdict()
	if l.Note != "" {
		verdict += "; " + l.Note
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %d, %s | %s |\n", l.Row, l.What, figure(l.Ours, l.Unit), strings.Join(peers, ", "), ratio, target, verdict, l.Rounds, l.Data, l.Load)
}

func (g growth) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s, by %s:\n\n| |", g.What, g.Of)
	for _, s := range g.Sizes {
		fmt.Fprintf(&text, " %s |", figure(s, ""))
	}
	text.WriteString(" slope |\n| --- |" + strings.Repeat(" ---: |", len(g.Sizes)+1) + "\n")
	var names []string
	for n := range g.Costs {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return names[j] != "vitrine" && (names[i] == "vitrine" || names[i] < names[j]) })
	for _, n := range names {
		fmt.Fprintf(&text, "| %s |", n)
		for _, c := range g.Costs[n] {
			fmt.Fprintf(&text, " %s |", figure(c, g.Unit))
		}
		fmt.Fprintf(&text, " %.2f |\n", slope(g.Sizes, g.Costs[n]))
	}
	return text.String()
}

// figure writes a number with three digits that count.
func figure(v float64, unit string) string {
	text := fmt.Sprintf("%.3g", v)
	if math.Abs(v) >= 100 {
		text = fmt.Sprintf("%.0f", v)
	}
	if unit != "" {
		text += " " + unit
	}
	return text
}

// machine describes where it ran.
func machine() string {
	cpu := field("/proc/cpuinfo", "model name")
	mem := field("/proc/meminfo", "MemTotal")
	lines := []string{
		fmt.Sprintf("* machine: %d × %s, memory %s, %s, %s", runtime.NumCPU(), cpu, mem, output("uname", "-sr"), field("/etc/os-release", "PRETTY_NAME")),
		"* programs: " + strings.Join([]string{runtime.Version(), output("restic", "version"), "casync " + output("casync", "--version"), output("qemu-img", "--version"), "node " + output("node", "--version")}, "; "),
		"* date: " + time.Now().UTC().Format("2006-01-02"),
	}
	return strings.Join(lines, "\n") + "\n"
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return name + " is missing"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}

func field(path, name string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for _, l := range strings.Split(string(raw), "\n") {
		if key, value, ok := strings.Cut(strings.ReplaceAll(l, "=", ":"), ":"); ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return "unknown"
}
