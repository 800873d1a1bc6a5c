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
	one, note, err := b.cutDisk(ctx, "a", b.size)
	if err != nil {
		return err
	}
	two, _, err := b.cutDisk(ctx, "b-rebuild", b.size)
	if err != nil {
		return err
	}
	dir, err := b.scratch("replicate")
	if err != nil {
		return err
	}
	moved, unique, err := b.replicate(ctx, dir, one, two)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	l := line{What: "replicate B' after A, bytes moved to unique compressed ones", Ours: moved / unique, Target: 1.02, Alone: true, Rounds: 1, Data: note,
		Note: fmt.Sprintf("%.4g MiB moved, %.4g MiB unique", moved/mib, unique/mib)}
	b.add(l)
	l = line{What: "replicate B' after A, bytes moved", Unit: "MiB", Ours: moved / mib, Rounds: 1, Data: note}
	whole, delta := peer{Name: "full copy of the zstd qcow2"}, peer{Name: "rsync -z of the raw file over A's"}
	if err := found("qemu-img", "qemu-utils"); err != nil {
		whole.Missing = err.Error()
	} else if err := compressed(ctx, two, filepath.Join(dir, "two.qcow2"), "zstd"); err != nil {
		return err
	} else if u, err := usageOf(filepath.Join(dir, "two.qcow2")); err != nil {
		return err
	} else {
		whole.Value = float64(u.bytes) / mib
	}
	if err := found("rsync", "rsync"); err != nil {
		delta.Missing = err.Error()
	} else if delta.Value, err = rsync(ctx, one, two, filepath.Join(dir, "rsync.raw")); err != nil {
		return err
	}
	delta.Value /= mib
	l.Peers = []peer{whole, delta}
	b.add(l)
	return nil
}

// replicate packs both, moves one after the other, and gives the bytes that the second moved and those that only it has.
func (b *bench) replicate(ctx context.Context, dir, one, two string) (moved, unique float64, err error) {
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
			return 0, 0, fmt.Errorf("pack %s: %w", ref, err)
		}
		before[1], err = region(other)
		if err != nil {
			return 0, 0, err
		}
		s, err := command{argv: []string{b.self, "work", "replicate", dir, text}}.run(ctx)
		if err != nil {
			return 0, 0, err
		}
		fmt.Fprintf(os.Stderr, "  replicated %d: cpu %.2f s, wall %.2f s\n", i+1, s.cpu, s.wall)
		if i == 0 {
			if before[0], err = region(home); err != nil {
				return 0, 0, err
			}
		}
	}
	after[0], err = region(home)
	if err != nil {
		return 0, 0, err
	}
	after[1], err = region(other)
	return after[1] - before[1], after[0] - before[0], err
}

// rsync gives the bytes that rsync sends to make two of one. Its receiver is another process on this host.
func rsync(ctx context.Context, one, two, copied string) (float64, error) {
	if out, err := exec.CommandContext(ctx, "cp", "--sparse=always", one, copied).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cp: %w %s", err, out)
	}
	// It would refuse to write a file that is read-only.
	if err := os.Chmod(copied, 0o600); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, "rsync", "--stats", "--no-whole-file", "--inplace", "-z", "--ignore-times", two, copied).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("rsync: %w\n%s", err, out)
	}
	sum, found := 0.0, 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "Total bytes "); ok { // sent, and received: the checksums travel too
			_, digits, _ := strings.Cut(value, ": ")
			n, err := strconv.ParseFloat(strings.ReplaceAll(digits, ",", ""), 64)
			if err != nil {
				return 0, err
			}
			sum, found = sum+n, found+1
		}
	}
	if found != 2 {
		return 0, fmt.Errorf("rsync's report is not understood:\n%s", out)
	}
	return sum, nil
}
