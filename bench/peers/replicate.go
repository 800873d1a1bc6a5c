package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"vitrine/internal/image"
)

// rowReplicate sends the second image to a region that has the first. What ours moves is what lies in the other region afterwards and
// did not before; it is held against what only the second image has in the region that it comes from, compressed as it is.
func rowReplicate(ctx context.Context, b *bench) error {
	bytes := b.growth("replicate B' after A, bytes moved", "MiB", "MiB of data of B'")
	wall := b.growth("replicate B' after A, wall", "s", "MiB of data of B'")
	for _, part := range parts() {
		one, note, err := b.partOf(ctx, "a", part)
		if err != nil {
			return err
		}
		two, _, err := b.partOf(ctx, "b-rebuild", part)
		if err != nil {
			return err
		}
		data, err := dataOf(two)
		if err != nil {
			return err
		}
		dir, err := b.scratch("replicate")
		if err != nil {
			return err
		}
		cs, unique := b.movers(ctx, dir, one, two)
		got, err := b.turns(1, cs) // it moves what it moves
		if err != nil {
			return err
		}
		bytes.add(data, cs, got, valueOf)
		wall.add(data, cs, got, wallOf)
		if part == 1 {
			moved := median(got[cs[0].name], valueOf)
			b.add(line{What: "replicate B' after A, bytes moved to unique compressed ones", Ours: moved / *unique, Target: 1.02, Alone: true, Rounds: 1, Data: note,
				Note: fmt.Sprintf("%.4g MiB moved, %.4g MiB unique", moved, *unique)})
			b.compare(line{What: "replicate B' after A, bytes moved", Unit: "MiB", Data: note}, cs, got, valueOf)
		}
		b.forget(one)
		b.forget(two)
	}
	return nil
}

// movers bring the second disk to where the first one is; their values are the MiB that travelled. Unique is what ours had to move at
// least, once it has run.
func (b *bench) movers(ctx context.Context, dir, one, two string) (cs []contender, unique *float64) {
	unique = new(float64)
	return []contender{
		{name: "vitrine", run: func(int) (s sample, err error) {
			s, *unique, err = b.replicate(ctx, dir, one, two)
			return s, err
		}},
		{name: "full copy of the zstd qcow2", missing: found("qemu-img", "qemu-utils"), run: func(int) (sample, error) {
			made, copied := filepath.Join(dir, "two.qcow2"), filepath.Join(dir, "copied.qcow2")
			if err := compressed(ctx, two, made, "zstd"); err != nil {
				return sample{}, err
			}
			s, err := command{argv: []string{"cp", made, copied}, sync: dir}.run(ctx)
			if err != nil {
				return s, err
			}
			u, err := usageOf(copied)
			s.value = float64(u.bytes) / (1 << 20)
			return s, err
		}},
		{name: "rsync -z of the raw file over A's", missing: found("rsync", "rsync"), run: func(int) (sample, error) {
			return rsync(ctx, one, two, filepath.Join(dir, "rsync.raw"))
		}},
	}, unique
}

// replicate packs both, moves one after the other, and gives what moving the second cost, with the MiB that it moved, and the MiB that
// only it has.
func (b *bench) replicate(ctx context.Context, dir, one, two string) (moved sample, unique float64, err error) {
	region := func(name string) (float64, error) {
		u, err := usageOf(filepath.Join(dir, "regions", name))
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return float64(u.bytes), err
	}
	var before, after [2]float64 // home, other
	var ref image.Ref
	var text string
	for i, disk := range []string{one, two} {
		if ref, text, err = b.packed(ctx, dir, disk); err != nil {
			return moved, 0, fmt.Errorf("pack %s: %w", ref, err)
		}
		before[1], err = region(other)
		if err != nil {
			return moved, 0, err
		}
		moved, err = command{argv: []string{b.self, "work", "replicate", dir, text}, sync: dir}.run(ctx)
		if err != nil {
			return moved, 0, err
		}
		if i == 0 {
			if before[0], err = region(home); err != nil {
				return moved, 0, err
			}
		}
	}
	after[0], err = region(home)
	if err != nil {
		return moved, 0, err
	}
	after[1], err = region(other)
	moved.value = (after[1] - before[1]) / (1 << 20)
	return moved, (after[0] - before[0]) / (1 << 20), err
}

// rsync makes two of one; its value is the MiB that it sends. Its receiver is another process on this host.
func rsync(ctx context.Context, one, two, copied string) (s sample, err error) {
	if out, err := exec.CommandContext(ctx, "cp", "--sparse=always", one, copied).CombinedOutput(); err != nil {
		return s, fmt.Errorf("cp: %w %s", err, out)
	}
	// It would refuse to write a file that is read-only.
	if err := os.Chmod(copied, 0o600); err != nil {
		return s, err
	}
	var out []byte
	s.wall, err = timed(func() (err error) {
		out, err = exec.CommandContext(ctx, "rsync", "--stats", "--no-whole-file", "--inplace", "-z", "--ignore-times", two, copied).CombinedOutput()
		return errors.Join(err, syncFS(copied))
	})
	if err != nil {
		return s, fmt.Errorf("rsync: %w\n%s", err, out)
	}
	sum, found := 0.0, 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "Total bytes "); ok { // sent, and received: the checksums travel too
			_, digits, _ := strings.Cut(value, ": ")
			n, err := strconv.ParseFloat(strings.ReplaceAll(digits, ",", ""), 64)
			if err != nil {
				return s, err
			}
			sum, found = sum+n, found+1
		}
	}
	if found != 2 {
		return s, fmt.Errorf("rsync's report is not understood:\n%s", out)
	}
	s.value = sum / (1 << 20)
	return s, nil
}
