package app

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"vitrine/internal/arm"
	"vitrine/internal/control/throttle"
	"vitrine/internal/vm"
)

// limited is a runtime that starts no more machines than the host can bear. There are no quotas of subscriptions: the
// limit is one for all, and who comes first has it.
type limited struct {
	vm.Runtime
	machines int // at most so many run at once
	memory   int // MiB that they may have together; 0: not known, so no limit
	each     int // MiB, the most that one can have; counted for those which another server started

	mu     sync.Mutex
	sizes  map[string]int // MiB of those that this server started
	coming map[string]int // of those that are starting
}

func limit(r vm.Runtime, machines, memory, each int) *limited {
	return &limited{Runtime: r, machines: machines, memory: memory, each: each, sizes: map[string]int{}, coming: map[string]int{}}
}

// Start implements vm.Runtime. Its refusal is Azure's for a region without capacity.
func (l *limited) Start(ctx context.Context, m vm.Machine) error {
	if err := l.admit(ctx, m); err != nil {
		return err
	}
	err := l.Runtime.Start(ctx, m)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.coming, m.ID)
	if err == nil {
		l.sizes[m.ID] = m.MemoryMiB
	}
	return err
}

// admit counts what runs and is starting, and notes that m is starting.
func (l *limited) admit(ctx context.Context, m vm.Machine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := l.List(ctx)
	if err != nil {
		return err
	}
	there := map[string]int{}
	for _, s := range all {
		if s.State == vm.Running {
			there[s.ID] = l.each
			if size, ok := l.sizes[s.ID]; ok {
				there[s.ID] = size
			}
		}
	}
	for id, size := range l.coming {
		there[id] = size
	}
	if _, ok := there[m.ID]; !ok { // one that runs already has its share
		sum := m.MemoryMiB
		for _, size := range there {
			sum += size
		}
		if len(there) >= l.machines {
			return allocation("%d machines run on this host, which is as many as may (vitrine serve --max-machines).", len(there))
		}
		if l.memory > 0 && sum > l.memory {
			return allocation("The machine needs %d MiB of memory, and %d of the host's %d MiB for machines are taken.", m.MemoryMiB, sum-m.MemoryMiB, l.memory)
		}
	}
	l.coming[m.ID] = m.MemoryMiB
	return nil
}

// allocation is the error of learn.microsoft.com/troubleshoot/azure/virtual-machines/allocation-failure, with what is short here.
func allocation(format string, args ...any) error {
	return arm.Errorf(409, "AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. %s Stop or deallocate other machines, then try again.", fmt.Sprintf(format, args...))
}

// Remove implements vm.Runtime.
func (l *limited) Remove(ctx context.Context, id string) error {
	err := l.Runtime.Remove(ctx, id)
	if err == nil {
		l.mu.Lock()
		delete(l.sizes, id)
		l.mu.Unlock()
	}
	return err
}

const reserve = 1024 // MiB that the host and the server keep

// machineMemory is what machines may have of the host's memory, in MiB: all but the reserve, and half of it on a small host.
// It is 0 when that cannot be told.
func machineMemory(meminfo string) int {
	f, err := os.Open(meminfo)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int
		if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return 0
			}
			return max(kib/1024-reserve, kib/1024/2)
		}
	}
	return 0
}

// DefaultThrottle is how many times Azure's limits of requests a client has here: a local server bears more.
const DefaultThrottle = 10

// meter counts requests, unless the operator wants none counted.
func (a *App) meter() *throttle.Meter {
	if a.cfg.Throttle < 0 {
		return nil
	}
	return throttle.New(cmp.Or(a.cfg.Throttle, DefaultThrottle), a.cfg.Now)
}
