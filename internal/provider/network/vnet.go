package network

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const (
	joinSubnet = "Microsoft.Network/virtualNetworks/subnets/join/action"
	joinNSG    = "Microsoft.Network/networkSecurityGroups/join/action"
	joinIP     = "Microsoft.Network/publicIPAddresses/join/action"
)

func (p *Provider) vnets() control.Spec[Vnet] {
	return control.Spec[Vnet]{Type: VnetType, Supersede: "PutVirtualNetworkOperation", Versions: versions(), Tracked: true, Async: async(), Name: checkName,
		Validate: validateVnet, Links: linksOfVnet, Put: p.putVnet, Patch: true, Delete: p.deleteVnet, View: viewVnet}
}

func validateVnet(r *control.Resource[Vnet]) []*arm.Error {
	if r.Properties.AddressSpace == nil || len(r.Properties.AddressSpace.Prefixes) == 0 {
		return []*arm.Error{arm.Errorf(400, "InvalidRequestFormat", "The address space of virtual network '%s' must have at least one prefix.", r.Name).At("addressSpace")}
	}
	space, faults := prefixes(r.Properties.AddressSpace.Prefixes, r.ID, "addressSpace.addressPrefixes")
	for i, a := range space {
		for _, b := range space[:i] {
			if a.Overlaps(b) {
				faults = append(faults, arm.Errorf(400, "NetcfgInvalidVirtualNetworkSite", "The address prefixes %s and %s of virtual network '%s' overlap.", b, a, r.Name).At("addressSpace.addressPrefixes"))
			}
		}
	}
	faults = append(faults, promised(r.Properties.Unknown, "ddosProtectionPlan", "encryption.enabled")...)
	if r.Properties.DDoS {
		faults = append(faults, arm.Errorf(400, "InvalidParameter", "'enableDdosProtection' is not supported by this server.").At("enableDdosProtection"))
	}
	if o := r.Properties.DHCPOptions; o != nil {
		faults = append(faults, servers(o.DNSServers, "dhcpOptions.dnsServers")...)
	}
	var list []named
	for i := range r.Properties.Subnets {
		c := &r.Properties.Subnets[i]
		if fault := checkName(c.Name); fault != nil {
			faults = append(faults, fault.At("subnets"))
		}
		more := validateSubnet(c.Name, &c.Properties)
		if faults = append(faults, more...); len(more) == 0 {
			list = append(list, named{c.Name, c.Properties.net()})
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return fits(r.Name, space, list)
}

func servers(list []string, at string) (faults []*arm.Error) {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
			faults = append(faults, arm.Errorf(400, "InvalidIPAddressFormat", "'%.80s' is not an IPv4 address.", s).At(at))
		}
	}
	return faults
}

func linksOfVnet(old, next *control.Resource[Vnet]) []rbac.Link {
	var l links
	if old != nil {
		for _, c := range old.Properties.Subnets {
			l.old(c.Properties.NSG)
		}
	}
	for _, c := range next.Properties.Subnets {
		l.next(c.Properties.NSG, joinNSG)
	}
	return l.list
}

func (p *Provider) putVnet(_ context.Context, w *control.Write[Vnet]) error {
	stamped(w.New, &w.New.Properties.ResourceGUID)
	var err error
	if sent(w.Body, "subnets") {
		err = p.replaceSubnets(w)
	} else {
		err = keptFit(w)
	}
	if err != nil {
		return err
	}
	if err := fillVnet(w.Tx, w.New); err != nil {
		return err
	}
	nics, err := holders(w.Tx, "vnet:"+w.ID.Key())
	if err != nil {
		return err
	}
	return reapply(w, nics)
}

// keptFit checks that subnets which a PUT leaves alone still lie in the space.
func keptFit(w *control.Write[Vnet]) error {
	kept, err := children[Subnet](w.Tx, w.ID, SubnetType)
	if err != nil {
		return err
	}
	var list []named
	for _, s := range kept {
		list = append(list, named{s.Name, s.Properties.net()})
	}
	space, _ := prefixes(w.New.Properties.AddressSpace.Prefixes, "", "")
	return arm.Join(fits(w.ID.Name(), space, list))
}

// replaceSubnets makes the network's subnets those of the body: others go, unless they are in use.
func (p *Provider) replaceSubnets(w *control.Write[Vnet]) error {
	current, err := children[Subnet](w.Tx, w.ID, SubnetType)
	if err != nil {
		return err
	}
	before := map[string]*control.Resource[Subnet]{}
	for _, s := range current {
		before[strings.ToLower(s.Name)] = s
	}
	for _, c := range w.New.Properties.Subnets {
		id := w.ID.Child("subnets", c.Name)
		s := before[strings.ToLower(c.Name)]
		delete(before, strings.ToLower(c.Name))
		if s == nil {
			s = control.Make[Subnet](id, "", w.Now)
		} else if err := alive(s); err != nil {
			return err
		} else if err := keepsPrefix(w.Tx, s, &c.Properties); err != nil {
			return err
		}
		was := s.Properties
		s.Properties = c.Properties
		if err := checkSubnetNSG(w.Tx, id, w.New.Location, &s.Properties); err != nil {
			return err
		}
		stamped(s, nil)
		s.SetState(arm.Succeeded)
		if err := changeable(w.Tx, &was, s); err != nil {
			return err
		}
		if err := control.Save(w.Tx, s); err != nil {
			return err
		}
	}
	for _, s := range before {
		if err := removable(w.Tx, s.ParsedID()); err != nil {
			return err
		}
		if err := dropSubnet(w.Tx, s.ParsedID()); err != nil {
			return err
		}
	}
	return nil
}

// fillVnet puts the subnets' own documents into the answer.
func fillVnet(tx store.Tx, r *control.Resource[Vnet]) error {
	list, err := children[Subnet](tx, r.ParsedID(), SubnetType)
	if err != nil {
		return err
	}
	r.Properties.Subnets = []Child[Subnet]{}
	for _, s := range list {
		if err := fillSubnet(tx, s); err != nil {
			return err
		}
		r.Properties.Subnets = append(r.Properties.Subnets, inline(s))
	}
	if r.Properties.Peerings == nil {
		r.Properties.Peerings = []Ref{}
	}
	return nil
}

func viewVnet(_ context.Context, r *control.Read[Vnet]) error { return fillVnet(r.Tx, r.Resource) }

func (p *Provider) deleteVnet(_ context.Context, w *control.Write[Vnet]) error {
	list, err := children[Subnet](w.Tx, w.ID, SubnetType)
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := dropSubnet(w.Tx, s.ParsedID()); err != nil {
			return err
		}
	}
	return reapply(w, nil)
}

func (p *Provider) subnets() control.Spec[Subnet] {
	return control.Spec[Subnet]{Type: SubnetType, Supersede: "PutSubnetOperation", Versions: versions(), Async: async(), Name: checkName,
		Validate: func(r *control.Resource[Subnet]) []*arm.Error { return validateSubnet(r.Name, &r.Properties) },
		Links: func(old, next *control.Resource[Subnet]) []rbac.Link {
			var l links
			if old != nil {
				l.old(old.Properties.NSG)
			}
			l.next(next.Properties.NSG, joinNSG)
			return l.list
		},
		Put:    p.putSubnet,
		Delete: deleteSubnet,
		View:   func(_ context.Context, r *control.Read[Subnet]) error { return fillSubnet(r.Tx, r.Resource) }}
}

func validateSubnet(name string, s *Subnet) []*arm.Error {
	switch {
	case s.cidr() == "":
		return []*arm.Error{arm.Errorf(400, "InvalidRequestFormat", "Subnet '%s' has no addressPrefix.", name).At("addressPrefix")}
	case len(s.Prefixes) > 1:
		return []*arm.Error{arm.Errorf(400, "UnsupportedAddressFamily", "Subnet '%s' has several address prefixes, which this server does not support.", name).At("addressPrefixes")}
	}
	_, faults := prefixes([]string{s.cidr()}, name, "addressPrefix")
	faults = append(faults, promised(s.Unknown, "natGateway", "routeTable")...)
	return append(faults, reference(s.NSG, NSGType, "networkSecurityGroup")...)
}

func (p *Provider) putSubnet(_ context.Context, w *control.Write[Subnet]) error {
	parent, err := control.Get[Vnet](w.Tx, w.ID.Parent())
	if err == nil {
		err = alive(parent)
	}
	if err != nil {
		return err
	}
	w.Location = parent.Location
	if err := checkSubnetNSG(w.Tx, w.ID, parent.Location, &w.New.Properties); err != nil {
		return err
	}
	siblings, err := children[Subnet](w.Tx, w.ID.Parent(), SubnetType)
	if err != nil {
		return err
	}
	var list []named
	for _, s := range siblings {
		if !strings.EqualFold(s.Name, w.ID.Name()) {
			list = append(list, named{s.Name, s.Properties.net()})
		}
	}
	list = append(list, named{w.ID.Name(), w.New.Properties.net()})
	space, _ := prefixes(parent.Properties.AddressSpace.Prefixes, "", "")
	if err := arm.Join(fits(parent.Name, space, list)); err != nil {
		return err
	}
	if w.Old != nil {
		if err := keepsPrefix(w.Tx, w.Old, &w.New.Properties); err != nil {
			return err
		}
	}
	stamped(w.New, nil)
	nics, err := holders(w.Tx, "subnet:"+w.ID.Key())
	if err != nil {
		return err
	}
	return reapply(w, nics)
}

// keepsPrefix refuses another prefix for a subnet in use.
func keepsPrefix(tx store.Tx, s *control.Resource[Subnet], next *Subnet) error {
	if s.Properties.net() == next.net() {
		return nil
	}
	nics, err := holders(tx, "subnet:"+s.ParsedID().Key())
	if err != nil || len(nics) == 0 {
		return err
	}
	return arm.Errorf(400, "InUsePrefixCannotBeDeleted", "IpPrefix %s on Subnet %s has active allocations and cannot be deleted.", s.Properties.net(), s.Name)
}

func checkSubnetNSG(tx store.Tx, id arm.ID, location string, s *Subnet) error {
	if s.NSG == nil {
		return nil
	}
	_, err := resolve[Group](tx, id, location, s.NSG)
	return err
}

func deleteSubnet(_ context.Context, w *control.Write[Subnet]) error {
	parent, err := control.Get[Vnet](w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	w.Location = parent.Location
	if err := unused(w.Tx, w.ID); err != nil {
		return err
	}
	return reapply(w, nil)
}

// dropSubnet removes a subnet's document unless it is in use.
func dropSubnet(tx store.Tx, id arm.ID) error {
	if err := unused(tx, id); err != nil {
		return err
	}
	return control.Remove(tx, id)
}

// unused refuses to take away a subnet that an interface is in.
func unused(tx store.Tx, id arm.ID) error {
	nics, err := holders(tx, "subnet:"+id.Key())
	if err != nil {
		return err
	}
	for _, n := range nics {
		for _, c := range n.Properties.Configs {
			if key(c.Properties.Subnet) == id.Key() {
				return arm.Errorf(400, "InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.", id.Name(), c.ID)
			}
		}
	}
	return nil
}

// fillSubnet names the configurations that use the subnet.
func fillSubnet(tx store.Tx, s *control.Resource[Subnet]) error {
	nics, err := holders(tx, "subnet:"+s.ParsedID().Key())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.Properties.IPConfigurations = nil
	for _, n := range nics {
		for _, c := range n.Properties.Configs {
			if key(c.Properties.Subnet) == s.ParsedID().Key() {
				s.Properties.IPConfigurations = append(s.Properties.IPConfigurations, Ref{ID: c.ID})
			}
		}
	}
	if s.Properties.Delegations == nil {
		s.Properties.Delegations = []Ref{}
	}
	return nil
}
