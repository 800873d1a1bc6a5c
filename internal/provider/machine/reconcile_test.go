package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/vm"
)

// TestFailedCreation: the machine stays as Failed, as in Azure, and nothing else does; it can be made again or deleted.
func TestFailedCreation(t *testing.T) {
	w := newWorld(t)
	broken := arm.Errorf(500, "OverconstrainedAllocationRequest", "no")
	for _, step := range []func(){
		func() { w.disks.mu.Lock(); w.disks.fail = broken; w.disks.mu.Unlock() },
		func() { w.runtime.Fail("Start", broken) },
		func() { w.runtime.Fail("Status", broken) },
	} {
		step()
		w.fails("PUT", machines+"m", body(t), broken.Code)
		w.disks.mu.Lock()
		w.disks.fail = nil
		w.disks.mu.Unlock()
		if left := w.traces(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		if m := w.must("GET", machines+"m", ""); at(m, "properties", "provisioningState") != "Failed" {
			t.Errorf("state: %v", m)
		}
		w.fails("POST", machines+"m/start", "", "OperationNotAllowed")
		if err := w.provider.Reconcile(context.Background()); err != nil {
			t.Fatal(err)
		}
		if left := w.traces(); len(left) != 0 {
			t.Errorf("Reconcile brought back: %v", left)
		}
	}
	w.must("PUT", machines+"m", body(t))
	if got := powerOf(t, w, "m"); got != "running" {
		t.Errorf("made again: %s", got)
	}
	w.must("DELETE", machines+"m", "")
}

func TestReconcile(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t))
	id := fmt.Sprint(at(w.must("GET", machines+"m", ""), "properties", "vmId"))
	ctx := context.Background()
	reconcile := func() {
		t.Helper()
		if err := w.provider.Reconcile(ctx); err != nil {
			t.Fatal(err)
		}
	}
	starts := func() int { _, n, _, _ := w.runtime.Machine(id); return n }
	w.runtime.Crash(id)
	if got := powerOf(t, w, "m"); got != "starting" {
		t.Errorf("crashed: %s", got)
	}
	reconcile()
	if got := powerOf(t, w, "m"); got != "running" || starts() != 2 {
		t.Errorf("after a crash: %s, %d starts", got, starts())
	}
	w.runtime.Crash(id) // at once again: it has to wait
	reconcile()
	if starts() != 2 {
		t.Errorf("a machine that does not stay up was started again at once")
	}
	w.provider.forgive(id)
	reconcile()
	w.runtime.Shutdown(id)
	reconcile()
	if got := powerOf(t, w, "m"); got != "stopped" || starts() != 3 || w.nic().Live != "" {
		t.Errorf("after the guest's own end: %s, %d starts, interface %+v", got, starts(), w.nic())
	}
	reconcile()
	w.must("POST", machines+"m/start", "")
	// A process without a document, and a process that nobody wants.
	orphan, _, _, _ := w.runtime.Machine(id)
	orphan.ID = "99999999-9999-9999-9999-999999999999"
	if err := w.runtime.Start(ctx, orphan); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.provider.seeds.Path(orphan.ID), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reconcile()
	if _, err := w.runtime.Status(ctx, orphan.ID); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("orphan: %v", err)
	}
	if _, err := os.Stat(w.provider.seeds.Path(orphan.ID)); !os.IsNotExist(err) {
		t.Errorf("orphan's seed: %v", err)
	}
	// After the loss of everything but documents and disks, as on another start of the host.
	if err := w.runtime.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	w.provider.forgive(id)
	reconcile()
	if got := powerOf(t, w, "m"); got != "running" {
		t.Errorf("after the loss of the process: %s", got)
	}
}

func TestPortNotBoundIsSaid(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t))
	w.network.status = vm.EndpointStatus{Ports: []vm.PortStatus{{Port: 22, Problem: "address already in use", Listener: "sshd (pid 612) on 0.0.0.0:22"}}}
	v := w.must("GET", machines+"m?$expand=instanceView", "")
	raw, err := json.Marshal(at(v, "properties", "instanceView", "statuses"))
	if err != nil || !bytes.Contains(raw, []byte("sshd (pid 612)")) || !bytes.Contains(raw, []byte(`"Warning"`)) {
		t.Errorf("statuses %s", raw)
	}
}
