package network

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// Dial opens a connection to a port of a running machine, by its public address, or by its private one when that is
// clear without saying the network. The security rules decide as for a connection from the Internet.
func (p *Provider) Dial(ctx context.Context, host, port string) (net.Conn, error) {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return nil, arm.Errorf(400, "InvalidParameter", "'%s' is not an IP address.", host).At("target")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, arm.Errorf(400, "InvalidParameter", "'%s' is not a port.", port).At("target")
	}
	network, nic, err := p.locate(ctx, address)
	if err != nil {
		return nil, err
	}
	return p.Networks.Dial(ctx, network, nic, uint16(number))
}

// locate finds the network and the interface that have an address.
func (p *Provider) locate(ctx context.Context, address netip.Addr) (network, nic string, err error) {
	found := 0
	err = p.store.View(ctx, func(tx store.Tx) error {
		live, err := control.Select[NIC](tx, store.Query{Kind: control.Kind(NICType), All: []string{"live"}})
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, n := range live {
			vnet := vnetOf(&n.Properties)
			if seen[strings.ToLower(vnet)] {
				continue
			}
			seen[strings.ToLower(vnet)] = true
			id, err := arm.ParseID(vnet)
			if err != nil {
				return err
			}
			desired, err := p.Desired(tx, id)
			if err != nil {
				return err
			}
			for _, e := range desired.Endpoints {
				if e.IP == address || e.Public != nil && e.Public.Addr == address {
					network, nic = desired.ID, e.NIC
					found++
				}
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return "", "", err
	case found == 0:
		return "", "", arm.Errorf(404, "NotFound", "No running machine has the address %s.", address)
	case found > 1:
		return "", "", arm.Errorf(409, "Conflict", "%d running machines have the address %s, in different virtual networks. Use a public address.", found, address)
	}
	return network, nic, nil
}
