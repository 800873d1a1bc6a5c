package network

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

func (p *Provider) interfaces() control.Spec[NIC] {
	return control.Spec[NIC]{Type: NICType, Supersede: "PutNetworkInterfaceOperation", Versions: versions(), Tracked: true, Async: async(), Name: checkName,
		Validate: validateNIC, Links: linksOfNIC, Put: p.putNIC, Patch: true, Delete: p.deleteNIC,
		View: func(_ context.Context, r *control.Read[NIC]) error { return fillNIC(r.Tx, r.Resource) }}
}

func validateNIC(r *control.Resource[NIC]) (faults []*arm.Error) {
	if len(r.Properties.Configs) == 0 {
		return []*arm.Error{arm.Errorf(400, "NetworkInterfaceMustHaveAtLeastOneIPConfiguration", "Network interface %s must have at least one IP configuration.", r.ID).At("ipConfigurations")}
	}
	primaries, seen := 0, map[string]bool{}
	for i, c := range r.Properties.Configs {
		at := fmt.Sprintf("properties.ipConfigurations[%d].properties", i)
		q := c.Properties
		if fault := checkName(c.Name); fault != nil {
			faults = append(faults, fault)
		}
		if seen[strings.ToLower(c.Name)] {
			faults = append(faults, arm.Errorf(400, "InvalidRequestFormat", "The IP configuration name '%s' is used more than once.", c.Name))
		}
		seen[strings.ToLower(c.Name)] = true
		if q.Primary != nil && *q.Primary {
			primaries++
		}
		if q.Version == "IPv6" {
			faults = append(faults, arm.Errorf(400, "UnsupportedAddressFamily", "privateIPAddressVersion IPv6 is not supported by this server.").At(at))
		}
		if q.Subnet == nil {
			faults = append(faults, arm.Errorf(400, "IPConfigurationMustHaveSubnet", "The IP configuration %s of network interface %s has no subnet.", c.Name, r.ID).At(at+".subnet"))
		}
		if a, err := netip.ParseAddr(q.Address); q.Address != "" && (err != nil || !a.Is4()) {
			faults = append(faults, arm.Errorf(400, "InvalidIPAddressFormat", "'%.80s' is not an IPv4 address.", q.Address).At(at+".privateIPAddress"))
		}
		if q.Method == "Static" && q.Address == "" {
			faults = append(faults, arm.Errorf(400, "StaticIPAddressMustBeSpecified", "The IP configuration %s has the allocation method Static but no privateIPAddress.", c.Name).At(at+".privateIPAddress"))
		}
		faults = append(faults, reference(q.Subnet, SubnetType, at+".subnet")...)
		faults = append(faults, reference(q.PublicIP, IPType, at+".publicIPAddress")...)
	}
	if primaries > 1 {
		faults = append(faults, arm.Errorf(400, "NetworkInterfaceHasMultiplePrimaryIPConfigurations", "Network interface %s has several primary IP configurations.", r.ID))
	}
	if d := r.Properties.DNS; d != nil {
		faults = append(faults, servers(d.Servers, "dnsSettings.dnsServers")...)
	}
	return append(faults, reference(r.Properties.NSG, NSGType, "networkSecurityGroup")...)
}

func linksOfNIC(old, next *control.Resource[NIC]) []rbac.Link {
	var l links
	if old != nil {
		l.old(old.Properties.NSG)
		for _, c := range old.Properties.Configs {
			l.old(c.Properties.Subnet)
			l.old(c.Properties.PublicIP)
		}
	}
	for _, c := range next.Properties.Configs {
		l.next(c.Properties.Subnet, joinSubnet)
		l.next(c.Properties.PublicIP, joinIP)
	}
	l.next(next.Properties.NSG, joinNSG)
	return l.list
}

func (p *Provider) putNIC(_ context.Context, w *control.Write[NIC]) error {
	n := &w.New.Properties
	stamped(w.New, &n.ResourceGUID)
	w.New.Kind = "Regular"
	var err error
	if n.MAC == "" {
		if n.MAC, err = freeMAC(w.Tx, n.ResourceGUID); err != nil {
			return err
		}
	}
	if n.NSG != nil {
		if _, err := resolve[Group](w.Tx, w.ID, w.New.Location, n.NSG); err != nil {
			return err
		}
	}
	before := map[string]Child[IPConfig]{}
	if w.Old != nil {
		for _, c := range w.Old.Properties.Configs {
			before[strings.ToLower(c.Name)] = c
		}
	}
	hasPrimary := n.primary().Primary != nil && *n.primary().Primary
	own := map[netip.Addr]bool{} // addresses given to this interface by this write
	network := ""
	for i := range n.Configs {
		c := &n.Configs[i]
		c.ID = w.ID.Child("ipConfigurations", c.Name).String()
		c.Etag, c.Type = w.New.Etag, NICType+"/ipConfigurations"
		c.Properties.Primary = ptr(hasPrimary && c.Properties.Primary != nil && *c.Properties.Primary || !hasPrimary && i == 0)
		c.Properties.SetState(arm.Succeeded)
		vnet, err := p.place(w, c, before[strings.ToLower(c.Name)].Properties, own)
		if err != nil {
			return err
		}
		if network != "" && network != vnet {
			return arm.Errorf(400, "NetworkInterfaceCannotSpanVirtualNetworks", "All IP configurations of network interface %s must be in one virtual network.", w.ID)
		}
		network = vnet
		if err := p.publish(w, c); err != nil {
			return err
		}
	}
	if err := p.release(w); err != nil {
		return err
	}
	if w.Old != nil && w.Old.Properties.VM != nil && vnetOf(&w.Old.Properties) != network {
		return arm.Errorf(400, "NicCannotChangeVirtualNetwork", "Network interface %s is used by %s and cannot be moved to another virtual network.", w.ID, w.Old.Properties.VM.ID)
	}
	if err := fillNIC(w.Tx, w.New); err != nil {
		return err
	}
	return reapply(w, []*control.Resource[NIC]{w.New})
}

// place gives a configuration its private address and answers the key of its network.
func (p *Provider) place(w *control.Write[NIC], c *Child[IPConfig], old IPConfig, own map[netip.Addr]bool) (string, error) {
	subnet, err := resolve[Subnet](w.Tx, w.ID, "", c.Properties.Subnet)
	if err != nil {
		return "", err
	}
	id := subnet.ParsedID()
	if _, err := resolve[Vnet](w.Tx, w.ID, w.New.Location, &Ref{ID: id.Parent().String()}); err != nil {
		return "", missing(c.Properties.Subnet.ID, w.ID)
	}
	used, err := taken(w.Tx, id, w.ID.String())
	if err != nil {
		return "", err
	}
	for a := range own {
		used[a] = w.ID.String()
	}
	network := subnet.Properties.net()
	wanted := c.Properties.Address
	if c.Properties.Method != "Static" { // what a client sends back of a dynamic address is not a wish
		wanted = ""
		if key(old.Subnet) == id.Key() {
			wanted = old.Address
		}
	}
	a, err := netip.ParseAddr(wanted)
	switch {
	case wanted == "":
		free, ok := private(network, used)
		if !ok {
			return "", arm.Errorf(400, "SubnetIsFull", "Subnet %s with address prefix %s does not have enough capacity for 1 IP addresses.", id.Name(), network)
		}
		a = free
	case err != nil:
		return "", fmt.Errorf("address of %s: %w", c.ID, err)
	case !network.Contains(a):
		return "", arm.Errorf(400, "PrivateIPAddressNotInSubnet", "Private static IP address %s does not belong to the range of subnet prefix %s.", a, network).At("privateIPAddress")
	case !usable(network, a):
		return "", arm.Errorf(400, "PrivateIPAddressInReservedRange", "Private static IP address %s falls within reserved IP range of subnet prefix %s.", a, network).At("privateIPAddress")
	case used[a] != "":
		return "", arm.Errorf(400, "PrivateIPAddressIsAllocated", "IP configuration %s is using the private IP address %s which is already allocated to resource %s.", c.ID, a, used[a]).At("privateIPAddress")
	}
	own[a] = true
	c.Properties.Address = a.String()
	return id.Parent().Key(), nil
}

// publish joins a configuration with its public address: nobody else may have it, and a dynamic one is allocated now.
func (p *Provider) publish(w *control.Write[NIC], c *Child[IPConfig]) error {
	if c.Properties.PublicIP == nil {
		return nil
	}
	ip, err := resolve[PublicIP](w.Tx, w.ID, w.New.Location, c.Properties.PublicIP)
	if err != nil {
		return err
	}
	if err := fillIP(w.Tx, ip); err != nil {
		return err
	}
	if used := ip.Properties.Config; used != nil && !strings.HasPrefix(strings.ToLower(used.ID), w.ID.Key()+"/") {
		return arm.Errorf(400, "PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated to resource %s.", c.ID, ip.ID, used.ID)
	}
	for _, other := range w.New.Properties.Configs {
		if other.Name != c.Name && key(other.Properties.PublicIP) == ip.ParsedID().Key() {
			return arm.Errorf(400, "PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated to resource %s.", c.ID, ip.ID, other.ID)
		}
	}
	if ip.Properties.Address != "" {
		return nil
	}
	if ip.Properties.Address, err = p.allocate(w.Tx, ip.ParsedID()); err != nil {
		return err
	}
	return control.Save(w.Tx, ip)
}

// release takes the address from dynamic public IPs that the interface had and has no longer.
func (p *Provider) release(w *control.Write[NIC]) error {
	if w.Old == nil {
		return nil
	}
	kept := map[string]bool{}
	if w.New != nil {
		for _, c := range w.New.Properties.Configs {
			kept[key(c.Properties.PublicIP)] = true
		}
	}
	return releaseIPs(w.Tx, w.Old, kept)
}

func releaseIPs(tx store.Tx, n *control.Resource[NIC], kept map[string]bool) error {
	for _, c := range n.Properties.Configs {
		if c.Properties.PublicIP == nil || kept[key(c.Properties.PublicIP)] {
			continue
		}
		ip, err := control.Find[PublicIP](tx, c.Properties.PublicIP.ID)
		if err != nil || ip.Properties.Method != "Dynamic" {
			continue // gone already, or its own for good
		}
		ip.Properties.Address = ""
		if err := control.Save(tx, ip); err != nil {
			return err
		}
	}
	return nil
}

// fillNIC completes what an answer shows of an interface.
func fillNIC(tx store.Tx, r *control.Resource[NIC]) error {
	n := &r.Properties
	if n.DNS == nil {
		n.DNS = &NICDNS{}
	}
	if n.DNS.Servers == nil {
		n.DNS.Servers = []string{}
	}
	n.DNS.Applied, n.Hosted, n.Taps = []string{}, []string{}, []Ref{}
	if len(n.Configs) == 0 || n.DNS.Suffix != "" {
		return nil
	}
	if vnet, err := control.Find[Vnet](tx, vnetOf(n)); err == nil {
		n.DNS.Suffix = suffix(vnet.Properties.ResourceGUID)
	}
	return nil
}

// vnetOf is the key of the network that an interface is in.
func vnetOf(n *NIC) string {
	if len(n.Configs) == 0 || n.Configs[0].Properties.Subnet == nil {
		return ""
	}
	id, err := arm.ParseID(n.Configs[0].Properties.Subnet.ID)
	if err != nil {
		return ""
	}
	return id.Parent().Key()
}

func (p *Provider) deleteNIC(_ context.Context, w *control.Write[NIC]) error {
	if v := w.Old.Properties.VM; v != nil {
		return arm.Errorf(400, "NicInUse", "Network Interface %s is used by existing resource %s. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", w.ID, v.ID)
	}
	if err := p.release(w); err != nil {
		return err
	}
	return reapply(w, nil)
}
