package main

import (
	"context"
	"os"
	"path/filepath"
)

// growth is how a cost grows with the size of the data.
type growth struct {
	Row   string
	What  string
	Unit  string
	Sizes []float64 // of the data, in MiB or what Of says
	Of    string
	Costs map[string][]float64 // by contender, one for each size
}

// grow measures the work on 1, 4 and 16 times the data, three rounds each: CPU time, and the bytes that were stored where there are some.
func (b *bench) grow(ctx context.Context, name string, contenders func(ctx context.Context, disk string) ([]contender, error)) error {
	g := growth{Row: name, What: name + ", CPU time", Unit: "s", Of: "MiB of data", Costs: map[string][]float64{}}
	kept := growth{Row: name, What: name + ", bytes in files", Unit: "MiB", Of: g.Of, Costs: map[string][]float64{}}
	top := b.size
	if top == 0 {
		u, err := usageOf(b.disk("a"))
		if err != nil {
			return err
		}
		top = u.blocks
	}
	for _, part := range []int64{16, 4, 1} {
		disk, _, err := b.cutDisk(ctx, "a", top/part/4096*4096)
		if err != nil {
			return err
		}
		u, err := usageOf(disk)
		if err != nil {
			return err
		}
		g.Sizes = append(g.Sizes, float64(u.blocks)/(1<<20))
		cs, err := contenders(ctx, disk)
		if err != nil {
			return err
		}
		got, err := b.turns(min(3, b.rounds), cs)
		if err != nil {
			return err
		}
		for _, c := range cs {
			if c.missing != nil {
				continue
			}
			g.Costs[c.name] = append(g.Costs[c.name], median(got[c.name], cpuOf))
			if bytes := median(got[c.name], valueOf); bytes > 0 {
				kept.Costs[c.name] = append(kept.Costs[c.name], bytes/(1<<20))
			}
		}
		if filepath.Dir(disk) == b.work {
			os.Remove(disk)
		}
	}
	kept.Sizes = g.Sizes
	b.growths = append(b.growths, g)
	if len(kept.Costs) > 0 {
		b.growths = append(b.growths, kept)
	}
	return nil
}
