package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// rows in the order of the issue that asked for them.
func rows() []row {
	return []row{
		{"import", "a raw disk into the store", rowImport},
		{"space", "two images in one store", rowSpace},
		{"export", "a stored image to a raw file", rowExport},
		{"blob", "a page blob, sent and read by the same client", rowBlob},
		{"create", "a VM disk from an image version", rowCreate},
		{"boot", "a guest on an image that is not copied", rowBoot},
		{"reads", "cold reads by NBD", rowReads},
		{"replicate", "a second image to a region that has the first", rowReplicate},
		{"collect", "garbage collected while the API serves", rowCollect},
		{"get", "an image version, read many times", rowGet},
		{"idle", "servers that do nothing", rowIdle},
		{"share", "a share and its end, seen at another server", rowShare},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "work" {
		return work(ctx, args[1:])
	}
	var b bench
	var names, out, results string
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&names, "row", "", "rows to run, by comma; empty: all")
	f.IntVar(&b.rounds, "rounds", 5, "rounds of each comparison; the medians of fewer than five say little")
	f.StringVar(&b.smaller, "size", "", "use disks of so much data only, as 128M; empty: all of it")
	f.StringVar(&b.data, "data", "", "folder of scripts/bench-data")
	f.StringVar(&b.azurite, "azurite", "", "folder of scripts/bench-peers")
	f.StringVar(&b.vitrine, "vitrine", "build/vitrine", "the program")
	f.StringVar(&b.guest, "guest", "build/guest/tiny.qcow2", "the tiny guest")
	f.StringVar(&b.program, "program", "", "what the programs were built of: a commit, and a mark when the tree was changed")
	f.StringVar(&out, "out", "build/bench", "folder for what came out of each row, and for RESULTS.md made of that")
	f.StringVar(&results, "results", "", "where RESULTS.md is put too, when every row is in it")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if b.size, err = parseSize(b.smaller); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.vitrine, err = filepath.Abs(b.vitrine); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "vitrine-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	return errors.Join(b.runRows(ctx, names, out), report(out, results))
}

// runRows runs those that are named, each kept when it is done. One that fails does not keep the others from running.
func (b *bench) runRows(ctx context.Context, names, out string) error {
	wanted := map[string]bool{}
	for _, n := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' }) {
		wanted[n] = true
	}
	all := len(wanted) == 0
	var errs []error
	for n := range wanted {
		if !slices.ContainsFunc(rows(), func(r row) bool { return r.name == n }) {
			errs = append(errs, fmt.Errorf("there is no row %s", n))
		}
	}
	for _, r := range rows() {
		if !all && !wanted[r.name] {
			continue
		}
		b.lines, b.growths, b.begun, b.calm = nil, nil, time.Now(), load()
		if err := b.runRow(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("row %s: %w", r.name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		errs = append(errs, b.missing(r.name), keep(out, r.name, b.result()))
	}
	return errors.Join(errs...)
}

// missing names the peers that a row went without.
func (b *bench) missing(name string) error {
	told := map[string]bool{}
	var errs []error
	for _, l := range b.lines {
		for _, p := range l.Peers {
			if p.Missing != "" && !told[p.Name] {
				told[p.Name] = true
				errs = append(errs, fmt.Errorf("row %s: the peer %s is missing: %s", name, p.Name, p.Missing))
			}
		}
	}
	return errors.Join(errs...)
}

func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	var n int64
	var unit string
	if _, err := fmt.Sscanf(s, "%d%s", &n, &unit); err != nil && unit == "" && n == 0 {
		return 0, fmt.Errorf("size %q is not like 128M or 1G", s)
	}
	switch strings.ToUpper(unit) {
	case "M":
		return n << 20, nil
	case "G":
		return n << 30, nil
	}
	return 0, fmt.Errorf("size %q is not like 128M or 1G", s)
}
