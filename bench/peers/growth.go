package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
)

// growth is how a cost grows with the size of the data.
type growth struct {
	Row   string
	What  string
	Unit  string
	Sizes []float64 // in what Of says, growing
	Of    string
	Costs map[string][]float64 // by contender, one for each size
}

// growth begins a table of the row.
func (b *bench) growth(what, unit, of string) *growth {
	g := &growth{What: what, Unit: unit, Of: of, Costs: map[string][]float64{}}
	b.growths = append(b.growths, g)
	return g
}

const mibOfData = "MiB of data"

// parts are the sizes of all tables: a sixteenth, a quarter and all. The last one is the row's own measurement, where it can be.
func parts() []int64 { return []int64{16, 4, 1} }

// roundsOf is how often a size is measured.
func (b *bench) roundsOf(part int64) int {
	if part == 1 {
		return b.rounds
	}
	return min(3, b.rounds)
}

// add puts the medians of a size into the table.
func (g *growth) add(size float64, cs []contender, got map[string][]sample, of func(sample) float64) {
	at, _ := slices.BinarySearch(g.Sizes, size)
	g.Sizes = slices.Insert(g.Sizes, at, size)
	for _, c := range cs {
		if c.missing == nil {
			g.Costs[c.name] = slices.Insert(g.Costs[c.name], at, median(got[c.name], of))
		}
	}
}

// measured is the row's own comparison on all its data.
type measured struct {
	cs   []contender
	got  map[string][]sample
	note string
}

// grow measures the work on 1, 4 and 16 times the data: CPU time, and the bytes that were stored where there are some. The last is given.
func (b *bench) grow(ctx context.Context, name string, contenders func(ctx context.Context, disk string) ([]contender, error)) (m measured, err error) {
	g := b.growth(name+", CPU time", "s", mibOfData)
	kept := b.growth(name+", bytes in files", "MiB", mibOfData)
	for _, part := range parts() {
		disk, note, err := b.partOf(ctx, "a", part)
		if err != nil {
			return m, err
		}
		data, err := dataOf(disk)
		if err != nil {
			return m, err
		}
		cs, err := contenders(ctx, disk)
		if err != nil {
			return m, err
		}
		got, err := b.turns(b.roundsOf(part), cs)
		if err != nil {
			return m, err
		}
		g.add(data, cs, got, cpuOf)
		if median(got[cs[0].name], valueOf) > 0 {
			kept.add(data, cs, got, func(s sample) float64 { return s.value / (1 << 20) })
		}
		m = measured{cs, got, note}
		b.forget(disk)
	}
	b.growths = slices.DeleteFunc(b.growths, func(g *growth) bool { return len(g.Sizes) == 0 })
	return m, nil
}

// partOf cuts a disk to a part of its data, or of what -size asks for.
func (b *bench) partOf(ctx context.Context, name string, part int64) (path, note string, err error) {
	top := b.size
	if part > 1 && top == 0 {
		u, err := usageOf(b.disk(name))
		if err != nil {
			return "", "", err
		}
		top = u.blocks
	}
	return b.cutDisk(ctx, name, top/part/4096*4096)
}

// forget removes what was cut off.
func (b *bench) forget(disk string) {
	if filepath.Dir(disk) == b.work {
		os.Remove(disk)
	}
}

// dataOf is how much of a disk is data, in MiB.
func dataOf(disk string) (float64, error) {
	f, err := os.Open(disk)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	_, sum, err := beginning(f, st.Size(), 0)
	return float64(sum) / (1 << 20), err
}

// stock puts things of the numbers [from, to) into a server, four at a time.
func stock(ctx context.Context, from, to int, put func(ctx context.Context, n int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for n := from; n < to; n++ {
		group.Go(func() error { return put(ctx, n) })
	}
	return group.Wait()
}
