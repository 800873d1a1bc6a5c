package client

import (
	"context"
	"fmt"
	"strings"

	"vitrine/internal/arm"
)

// Machine is a virtual machine as SSH needs to know it.
type Machine struct {
	ID, VMID string
	Address  string // the public one, else the private one
	User     string // its administrator
}

// MachineDoc is what is read here of a virtual machine.
type MachineDoc struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Properties struct {
		VMID      string `json:"vmId"`
		OSProfile struct {
			AdminUsername string `json:"adminUsername"`
		} `json:"osProfile"`
		NetworkProfile struct {
			Interfaces []struct {
				ID string `json:"id"`
			} `json:"networkInterfaces"`
		} `json:"networkProfile"`
	} `json:"properties"`
}

// FindMachine looks for a virtual machine by name in subscriptions, each with a client that may look into it. group
// may be empty. A name that several machines have is an error that lists them.
func FindMachine(ctx context.Context, views map[string]*ARM, name, group string) (Machine, error) {
	var found []MachineDoc
	var through *ARM
	for subscription, a := range views {
		list, err := List[MachineDoc](ctx, a, "/subscriptions/"+subscription+"/providers/Microsoft.Compute/virtualMachines", VersionMachines)
		if err != nil {
			return Machine{}, err
		}
		for _, doc := range list {
			id, err := arm.ParseID(doc.ID)
			if err == nil && strings.EqualFold(doc.Name, name) && (group == "" || strings.EqualFold(id.ResourceGroup, group)) {
				found, through = append(found, doc), a
			}
		}
	}
	switch len(found) {
	case 0:
		return Machine{}, fmt.Errorf("there is no virtual machine %q", name)
	case 1:
		return locate(ctx, through, found[0])
	}
	var ids []string
	for _, doc := range found {
		ids = append(ids, doc.ID)
	}
	return Machine{}, fmt.Errorf("there are %d virtual machines %q; name one by its resource group and subscription:\n  %s", len(found), name, strings.Join(ids, "\n  "))
}

// nicDoc is what is read of a network interface.
type nicDoc struct {
	Properties struct {
		IPConfigurations []struct {
			Properties struct {
				PrivateIPAddress string `json:"privateIPAddress"`
				PublicIPAddress  struct {
					ID string `json:"id"`
				} `json:"publicIPAddress"`
			} `json:"properties"`
		} `json:"ipConfigurations"`
	} `json:"properties"`
}

// locate finds the address of a machine's first interface.
func locate(ctx context.Context, a *ARM, doc MachineDoc) (Machine, error) {
	m := Machine{ID: doc.ID, VMID: doc.Properties.VMID, User: doc.Properties.OSProfile.AdminUsername}
	if len(doc.Properties.NetworkProfile.Interfaces) == 0 {
		return m, fmt.Errorf("the virtual machine %s has no network interface", doc.ID)
	}
	var nic nicDoc
	if err := a.Get(ctx, doc.Properties.NetworkProfile.Interfaces[0].ID, VersionNetwork, &nic); err != nil {
		return m, err
	}
	if len(nic.Properties.IPConfigurations) == 0 {
		return m, fmt.Errorf("the network interface of %s has no address", doc.ID)
	}
	first := nic.Properties.IPConfigurations[0].Properties
	m.Address = first.PrivateIPAddress
	if first.PublicIPAddress.ID == "" {
		return m, nil
	}
	var public struct {
		Properties struct {
			IPAddress string `json:"ipAddress"`
		} `json:"properties"`
	}
	if err := a.Get(ctx, first.PublicIPAddress.ID, VersionNetwork, &public); err != nil {
		return m, err
	}
	if public.Properties.IPAddress != "" {
		m.Address = public.Properties.IPAddress
	}
	return m, nil
}
