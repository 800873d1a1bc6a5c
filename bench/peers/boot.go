package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/google/uuid"

	"vitrine/internal/image"
	"vitrine/internal/image/lazy"
	"vitrine/internal/image/lazy/host"
	"vitrine/internal/store"
	"vitrine/internal/vm"
	"vitrine/internal/vm/qemu"
)

const (
	bootRounds  = 9  // at least; single boots differ by half
	hydrateRate = 64 // MiB a second, as `vitrine serve` has it
)

// booting is what a server has machines run with: images in a folder, vitrine's processes that serve bases and keep machines.
type booting struct {
	dir     string
	images  *image.Store
	bases   *host.Bases
	runtime *qemu.Runtime
	raw     string // the guest's disk, as a plain file
	ref     image.Ref
	end     func() error
}

// rowBoot boots the tiny guest until its SSH server listens, which it says on its serial console, under TCG. All three stand on an overlay
// and are started by the same code; the page cache has nothing of what is below.
func rowBoot(ctx context.Context, b *bench) (err error) {
	missing := errors.Join(found("qemu-system-x86_64", "qemu-system-x86"), found("qemu-img", "qemu-utils"))
	if _, err := os.Stat(b.guest); err != nil {
		missing = errors.Join(missing, fmt.Errorf("the tiny guest is missing (make guest): %w", err))
	}
	w := &booting{}
	if missing == nil {
		if w, err = b.startBooting(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.end()) }()
	}
	raw := contender{name: "plain raw file", missing: missing, run: func(int) (sample, error) { return w.boot(ctx, w.raw, vm.Base{Path: w.raw}) }}
	cold := contender{name: "cold base", missing: missing, run: func(int) (sample, error) { return w.cold(ctx) }}
	whole := contender{name: "whole base", missing: missing, run: func(int) (sample, error) { return w.whole(ctx) }}
	rounds := max(bootRounds, b.rounds)
	if b.rounds < 5 { // somebody wants a look
		rounds = b.rounds
	}
	got, err := b.turns(rounds, []contender{raw, cold, whole})
	if err != nil {
		return err
	}
	const note = "tiny guest, TCG"
	b.compare(line{What: "boot to SSH on a cold lazy base, wall", Unit: "s", Target: 1.5, Data: note}, []contender{cold, raw}, got, wallOf)
	b.compare(line{What: "boot to SSH on a base that has become whole, wall", Unit: "s", Target: 1.15, Data: note}, []contender{whole, raw}, got, wallOf)
	return nil
}

// startBooting puts the guest's disk into a store.
func (b *bench) startBooting(ctx context.Context) (w *booting, err error) {
	w = &booting{}
	if w.dir, err = b.scratch("boot"); err != nil {
		return nil, err
	}
	w.raw = filepath.Join(w.dir, "guest.raw")
	if said, err := exec.CommandContext(ctx, "qemu-img", "convert", "-O", "raw", b.guest, w.raw).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("qemu-img: %w %s", err, said)
	}
	if w.ref, _, err = b.packed(ctx, w.dir, w.raw); err != nil {
		return nil, err
	}
	var closing func() error
	if w.images, closing, err = imageStore(w.dir); err != nil {
		return nil, err
	}
	err = w.images.Store.Update(ctx, func(tx store.Tx) error { return w.images.Pin(tx, w.ref, home, "disk") })
	if err == nil {
		err = w.open(ctx, b.vitrine)
	}
	if err != nil {
		return nil, errors.Join(err, closing())
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	var looking sync.WaitGroup
	looking.Go(func() { w.bases.Run(life) })
	w.end = func() error {
		stop()
		looking.Wait()
		return errors.Join(w.bases.End(context.WithoutCancel(ctx)), closing())
	}
	return w, nil
}

func (w *booting) open(ctx context.Context, vitrine string) error {
	sockets, err := vm.SocketDir(w.dir)
	if err != nil {
		return err
	}
	w.bases, err = host.Open(host.Config{Images: w.images, Dir: filepath.Join(w.dir, "nbd"), Sockets: sockets, Self: []string{vitrine, "nbd"}, Rate: hydrateRate << 20})
	if err != nil {
		return err
	}
	w.runtime, err = qemu.Open(ctx, qemu.Config{Data: w.dir, Self: []string{vitrine, "supervise"}, Log: slog.New(slog.DiscardHandler)})
	return err
}

// cold boots with nothing of the disk beside its chunks.
func (w *booting) cold(ctx context.Context) (sample, error) {
	if err := lazy.Remove(filepath.Join(image.Bases(w.images.Dir), image.BaseFile(home, w.ref))); err != nil {
		return sample{}, err
	}
	err := polled(ctx, func() (bool, error) { // the process lets go of it
		s, err := w.bases.Status(ctx)
		return len(s) == 0, err
	})
	if err != nil {
		return sample{}, err
	}
	base, err := w.bases.Base(ctx, home, w.ref)
	if err == nil && base.Socket == "" {
		err = errors.New("the base is not cold")
	}
	if err != nil {
		return sample{}, err
	}
	return w.boot(ctx, filepath.Join(w.dir, "regions"), vm.Base{Socket: base.Socket, Export: base.Export})
}

// whole boots once the background has filled the base.
func (w *booting) whole(ctx context.Context) (sample, error) {
	var base image.Base
	err := polled(ctx, func() (_ bool, err error) {
		base, err = w.bases.Base(ctx, home, w.ref)
		return base.Socket == "", err
	})
	if err != nil {
		return sample{}, err
	}
	return w.boot(ctx, base.Path, vm.Base{Path: base.Path})
}

// boot makes an overlay and starts a machine on it; below is what the page cache is to forget. The time is from the start of QEMU on.
func (w *booting) boot(ctx context.Context, below string, base vm.Base) (out sample, err error) {
	id := uuid.NewString()
	path := filepath.Join(w.dir, id+".qcow2")
	if err := w.runtime.CreateDisk(ctx, vm.NewDisk{Path: path, Size: w.ref.Size, Base: "/none.raw", BaseFormat: vm.Raw, Later: true}); err != nil {
		return out, err
	}
	defer os.Remove(path)
	if err := chill(below); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, w.runtime.Remove(context.WithoutCancel(ctx), id)) }()
	out.wall, err = timed(func() error {
		m := vm.Machine{ID: id, Name: "boot", CPUs: 1, MemoryMiB: 256, Disks: []vm.Disk{{Path: path, Format: vm.QCOW2, Base: &base}}}
		if err := w.runtime.Start(ctx, m); err != nil {
			return err
		}
		return polled(ctx, func() (bool, error) {
			log, err := w.runtime.SerialLog(ctx, id)
			return err == nil && bytes.Contains(log, []byte("vitrine-guest: ready")), nil
		})
	})
	return out, err
}
