// Package network is the provider Microsoft.Network: virtual networks and their subnets, network security groups and
// their rules, public IP addresses and network interfaces.
//
// It owns these resources, the allocation of addresses, and the translation of documents into the desired state of a
// virtual network. It does not move packets: vm.Networks does, as one process per network. It does not know machines;
// whoever runs one claims an interface with Attach and puts it on the wire with Activate.
//
//	PUT NIC, NSG, rule, subnet ─▶ documents ─ Desired (pure) ─▶ vm.Network ─ Apply ─▶ vm.Networks.Ensure
//	machine: Attach ─▶ NIC.virtualMachine      Activate ─▶ the NIC is part of Desired
//
// Subnets and rules are documents of their own, whether they came inside their parent's PUT or by a path of their own;
// a parent's answer is put together from them. Every write is long-running; one that no network in use must be told ends at once.
package network
