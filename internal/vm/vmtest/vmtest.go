// Package vmtest is the contract of the vm ports, as tests that every back-end runs.
//
// It owns what a runtime promises its callers. It does not own how a back-end gets there: a Subject brings a runtime,
// a machine to run, and what is special about it.
package vmtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/vm"
)

// Subject is a back-end under test.
type Subject struct {
	Runtime vm.Runtime
	// Machine describes a machine that runs until it is told otherwise. Its ID is new with every call.
	Machine func(t *testing.T) vm.Machine
	// Reopen answers another runtime on the same state, as after a restart of the server; nil: the back-end lives in memory.
	Reopen func(t *testing.T) vm.Runtime
	// Crash ends a machine as nobody should.
	Crash func(t *testing.T, id string)
	// NoCreateDisk is why CreateDisk is not tested; empty: it is.
	NoCreateDisk string
}

// Run runs the contract. open is called once per test.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"Unknown":   unknown,
		"Lifecycle": lifecycle,
		"Start":     start,
		"Crash":     crash,
		"Reopen":    reopen,
		"Wait":      wait,
		"Invalid":   invalid,
		"Disk":      createDisk,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin starts a machine that is removed when the test ends.
func begin(t *testing.T, s Subject) vm.Machine {
	t.Helper()
	m := s.Machine(t)
	t.Cleanup(func() {
		if err := s.Runtime.Remove(context.WithoutCancel(t.Context()), m.ID); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Runtime.Start(limit(t), m))
	return m
}

func wantState(t *testing.T, r vm.Runtime, id string, want vm.State) vm.Status {
	t.Helper()
	s, err := r.Status(limit(t), id)
	must(t, err)
	if s.State != want || s.ID != id || s.Since.IsZero() {
		t.Fatalf("status %+v, want state %s", s, want)
	}
	return s
}

func unknown(t *testing.T, s Subject) {
	ctx, id := limit(t), s.Machine(t).ID
	_, err := s.Runtime.Status(ctx, id)
	wantNotFound(t, "Status", err)
	_, err = s.Runtime.Wait(ctx, id)
	wantNotFound(t, "Wait", err)
	_, err = s.Runtime.SerialLog(ctx, id)
	wantNotFound(t, "SerialLog", err)
	wantNotFound(t, "PowerOff", s.Runtime.PowerOff(ctx, id, vm.PowerOff{}))
	wantNotFound(t, "Reset", s.Runtime.Reset(ctx, id))
	wantNotFound(t, "CopyDisk", s.Runtime.CopyDisk(ctx, id, "/nowhere", "/nowhere.copy"))
	must(t, s.Runtime.Remove(ctx, id))
}

func wantNotFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("%s of an unknown machine: %v", what, err)
	}
}

func lifecycle(t *testing.T, s Subject) {
	ctx, m := limit(t), begin(t, s)
	if st := wantState(t, s.Runtime, m.ID, vm.Running); st.Accel == "" {
		t.Error("a running machine does not say its acceleration")
	}
	must(t, s.Runtime.Reset(ctx, m.ID))
	wantState(t, s.Runtime, m.ID, vm.Running)
	must(t, s.Runtime.PowerOff(ctx, m.ID, vm.PowerOff{Hard: true}))
	if st := wantState(t, s.Runtime, m.ID, vm.Stopped); st.Reason == "" {
		t.Error("a stopped machine does not say why")
	}
	must(t, s.Runtime.PowerOff(ctx, m.ID, vm.PowerOff{Hard: true}))
	if err := s.Runtime.Reset(ctx, m.ID); !errors.Is(err, vm.ErrNotRunning) {
		t.Errorf("reset of a stopped machine: %v", err)
	}
	must(t, s.Runtime.Start(ctx, m))
	wantState(t, s.Runtime, m.ID, vm.Running)
	all, err := s.Runtime.List(ctx)
	if err != nil || len(all) != 1 || all[0].ID != m.ID || all[0].State != vm.Running {
		t.Errorf("list %+v, %v", all, err)
	}
	must(t, s.Runtime.Remove(ctx, m.ID))
	_, err = s.Runtime.Status(ctx, m.ID)
	wantNotFound(t, "Status", err)
	if all, err = s.Runtime.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("list after removal %+v, %v", all, err)
	}
	must(t, s.Runtime.Remove(ctx, m.ID))
	for _, d := range m.Disks {
		if _, err := os.Stat(d.Path); err != nil {
			t.Errorf("removal took a disk: %v", err)
		}
	}
}

// start: the second call, also a concurrent one, finds the machine running.
func start(t *testing.T, s Subject) {
	m := begin(t, s)
	since := wantState(t, s.Runtime, m.ID, vm.Running).Since
	errs := make(chan error)
	for range 4 {
		go func() { errs <- s.Runtime.Start(limit(t), m) }()
	}
	for range 4 {
		must(t, <-errs)
	}
	if again := wantState(t, s.Runtime, m.ID, vm.Running).Since; !again.Equal(since) {
		t.Errorf("started again: since %s, before %s", again, since)
	}
}

func crash(t *testing.T, s Subject) {
	ctx, m := limit(t), begin(t, s)
	s.Crash(t, m.ID)
	st, err := s.Runtime.Wait(ctx, m.ID)
	must(t, err)
	if st.State != vm.Crashed || st.Reason == "" {
		t.Fatalf("%+v", st)
	}
	must(t, s.Runtime.Start(ctx, m))
	wantState(t, s.Runtime, m.ID, vm.Running)
}

func reopen(t *testing.T, s Subject) {
	if s.Reopen == nil {
		t.Skip("the back-end lives in memory")
	}
	ctx, m := limit(t), begin(t, s)
	since := wantState(t, s.Runtime, m.ID, vm.Running).Since
	second := s.Reopen(t)
	if st := wantState(t, second, m.ID, vm.Running); !st.Since.Equal(since) {
		t.Errorf("not the same run: since %s, before %s", st.Since, since)
	}
	must(t, second.Start(ctx, m))
	must(t, second.PowerOff(ctx, m.ID, vm.PowerOff{Hard: true}))
	wantState(t, s.Runtime, m.ID, vm.Stopped)
}

func wait(t *testing.T, s Subject) {
	ctx, m := limit(t), begin(t, s)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := s.Runtime.Wait(short, m.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a running machine: %v", err)
	}
	got := make(chan vm.Status, 1)
	go func() {
		st, _ := s.Runtime.Wait(ctx, m.ID)
		got <- st
	}()
	must(t, s.Runtime.PowerOff(ctx, m.ID, vm.PowerOff{Hard: true}))
	if st := <-got; st.State != vm.Stopped {
		t.Errorf("%+v", st)
	}
}

func invalid(t *testing.T, s Subject) {
	for name, spoil := range map[string]func(*vm.Machine){
		"id is a path":   func(m *vm.Machine) { m.ID = "../../etc" },
		"no disk":        func(m *vm.Machine) { m.Disks = nil },
		"missing disk":   func(m *vm.Machine) { m.Disks[0].Path += ".missing" },
		"no format":      func(m *vm.Machine) { m.Disks[0].Format = "" },
		"relative path":  func(m *vm.Machine) { m.Disks[0].Path = "disk" },
		"no CPU":         func(m *vm.Machine) { m.CPUs = 0 },
		"bad MAC":        func(m *vm.Machine) { m.NICs = []vm.NIC{{ID: m.ID, MAC: "x,y"}} },
		"serial options": func(m *vm.Machine) { m.Disks[0].Serial = "a,b=c" },
	} {
		t.Run(name, func(t *testing.T) {
			m := s.Machine(t)
			t.Cleanup(func() { _ = s.Runtime.Remove(context.WithoutCancel(t.Context()), m.ID) })
			good := m.ID
			spoil(&m)
			if err := s.Runtime.Start(limit(t), m); err == nil {
				t.Error("started")
			}
			if st, err := s.Runtime.Status(limit(t), good); err == nil && st.State == vm.Running {
				t.Error("running")
			}
		})
	}
}

func createDisk(t *testing.T, s Subject) {
	if s.NoCreateDisk != "" {
		t.Skip(s.NoCreateDisk)
	}
	ctx, dir := limit(t), t.TempDir()
	base := filepath.Join(dir, "base, with comma.raw")
	must(t, os.WriteFile(base, make([]byte, 1<<20), 0o600))
	overlay := vm.NewDisk{Path: filepath.Join(dir, "overlay.qcow2"), Size: 2 << 20, Base: base, BaseFormat: vm.Raw}
	must(t, s.Runtime.CreateDisk(ctx, overlay))
	must(t, s.Runtime.CreateDisk(ctx, overlay))
	blank := vm.NewDisk{Path: filepath.Join(dir, "blank.qcow2"), Size: 1 << 30}
	must(t, s.Runtime.CreateDisk(ctx, blank))
	if b, _ := os.ReadDir(dir); len(b) != 3 {
		t.Errorf("files left behind: %v", b)
	}
	missing := vm.NewDisk{Path: filepath.Join(dir, "x.qcow2"), Base: base + ".missing", BaseFormat: vm.Raw}
	if err := s.Runtime.CreateDisk(ctx, missing); err == nil {
		t.Error("an overlay on nothing was made")
	}
	missing.Later = true
	if err := s.Runtime.CreateDisk(ctx, missing); err == nil {
		t.Error("an overlay without a size was made")
	}
	missing.Size = 1 << 30
	must(t, s.Runtime.CreateDisk(ctx, missing))
	must(t, s.Runtime.GrowDisk(ctx, missing.Path, 2<<30))
	if err := s.Runtime.CreateDisk(ctx, vm.NewDisk{Path: overlay.Path + "2", Base: base, Size: 1 << 20}); err == nil {
		t.Error("an overlay without the base's format was made")
	}
}
