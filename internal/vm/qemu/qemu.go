// Package qemu runs machines under QEMU, each below a supervisor process of its own that outlives the server.
//
// It owns the command line (Args, pure), the conversation with QEMU (QMP), the supervisor and what it leaves on disk.
// It does not own the disks it is given, nor the network behind a NIC's socket.
//
//	Runtime (server) ─ launch.json, exec ─▶ supervisor ─ StartBound ─▶ QEMU
//	        ◀─ control socket: status, power, wait ─┘ ◀─ QMP, serial port, stderr ─┘
//
//	Data/machines/<id>/launch.json   what to run; written by the Runtime
//	                   status.json   how it is or how it ended; written by the supervisor
//	                   lock          held by the supervisor for as long as it lives
//	                   serial.log, serial.log.1, supervisor.log, vars.fd (UEFI variables)
//
// The Runtime keeps nothing in memory that a new one would miss. When a supervisor is killed, the kernel kills its
// QEMU with it, and the machine's status is Crashed: Start begins it again.
package qemu

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// Config says where and how machines run.
type Config struct {
	Data  string   // the installation's data folder; machines' own files go to Data/machines/<id>
	Self  []string // argv prefix of the supervisor, e.g. {"/proc/self/exe", "supervise"}; "--dir DIR" is added
	Accel string   // "kvm" or "tcg", from ProbeAccel; empty: tcg
	Log   *slog.Logger
}

const (
	// startLimit is how long QEMU may take to answer on its QMP socket on a very busy host.
	startLimit = 90 * time.Second
	// statusLimit is how long a supervisor may be between its first breath and its socket before a question gives up.
	statusLimit = 20 * time.Second
)

// Runtime is a vm.Runtime on QEMU.
type Runtime struct {
	cfg     Config
	sockets string

	mu    sync.Mutex
	locks map[string]*sync.Mutex // one act at a time per machine
}

var _ vm.Runtime = (*Runtime)(nil)

// Open makes a runtime on cfg.Data and finds the machines that run there already.
func Open(ctx context.Context, cfg Config) (*Runtime, error) {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return nil, err
	}
	cfg.Data = data
	if len(cfg.Self) == 0 {
		return nil, errors.New("qemu: Config.Self is empty")
	}
	sockets, err := vm.SocketDir(data)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(data, "machines"), 0o700); err != nil {
		return nil, err
	}
	r := &Runtime{cfg: cfg, sockets: sockets, locks: map[string]*sync.Mutex{}}
	all, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		cfg.Log.Info("machine found", "machine", s.ID, "state", s.State, "reason", s.Reason)
	}
	return r, nil
}

func (r *Runtime) dir(id string) string { return filepath.Join(r.cfg.Data, "machines", id) }

// lock holds a machine for one act.
func (r *Runtime) lock(id string) (unlock func()) {
	r.mu.Lock()
	l := r.locks[id]
	if l == nil {
		l = &sync.Mutex{}
		r.locks[id] = l
	}
	r.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Start implements vm.Runtime.
func (r *Runtime) Start(ctx context.Context, m vm.Machine) error {
	if err := m.Validate(); err != nil {
		return err
	}
	defer r.lock(m.ID)()
	if s, err := r.Status(ctx, m.ID); err == nil && s.State == vm.Running {
		return nil
	}
	l, err := r.prepare(m)
	if err != nil {
		return fmt.Errorf("machine %s: %w", m.ID, err)
	}
	dir := r.dir(m.ID)
	log := filepath.Join(dir, "supervisor.log")
	if err := os.Remove(log); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id, err := proc.Start(proc.Detached{
		Path: r.cfg.Self[0], Args: append(slices.Clone(r.cfg.Self[1:]), "--dir", dir), Env: proc.HelperEnv(), Dir: dir, Output: log})
	if err != nil {
		return fmt.Errorf("machine %s: supervisor: %w", m.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return r.awaitStart(ctx, l, id)
}

// prepare writes what the supervisor reads.
func (r *Runtime) prepare(m vm.Machine) (Launch, error) {
	l := Launch{Machine: m, Accel: r.cfg.Accel, Sockets: r.sockets, Attempt: rand.Text()}
	if l.Accel == "" {
		l.Accel = "tcg"
	}
	bin, err := proc.LookPath("qemu-system-x86_64")
	if err != nil {
		return l, err
	}
	l.Binary = bin
	if m.Firmware == vm.UEFI {
		if l.Code, l.VarsTemplate, err = findOVMF(); err != nil {
			return l, err
		}
		l.Vars = filepath.Join(r.dir(m.ID), "vars.fd")
	}
	if err := os.MkdirAll(r.dir(m.ID), 0o700); err != nil {
		return l, err
	}
	return l, proc.WriteState(filepath.Join(r.dir(m.ID), "launch.json"), l)
}

// awaitStart returns when the machine runs, or the supervisor has said why not.
func (r *Runtime) awaitStart(ctx context.Context, l Launch, supervisor proc.Identity) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	dir := r.dir(l.Machine.ID)
	for {
		// The order matters: what a supervisor wrote before its end is read after its end was seen.
		ended := !proc.Alive(supervisor) && !proc.Held(lockFile(dir))
		if _, err := ask(ctx, r.control(l.Machine.ID), request{Op: "status"}); err == nil {
			return nil
		}
		rec, err := readRecord(dir)
		switch {
		case err == nil && rec.Attempt == l.Attempt && rec.Started && rec.Status.State != vm.Running:
			return nil // a guest that powered off at once
		case err == nil && rec.Attempt == l.Attempt && rec.Status.State != vm.Running:
			return fmt.Errorf("machine %s: QEMU did not start: %s: %s", l.Machine.ID, rec.Status.Reason, rec.Status.LastWords)
		case ended:
			return fmt.Errorf("machine %s: the supervisor ended: %s", l.Machine.ID, tailOf(filepath.Join(dir, "supervisor.log"), 2048))
		}
		select {
		case <-ctx.Done():
			_ = proc.End(context.WithoutCancel(ctx), supervisor, 0)
			return fmt.Errorf("machine %s: start: %w", l.Machine.ID, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (r *Runtime) control(id string) string { return vm.Socket(r.sockets, id, "ctl") }

// Status implements vm.Runtime.
func (r *Runtime) Status(ctx context.Context, id string) (vm.Status, error) {
	dir := r.dir(id)
	if _, err := os.Stat(filepath.Join(dir, "launch.json")); err != nil {
		return vm.Status{}, fmt.Errorf("machine %s: %w", id, vm.ErrNotFound)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusLimit, fmt.Errorf("machine %s: its supervisor does not answer", id))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		held := proc.Held(lockFile(dir))
		if rep, err := ask(ctx, r.control(id), request{Op: "status"}); err == nil {
			return rep.Status, nil
		}
		if !held {
			return lastStatus(dir, id), nil
		}
		// The supervisor is between its first breath and its socket, or between its socket and its last.
		select {
		case <-ctx.Done():
			return vm.Status{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// lastStatus reads how a machine without supervisor ended.
func lastStatus(dir, id string) vm.Status {
	rec, err := readRecord(dir)
	if err != nil {
		return vm.Status{ID: id, State: vm.Crashed, Reason: "it never started"}
	}
	if rec.Status.State == vm.Running {
		rec.Status.State, rec.Status.Reason = vm.Crashed, "its supervisor was killed, or the host went down"
		rec.Status.Accel = ""
	}
	return rec.Status
}

// List implements vm.Runtime.
func (r *Runtime) List(ctx context.Context) ([]vm.Status, error) {
	entries, err := os.ReadDir(filepath.Join(r.cfg.Data, "machines"))
	if err != nil {
		return nil, err
	}
	var all []vm.Status
	for _, e := range entries {
		s, err := r.Status(ctx, e.Name())
		if errors.Is(err, vm.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Wait implements vm.Runtime.
func (r *Runtime) Wait(ctx context.Context, id string) (vm.Status, error) {
	for {
		s, err := r.Status(ctx, id)
		if err != nil || s.State != vm.Running {
			return s, err
		}
		// The answer, or the loss of the connection, says that it is time to look again.
		_, _ = ask(ctx, r.control(id), request{Op: "wait"})
		if ctx.Err() != nil {
			return vm.Status{}, context.Cause(ctx)
		}
	}
}

// PowerOff implements vm.Runtime.
func (r *Runtime) PowerOff(ctx context.Context, id string, how vm.PowerOff) error {
	defer r.lock(id)()
	return r.powerOff(ctx, id, how)
}

func (r *Runtime) powerOff(ctx context.Context, id string, how vm.PowerOff) error {
	s, err := r.Status(ctx, id)
	if err != nil || s.State != vm.Running {
		return err
	}
	grace := how.Grace
	if grace == 0 {
		grace = 30 * time.Second
	}
	op := request{Op: "poweroff", Grace: grace}
	if how.Hard {
		op.Op = "kill"
	}
	if _, err := ask(ctx, r.control(id), op); err != nil && ctx.Err() == nil {
		r.cfg.Log.Warn("supervisor did not power off its machine", "machine", id, "error", err)
		if rec, err := readRecord(r.dir(id)); err == nil {
			return proc.End(ctx, rec.Supervisor, 0)
		}
	}
	_, err = r.Wait(ctx, id)
	return err
}

// Reset implements vm.Runtime.
func (r *Runtime) Reset(ctx context.Context, id string) error {
	defer r.lock(id)()
	s, err := r.Status(ctx, id)
	if err != nil {
		return err
	}
	if s.State != vm.Running {
		return fmt.Errorf("machine %s: %w", id, vm.ErrNotRunning)
	}
	_, err = ask(ctx, r.control(id), request{Op: "reset"})
	return err
}

// Remove implements vm.Runtime.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if filepath.Base(id) != id || id == "." || id == ".." {
		return fmt.Errorf("qemu: %q is not the id of a machine", id)
	}
	defer r.lock(id)()
	err := r.powerOff(ctx, id, vm.PowerOff{Hard: true})
	if err != nil && !errors.Is(err, vm.ErrNotFound) {
		rec, errRead := readRecord(r.dir(id))
		if errRead != nil {
			return err
		}
		if err := proc.End(ctx, rec.Supervisor, 0); err != nil {
			return err
		}
	}
	var l Launch
	if err := proc.ReadState(filepath.Join(r.dir(id), "launch.json"), &l); err == nil {
		l.removeSockets()
	}
	return os.RemoveAll(r.dir(id))
}

// SerialLog implements vm.Runtime.
func (r *Runtime) SerialLog(_ context.Context, id string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(r.dir(id), "launch.json")); err != nil {
		return nil, fmt.Errorf("machine %s: %w", id, vm.ErrNotFound)
	}
	return readRotated(filepath.Join(r.dir(id), "serial.log"))
}
