package main

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

// findings are what profiles of missed targets have shown; written by hand.
//
//go:embed findings.md
var findings string

// report writes RESULTS.md of what is kept, and prints it.
func report(dir, results string) error {
	kept, err := readResults(dir)
	if err != nil {
		return err
	}
	text := page(kept)
	fmt.Print(text)
	err = os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(text), 0o644)
	if len(kept) == len(rows()) && results != "" {
		err = errors.Join(err, os.WriteFile(results, []byte(text), 0o644))
	}
	return err
}

// page is RESULTS.md.
func page(kept map[string]result) string {
	var text strings.Builder
	text.WriteString("# Ours beside the peers\n\nMade by `make bench`; not edited by hand. [What the rows are](README.md).\n\n")
	text.WriteString(machines(kept) + doubts(kept))
	text.WriteString("\n| row | work | ours | peers | ratio | target | verdict | rounds, data | load |\n| --- | --- | ---: | --- | ---: | ---: | --- | --- | ---: |\n")
	for _, r := range rows() {
		of, ok := kept[r.name]
		if !ok {
			fmt.Fprintf(&text, "| %s | %s | | | | | not measured | | |\n", r.name, r.about)
		}
		for _, l := range of.Lines {
			l.Row += of.label()
			text.WriteString(l.markdown())
		}
	}
	text.WriteString("\nThe ratio is ours to the best peer's; a target of ≤ 0.5 asks for half its cost, one of ≥ 4 for four times its speed. Figures are medians. CPU time is that of\nall processes of a program; the load is the machine's one-minute average when the line was done: with much of it, believe CPU time rather than wall.\n")
	text.WriteString("\n## How cost grows\n\nThe slope is the power of the size by which the cost grows: 1 is in proportion, 0 is a cost that does not grow. Three rounds, unless the largest size is\nthe row's own.\n")
	for _, r := range rows() {
		for _, g := range kept[r.name].Growths {
			text.WriteString(g.markdown(kept[r.name].label()))
		}
	}
	return text.String() + runs(kept) + "\n" + findings
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

func (g *growth) markdown(label string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s, by %s%s:\n\n| |", g.What, g.Of, label)
	for _, s := range g.Sizes {
		fmt.Fprintf(&text, " %s |", figure(s, ""))
	}
	text.WriteString(" slope |\n| --- |" + strings.Repeat(" ---: |", len(g.Sizes)+1) + "\n")
	var names []string
	for n := range g.Costs {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return !isOurs(names[j]) && (isOurs(names[i]) || names[i] < names[j]) })
	for _, n := range names {
		fmt.Fprintf(&text, "| %s |", n)
		for _, c := range g.Costs[n] {
			fmt.Fprintf(&text, " %s |", figure(c, g.Unit))
		}
		fmt.Fprintf(&text, " %.2f |\n", slope(g.Sizes, g.Costs[n]))
	}
	return text.String()
}

func isOurs(contender string) bool { return strings.HasPrefix(contender, "vitrine") }

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

// machine describes where it runs.
func machine() string {
	return fmt.Sprintf("%d × %s, memory %s, %s, %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"), output("uname", "-sr"), field("/etc/os-release", "PRETTY_NAME"))
}

// programs are the peers, and the Go of ours.
func programs() string {
	return strings.Join([]string{runtime.Version(), output("restic", "version"), "casync " + output("casync", "--version"), output("qemu-img", "--version"), "node " + output("node", "--version")}, "; ")
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
