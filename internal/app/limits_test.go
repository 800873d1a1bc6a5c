package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/vm"
	"vitrine/internal/vm/fakevm"
)

func machineOf(t *testing.T, n, memory int) vm.Machine {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return vm.Machine{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Name: "m", CPUs: 1, MemoryMiB: memory, Disks: []vm.Disk{{Path: disk, Format: vm.Raw}}}
}

func refused(t *testing.T, err error, words string) {
	t.Helper()
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || e.Status != 409 || e.Code != "AllocationFailed" || !strings.Contains(e.Message, words) {
		t.Errorf("got %v, want AllocationFailed with %q", err, words)
	}
}

func started(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestMostMachines(t *testing.T) {
	ctx, fake := t.Context(), fakevm.New()
	l := limit(fake, 2, 0, 1024)
	one, two, three := machineOf(t, 1, 512), machineOf(t, 2, 512), machineOf(t, 3, 512)
	started(t, l.Start(ctx, one))
	started(t, l.Start(ctx, two))
	refused(t, l.Start(ctx, three), "2 machines run on this host")
	if _, starts, _, _ := fake.Machine(three.ID); starts != 0 {
		t.Error("it was started nevertheless")
	}
	started(t, l.Start(ctx, two)) // it runs already
	started(t, l.PowerOff(ctx, one.ID, vm.PowerOff{Hard: true}))
	started(t, l.Start(ctx, three)) // one that is off has no share
	refused(t, l.Start(ctx, one), "2 machines")
	started(t, l.Remove(ctx, two.ID))
	fake.Fail("Start", errors.New("no"))
	if err := l.Start(ctx, one); err == nil || err.Error() != "no" {
		t.Errorf("the runtime's own error became %v", err)
	}
	started(t, l.Start(ctx, one)) // the failed start gave its share back
}

func TestMostMemory(t *testing.T) {
	ctx, fake := t.Context(), fakevm.New()
	started(t, limit(fake, 64, 0, 0).Start(ctx, machineOf(t, 1, 512))) // by an earlier server: its size is not known
	l := limit(fake, 64, 3000, 1024)
	started(t, l.Start(ctx, machineOf(t, 2, 1000)))
	refused(t, l.Start(ctx, machineOf(t, 3, 1000)), "needs 1000 MiB of memory, and 2024 of the host's 3000 MiB")
	started(t, l.Start(ctx, machineOf(t, 4, 900)))
}

// Starts at the same time do not overlook each other.
func TestStartsTogether(t *testing.T) {
	fake := fakevm.New()
	l := limit(fake, 5, 0, 1024)
	var group sync.WaitGroup
	errs := make(chan error, 20)
	for n := range 20 {
		m := machineOf(t, n, 512)
		group.Go(func() { errs <- l.Start(context.Background(), m) })
	}
	group.Wait()
	close(errs)
	good := 0
	for err := range errs {
		if err == nil {
			good++
		}
	}
	if all, _ := fake.List(t.Context()); good != 5 || len(all) != 5 {
		t.Errorf("%d were started, %d run", good, len(all))
	}
}

func TestMachineMemory(t *testing.T) {
	for text, want := range map[string]int{
		"MemTotal:       16777216 kB\nMemFree: 1 kB\n": 15360,
		"MemFree: 1 kB\nMemTotal:  1048576 kB\n":       512,
		"MemTotal: much":                               0,
		"":                                             0,
	} {
		path := filepath.Join(t.TempDir(), "meminfo")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := machineMemory(path); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if machineMemory(filepath.Join(t.TempDir(), "none")) != 0 || machineMemory("/proc/meminfo") <= 0 {
		t.Error("no file, or this host's")
	}
}
