package network

import (
	"context"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

func (p *Provider) groups() control.Spec[Group] {
	return control.Spec[Group]{Type: NSGType, Supersede: "PutNetworkSecurityGroupOperation", Versions: versions(), Tracked: true, Async: async(), Name: checkName,
		Validate: validateGroup, Put: p.putGroup, Patch: true, Delete: deleteGroup,
		View: func(_ context.Context, r *control.Read[Group]) error { return fillGroup(r.Tx, r.Resource) }}
}

func validateGroup(r *control.Resource[Group]) (faults []*arm.Error) {
	var seen []Child[Rule]
	for i := range r.Properties.Rules {
		c := &r.Properties.Rules[i]
		if fault := checkName(c.Name); fault != nil {
			faults = append(faults, fault.At("securityRules"))
		}
		faults = append(faults, validateRule(c.Name, &c.Properties)...)
		if fault := clash(c.Name, &c.Properties, seen); fault != nil {
			faults = append(faults, fault)
		}
		seen = append(seen, *c)
	}
	return faults
}

// clash finds a rule of the same direction and priority.
func clash(name string, r *Rule, others []Child[Rule]) *arm.Error {
	for _, o := range others {
		switch {
		case strings.EqualFold(o.Name, name):
			return arm.Errorf(400, "InvalidRequestFormat", "The security rule name '%s' is used more than once.", name)
		case o.Properties.Priority == r.Priority && o.Properties.Direction == r.Direction:
			return arm.Errorf(400, "SecurityRuleConflict", "Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction.", name, o.Name)
		}
	}
	return nil
}

func validateRule(name string, r *Rule) (faults []*arm.Error) {
	fault := func(code, at, format string, args ...any) {
		faults = append(faults, arm.Errorf(400, code, format, args...).At(at))
	}
	if r.Priority < 100 || r.Priority > 4096 {
		fault("SecurityRuleInvalidPriority", "priority", "Security rule has invalid Priority. Value provided: %d. Priority must be between 100 and 4096 for security rule %s.", r.Priority, name)
	}
	if len(r.SourceGroups)+len(r.DestinationGroups) > 0 {
		fault("SecurityRuleUnsupported", "sourceApplicationSecurityGroups", "Security rule %s names application security groups, which this server does not support.", name)
	}
	for _, m := range []struct {
		at, one string
		many    []string
		check   func(string) bool
		code    string
	}{
		{"sourcePortRange", r.SourcePort, r.SourcePorts, isPorts, "SecurityRuleInvalidPortRange"},
		{"destinationPortRange", r.DestinationPort, r.DestinationPorts, isPorts, "SecurityRuleInvalidPortRange"},
		{"sourceAddressPrefix", r.SourceAddress, r.SourceAddresses, isAddress, "SecurityRuleInvalidAddressPrefix"},
		{"destinationAddressPrefix", r.DestinationAddress, r.DestinationAdresses, isAddress, "SecurityRuleInvalidAddressPrefix"},
	} {
		if m.one == "" && len(m.many) == 0 {
			fault("SecurityRuleParameterNotSpecified", m.at, "Required security rule parameters are missing for security rule with Id: %s. Security rule must specify either %s or %sS.", name, m.at, m.at)
		}
		for _, v := range listed(m.one, m.many) {
			if !m.check(v) {
				fault(m.code, m.at, "Security rule has invalid %s. Value provided: %.80s. Security rule %s allows ports from 0 to 65535, ranges of them and '*', and for addresses prefixes, '*', Internet, VirtualNetwork and AzureLoadBalancer; other service tags are not supported by this server.", m.at, v, name)
			}
		}
	}
	return faults
}

func listed(one string, many []string) []string {
	if one == "" {
		return many
	}
	return append([]string{one}, many...)
}

func isPorts(s string) bool { _, _, err := vm.PortRange(s); return err == nil }

func isAddress(s string) bool {
	return vm.Rule{Priority: 100, Direction: "Inbound", Access: "Deny", Protocol: "*", Sources: []string{s}}.Validate() == nil
}

// wire is the rule in the words of the port.
func (r *Rule) wire(name string) vm.Rule {
	return vm.Rule{Name: name, Priority: r.Priority, Direction: r.Direction, Access: r.Access, Protocol: r.Protocol,
		Sources: listed(r.SourceAddress, r.SourceAddresses), SourcePorts: listed(r.SourcePort, r.SourcePorts),
		Destinations: listed(r.DestinationAddress, r.DestinationAdresses), Ports: listed(r.DestinationPort, r.DestinationPorts)}
}

func (p *Provider) putGroup(_ context.Context, w *control.Write[Group]) error {
	stamped(w.New, &w.New.Properties.ResourceGUID)
	if sent(w.Body, "securityRules") {
		if err := replaceRules(w); err != nil {
			return err
		}
	}
	if err := fillGroup(w.Tx, w.New); err != nil {
		return err
	}
	nics, err := guarded(w.Tx, w.ID)
	if err != nil {
		return err
	}
	return reapply(w, nics)
}

// replaceRules makes the group's rules those of the body.
func replaceRules(w *control.Write[Group]) error {
	current, err := children[Rule](w.Tx, w.ID, RuleType)
	if err != nil {
		return err
	}
	before := map[string]*control.Resource[Rule]{}
	for _, r := range current {
		before[strings.ToLower(r.Name)] = r
	}
	for _, c := range w.New.Properties.Rules {
		r := before[strings.ToLower(c.Name)]
		delete(before, strings.ToLower(c.Name))
		if r == nil {
			r = control.Make[Rule](w.ID.Child("securityRules", c.Name), "", w.Now)
		} else if err := alive(r); err != nil {
			return err
		}
		was := r.Properties
		r.Properties = c.Properties
		stamped(r, nil)
		r.SetState(arm.Succeeded)
		if err := changeable(w.Tx, &was, r); err != nil {
			return err
		}
		if err := control.Save(w.Tx, r); err != nil {
			return err
		}
	}
	for _, r := range before {
		if err := removable(w.Tx, r.ParsedID()); err != nil {
			return err
		}
		if err := control.Remove(w.Tx, r.ParsedID()); err != nil {
			return err
		}
	}
	return nil
}

// guarded finds the interfaces that a group stands before: its own and those of its subnets.
func guarded(tx store.Tx, group arm.ID) ([]*control.Resource[NIC], error) {
	nics, err := holders(tx, "nsg:"+group.Key())
	if err != nil {
		return nil, err
	}
	nets, err := control.Select[Subnet](tx, store.Query{Kind: control.Kind(SubnetType), All: []string{"nsg:" + group.Key()}})
	if err != nil {
		return nil, err
	}
	for _, s := range nets {
		more, err := holders(tx, "subnet:"+s.ParsedID().Key())
		if err != nil {
			return nil, err
		}
		nics = append(nics, more...)
	}
	return nics, nil
}

// fillGroup puts the rules' own documents, the default rules and the holders into the answer.
func fillGroup(tx store.Tx, g *control.Resource[Group]) error {
	id := g.ParsedID()
	rules, err := children[Rule](tx, id, RuleType)
	if err != nil {
		return err
	}
	g.Properties.Rules = []Child[Rule]{}
	for _, r := range rules {
		fillRule(&r.Properties)
		g.Properties.Rules = append(g.Properties.Rules, inline(r))
	}
	g.Properties.Defaults = defaults(g)
	g.Properties.NICs, g.Properties.Subnets = nil, nil
	nics, err := holders(tx, "nsg:"+id.Key())
	if err != nil {
		return err
	}
	for _, n := range nics {
		g.Properties.NICs = append(g.Properties.NICs, Ref{ID: n.ID})
	}
	nets, err := control.Select[Subnet](tx, store.Query{Kind: control.Kind(SubnetType), All: []string{"nsg:" + id.Key()}})
	for _, s := range nets {
		g.Properties.Subnets = append(g.Properties.Subnets, Ref{ID: s.ID})
	}
	return err
}

// defaults are the six rules behind every group's own
// (learn.microsoft.com/azure/virtual-network/network-security-groups-overview, "Default security rules").
func defaults(g *control.Resource[Group]) []Child[Rule] {
	rule := func(name, text string, prio int, dir, access, src, dst string) Child[Rule] {
		r := Rule{Provisioning: arm.Provisioning{ProvisioningState: arm.Succeeded}, Description: text, Protocol: "*", SourcePort: "*",
			DestinationPort: "*", SourceAddress: src, DestinationAddress: dst, Access: access, Priority: prio, Direction: dir}
		fillRule(&r)
		return Child[Rule]{Name: name, ID: g.ID + "/defaultSecurityRules/" + name, Etag: g.Etag, Type: NSGType + "/defaultSecurityRules", Properties: r}
	}
	return []Child[Rule]{
		rule("AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
		rule("AllowAzureLoadBalancerInBound", "Allow inbound traffic from azure load balancer", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
		rule("DenyAllInBound", "Deny all inbound traffic", 65500, "Inbound", "Deny", "*", "*"),
		rule("AllowVnetOutBound", "Allow outbound traffic from all VMs to all VMs in VNET", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
		rule("AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", 65001, "Outbound", "Allow", "*", "Internet"),
		rule("DenyAllOutBound", "Deny all outbound traffic", 65500, "Outbound", "Deny", "*", "*"),
	}
}

// fillRule gives the lists that Azure always shows.
func fillRule(r *Rule) {
	for _, l := range []*[]string{&r.SourcePorts, &r.DestinationPorts, &r.SourceAddresses, &r.DestinationAdresses} {
		if *l == nil {
			*l = []string{}
		}
	}
}

func deleteGroup(_ context.Context, w *control.Write[Group]) error {
	if err := fillGroup(w.Tx, w.Old); err != nil {
		return err
	}
	var users []string
	for _, r := range slices.Concat(w.Old.Properties.NICs, w.Old.Properties.Subnets) {
		users = append(users, r.ID)
	}
	if len(users) > 0 {
		return arm.Errorf(400, "InUseNetworkSecurityGroupCannotBeDeleted", "Network security group %s cannot be deleted because it is in use by the following resources: %s. In order to delete the Network security group, remove the association with the resource(s). To learn how to do this, see aka.ms/deletensg.", w.ID, strings.Join(users, ","))
	}
	for _, r := range w.Old.Properties.Rules {
		if err := control.Remove(w.Tx, w.ID.Child("securityRules", r.Name)); err != nil {
			return err
		}
	}
	return reapply(w, nil)
}

func (p *Provider) rules() control.Spec[Rule] {
	return control.Spec[Rule]{Type: RuleType, Supersede: "PutSecurityRuleOperation", Versions: versions(), Async: async(), Name: checkName,
		Validate: func(r *control.Resource[Rule]) []*arm.Error { return validateRule(r.Name, &r.Properties) },
		Put:      p.putRule, Delete: p.deleteRule,
		View: func(_ context.Context, r *control.Read[Rule]) error { fillRule(&r.Resource.Properties); return nil }}
}

func (p *Provider) putRule(_ context.Context, w *control.Write[Rule]) error {
	parent, err := control.Get[Group](w.Tx, w.ID.Parent())
	if err == nil {
		err = alive(parent)
	}
	if err != nil {
		return err
	}
	w.Location = parent.Location
	siblings, err := children[Rule](w.Tx, w.ID.Parent(), RuleType)
	if err != nil {
		return err
	}
	var others []Child[Rule]
	for _, s := range siblings {
		if !strings.EqualFold(s.Name, w.ID.Name()) {
			others = append(others, inline(s))
		}
	}
	if fault := clash(w.ID.Name(), &w.New.Properties, others); fault != nil {
		return fault
	}
	stamped(w.New, nil)
	fillRule(&w.New.Properties)
	nics, err := guarded(w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	return reapply(w, nics)
}

func (p *Provider) deleteRule(_ context.Context, w *control.Write[Rule]) error {
	parent, err := control.Get[Group](w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	w.Location = parent.Location
	nics, err := guarded(w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	return reapply(w, nics)
}
