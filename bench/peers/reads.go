package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"

	"vitrine/internal/image/extent"
)

const (
	randomReads = 2000
	readDepth   = 4
)

// rowReads reads a disk by NBD from a server that was just started, with nothing of it in the page cache.
func rowReads(ctx context.Context, b *bench) error {
	random := b.growth("2,000 random 4 KiB reads, cold, wall", "s", mibOfData)
	stream := b.growth("streaming 1 MiB reads, cold, wall", "s", "MiB that are read")
	for _, part := range parts() {
		disk, note, err := b.partOf(ctx, "a", part)
		if err != nil {
			return err
		}
		data, err := dataOf(disk)
		if err != nil {
			return err
		}
		servers, err := b.nbdServers(ctx, disk)
		if err != nil {
			return err
		}
		small, large, err := readPlans(disk)
		if err != nil {
			return err
		}
		for _, plan := range []struct {
			what, unit string
			offsets    []int64
			size       int
			grow       *growth
			by         float64
		}{{"random 4 KiB reads, cold", "/s", small, 4096, random, data}, {"streaming 1 MiB reads, cold", "MiB/s", large, 1 << 20, stream, float64(len(large))}} {
			if len(plan.offsets) == 0 {
				continue // so small a disk has no whole MiB of data
			}
			cs := coldReaders(ctx, servers, plan.offsets, plan.size)
			got, err := b.turns(b.roundsOf(part), cs)
			if err != nil {
				return err
			}
			plan.grow.add(plan.by, cs, got, wallOf)
			if part == 1 {
				b.compare(line{What: plan.what, Unit: plan.unit, More: true, Target: 1, Data: note}, cs, got, valueOf)
				b.compare(line{What: plan.what + ", server's CPU time", Unit: "s", Data: note}, cs, got, cpuOf)
			}
		}
		b.forget(disk)
	}
	return nil
}

func coldReaders(ctx context.Context, servers []nbdServer, offsets []int64, size int) (cs []contender) {
	for _, s := range servers {
		cs = append(cs, contender{name: s.name, missing: s.missing, run: func(int) (sample, error) { return s.cold(ctx, offsets, size) }})
	}
	return cs
}

// nbdServer shows the disk on a socket.
type nbdServer struct {
	name    string
	missing error
	argv    []string
	socket  string
	files   string // what it reads, to be forgotten by the page cache
}

func (b *bench) nbdServers(ctx context.Context, disk string) ([]nbdServer, error) {
	dir, err := b.scratch("nbd")
	if err != nil {
		return nil, err
	}
	store := filepath.Join(dir, "store")
	_, ref, err := b.packed(ctx, store, disk)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "s")
	list := []nbdServer{{name: "vitrine", argv: []string{b.self, "work", "nbd", store, ref, socket}, socket: socket, files: filepath.Join(store, "regions")}}
	peer := nbdServer{name: "qemu-nbd, zstd qcow2", missing: found("qemu-nbd", "qemu-utils"), socket: socket, files: filepath.Join(dir, "qcow2")}
	if peer.missing == nil {
		if err := os.Mkdir(peer.files, 0o700); err != nil {
			return nil, err
		}
		image := filepath.Join(peer.files, "disk.qcow2")
		if err := compressed(ctx, disk, image, "zstd"); err != nil {
			return nil, err
		}
		peer.argv = []string{"qemu-nbd", "-r", "-f", "qcow2", "-e", "4", "-t", "-k", socket, image}
	}
	return append(list, peer), nil
}

// cold starts the server and reads once through the offsets.
func (s nbdServer) cold(ctx context.Context, offsets []int64, size int) (out sample, err error) {
	if err := chill(s.files); err != nil {
		return out, err
	}
	p, err := start(s.argv, nil, nil)
	if err != nil {
		return out, err
	}
	defer os.Remove(s.socket)
	defer p.stop() // after the client has gone
	var c *nbdClient
	if _, err := p.await(ctx, func() bool { c, err = dialNBD(s.socket); return err == nil }); err != nil {
		return out, err
	}
	defer c.close()
	out, err = p.during(func() error { return c.read(offsets, size, readDepth) })
	out.value = float64(len(offsets)) / out.wall
	return out, err
}

// readPlans gives offsets of 4 KiB at random places that hold data, and of each whole MiB of data in order.
func readPlans(disk string) (small, large []int64, err error) {
	f, err := os.Open(disk)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	stretches, data, err := beginning(f, st.Size(), 0)
	if err != nil {
		return nil, nil, err
	}
	r := rand.New(rand.NewPCG(5, 1)) // the same places for all
	for range randomReads {
		small = append(small, place(stretches, r.Int64N(data/4096)*4096))
	}
	for at := int64(0); at+1<<20 <= st.Size(); at += 1 << 20 {
		if holds(stretches, at, at+1<<20) {
			large = append(large, at)
		}
	}
	return small, large, nil
}

// place is where the n-th byte of data lies.
func place(stretches []extent.Range, n int64) int64 {
	for _, s := range stretches {
		if n < s.End-s.Start {
			return s.Start + n
		}
		n -= s.End - s.Start
	}
	return 0
}

// holds says whether a range is data throughout.
func holds(stretches []extent.Range, from, to int64) bool {
	for _, s := range stretches {
		if s.Start <= from && s.End >= to {
			return true
		}
	}
	return false
}
