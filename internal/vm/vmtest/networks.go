package vmtest

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/uuid"

	"vitrine/internal/vm"
)

// RunNetworks runs the contract of vm.Networks, as far as it needs no guest. open is called once per test.
func RunNetworks(t *testing.T, open func(t *testing.T) vm.Networks) {
	t.Run("Unknown", func(t *testing.T) { unknownNetwork(t, open(t)) })
	t.Run("Lifecycle", func(t *testing.T) { networkLifecycle(t, open(t)) })
	t.Run("Invalid", func(t *testing.T) { invalidNetwork(t, open(t)) })
}

func aNetwork() vm.Network {
	subnet := netip.MustParsePrefix("10.20.0.0/24")
	return vm.Network{ID: uuid.NewString(), Prefixes: []netip.Prefix{subnet}, Subnets: []netip.Prefix{subnet},
		DNSSuffix: "contract.test", Endpoints: []vm.Endpoint{{NIC: uuid.NewString(), Machine: uuid.NewString(),
			MAC: "52:54:00:00:20:04", IP: netip.MustParseAddr("10.20.0.4"), Hostname: "a"}}}
}

func unknownNetwork(t *testing.T, n vm.Networks) {
	ctx, id := limit(t), uuid.NewString()
	_, err := n.Status(ctx, id)
	wantNotFound(t, "Status", err)
	_, err = n.Dial(ctx, id, uuid.NewString(), 22)
	wantNotFound(t, "Dial", err)
	must(t, n.Remove(ctx, id))
}

func networkLifecycle(t *testing.T, n vm.Networks) {
	ctx, net := limit(t), aNetwork()
	t.Cleanup(func() { must(t, n.Remove(context.WithoutCancel(ctx), net.ID)) })
	must(t, n.Ensure(ctx, net))
	must(t, n.Ensure(ctx, net))
	st, err := n.Status(ctx, net.ID)
	if err != nil || st.ID != net.ID || len(st.Endpoints) != 1 || st.Endpoints[0].NIC != net.Endpoints[0].NIC {
		t.Fatalf("%+v, %v", st, err)
	}
	if all, err := n.List(ctx); err != nil || len(all) != 1 || all[0] != net.ID {
		t.Errorf("list %v, %v", all, err)
	}
	if conn, err := n.Dial(ctx, net.ID, net.Endpoints[0].NIC, 22); err == nil {
		conn.Close()
		t.Error("a connection to a machine that does not run")
	}
	net.Endpoints = nil
	must(t, n.Ensure(ctx, net))
	if st, err = n.Status(ctx, net.ID); err != nil || len(st.Endpoints) != 0 {
		t.Errorf("what was not named stays: %+v, %v", st, err)
	}
	must(t, n.Remove(ctx, net.ID))
	must(t, n.Remove(ctx, net.ID))
	if all, err := n.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("list after removal %v, %v", all, err)
	}
	if _, err := n.Status(ctx, net.ID); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("status after removal: %v", err)
	}
}

func invalidNetwork(t *testing.T, n vm.Networks) {
	net := aNetwork()
	net.ID = "../../x"
	if n.Ensure(limit(t), net) == nil {
		t.Error("a path for an ID was accepted")
	}
}
