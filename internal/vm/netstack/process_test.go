package netstack

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
	"vitrine/internal/vm/vmtest"
)

func TestContract(t *testing.T) {
	vmtest.RunNetworks(t, func(t *testing.T) vm.Networks { return openNetworks(t, t.TempDir()) })
}

func processOf(t *testing.T, n *Networks, id string) proc.Identity {
	t.Helper()
	var p proc.Identity
	if err := proc.ReadState(filepath.Join(n.dir(id), "process.json"), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProcess: a network with one guest, in a data folder with a long name, whose process is killed.
func TestProcess(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("long/", 25))
	n := openNetworks(t, data)
	t.Cleanup(func() { _ = os.RemoveAll(n.sockets) })
	addr := publicAddr()
	e := vm.Endpoint{NIC: uuid.NewString(), Hostname: "g", MAC: "52:54:00:00:00:0a", IP: netip.MustParseAddr("10.1.0.4"),
		Public: &vm.PublicIP{Addr: addr}, Groups: []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{allowIn("web", 100, "8080")}}}}
	network := vm.Network{ID: uuid.NewString(), Prefixes: prefixes("10.1.0.0/16"), Subnets: prefixes("10.1.0.0/24"),
		DNSSuffix: "p.test", Endpoints: []vm.Endpoint{e}}
	newGuest(t, e, network.Subnets[0], n.sockets).echo(t, 8080)
	t.Cleanup(func() { _ = n.Remove(context.WithoutCancel(t.Context()), network.ID) })
	if err := n.Ensure(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	reach := func(what string) {
		t.Helper()
		began := time.Now()
		eventually(t, what, func() bool {
			conn, err := net.Dial("tcp", addr.String()+":8080")
			return talk(t, conn, err) == "g:hello"
		})
		t.Logf("%s after %s", what, time.Since(began))
	}
	reach("guest reached")
	conn, err := n.Dial(t.Context(), network.ID, strings.ToUpper(e.NIC), 8080)
	if got := talk(t, conn, err); got != "g:hello" {
		t.Errorf("by Dial: %q", got)
	}
	if conn, err := n.Dial(t.Context(), network.ID, e.NIC, 23); err == nil || !strings.Contains(err.Error(), "DenyAllInBound") {
		t.Errorf("Dial of a closed port: %v, %v", conn, err)
	}
	first := processOf(t, n, network.ID)
	if err := proc.Signal(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := proc.Wait(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := openNetworks(t, data) // as another server would
	if err := second.Ensure(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	reach("guest reached again")
	if err := second.Remove(t.Context(), network.ID); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", addr.String()+":8080"); err == nil {
		c.Close()
		t.Error("the public IP outlives its network")
	}
}

// TestDataGone: a process does not outlive the folder that it serves.
func TestDataGone(t *testing.T) {
	n := openNetworks(t, t.TempDir())
	network := vm.Network{ID: uuid.NewString(), Subnets: prefixes("10.1.0.0/24"), DNSSuffix: "p.test"}
	if err := n.Ensure(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	p := processOf(t, n, network.ID)
	if err := os.RemoveAll(n.dir(network.ID)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := proc.Wait(ctx, p); err != nil {
		_ = proc.Signal(p, syscall.SIGKILL)
		t.Fatal(err)
	}
}
