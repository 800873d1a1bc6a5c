package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// bench is one run of the command.
type bench struct {
	rounds  int
	size    int64  // bytes of data at most, of a disk that rows work on; 0: all
	data    string // the folder of scripts/bench-data
	azurite string // the folder that has node_modules with Azurite; empty: it is not there
	vitrine string // the program
	self    string // this program
	work    string // scratch
	guest   string // the tiny guest's qcow2
	smaller string // -size as it was given
	program string // what ours was built of
	lines   []line // of the row that runs, as all below
	growths []*growth
	begun   time.Time
	calm    string // the load before it
}

// line is one comparison.
type line struct {
	Row    string
	What   string // the work and what is measured of it
	Unit   string
	Ours   float64
	Peers  []peer
	More   bool    // more is better
	Target float64 // of ours/best peer, or of ours when there is no peer; 0: none
	Alone  bool    // the target is absolute
	Note   string
	Rounds int
	Data   string // on what
	Load   string
	Took   float64 // seconds that its row took
}

// peer is what another program needed. One that is missing has a reason instead of a value.
type peer struct {
	Name    string
	Value   float64
	Missing string `json:",omitempty"`
}

// row is one kind of work, which can be run alone.
type row struct {
	name, about string
	run         func(ctx context.Context, b *bench) error
}

// turns runs the contenders one after the other, each round begun by another, so that what the machine does beside hits all alike.
func (b *bench) turns(rounds int, cs []contender) (map[string][]sample, error) {
	got := map[string][]sample{}
	for round := range rounds {
		for i := range cs {
			c := cs[(i+round)%len(cs)]
			if c.missing != nil {
				continue
			}
			if err := syncFS(b.work); err != nil { // nobody waits for what another wrote
				return nil, err
			}
			s, err := c.run(round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			got[c.name] = append(got[c.name], s)
			fmt.Fprintf(os.Stderr, "  round %d  %-28s cpu %7.2f s  wall %7.2f s  value %.4g\n", round+1, c.name, s.cpu, s.wall, s.value)
		}
	}
	return got, nil
}

// compare adds a line: the first contender is ours.
func (b *bench) compare(l line, cs []contender, got map[string][]sample, of func(sample) float64) {
	l.Ours, l.Rounds = median(got[cs[0].name], of), len(got[cs[0].name])
	for _, c := range cs[1:] {
		p := peer{Name: c.name, Value: median(got[c.name], of)}
		if c.missing != nil {
			p = peer{Name: c.name, Missing: c.missing.Error()}
		}
		l.Peers = append(l.Peers, p)
	}
	b.add(l)
}

func (b *bench) add(l line) {
	l.Load = load()
	b.lines = append(b.lines, l)
	fmt.Fprintf(os.Stderr, "  %s: %s\n", l.What, l.verdict())
}

// best is the best of the peers, or nil.
func (l line) best() *peer {
	var best *peer
	for i := range l.Peers {
		p := &l.Peers[i]
		if p.Missing == "" && !math.IsNaN(p.Value) && (best == nil || l.More == (p.Value > best.Value)) {
			best = p
		}
	}
	return best
}

// ratio is ours to the best peer's; NaN without one.
func (l line) ratio() float64 {
	if p := l.best(); p != nil {
		return l.Ours / p.Value
	}
	return math.NaN()
}

// met says whether the target is reached beside the peers that are there, and names those that are not.
func (l line) met() (bool, error) {
	value := l.ratio()
	if l.Alone {
		value = l.Ours
	}
	var errs []error
	for _, p := range l.Peers {
		if p.Missing != "" {
			errs = append(errs, errors.New(p.Name))
		}
	}
	return l.Target == 0 || l.More && value >= l.Target || !l.More && value <= l.Target, errors.Join(errs...)
}

// load is the machine's one-minute load average: how much to believe of wall times.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	var one string
	if _, err := fmt.Sscan(string(raw), &one); err != nil {
		return "unknown"
	}
	return one
}

// scratch makes a folder that is there until the end of the run. What holds many files is not removed before: ext4 passes over inodes that
// were deleted in the last minutes one by one, so that whoever makes files next would pay for it, up to five times as much.
func (b *bench) scratch(name string) (string, error) { return os.MkdirTemp(b.work, name+"-") }

// disk is the path of one of the three disks.
func (b *bench) disk(name string) string { return filepath.Join(b.data, name+".raw") }

// runRow runs one, and stamps its lines.
func (b *bench) runRow(ctx context.Context, r row) error {
	fmt.Fprintf(os.Stderr, "== %s: %s\n", r.name, r.about)
	begin, first := time.Now(), len(b.lines)
	err := r.run(ctx, b)
	if err == nil { // what was cut short has no result, even if it failed to notice
		err = ctx.Err()
	}
	for i := first; i < len(b.lines); i++ {
		b.lines[i].Row, b.lines[i].Took = r.name, since(begin)
	}
	for _, g := range b.growths {
		g.Row = r.name
	}
	fmt.Fprintf(os.Stderr, "== %s: %.0f s\n", r.name, since(begin))
	return err
}
