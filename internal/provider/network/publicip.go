package network

import (
	"context"
	"regexp"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

func (p *Provider) addresses() control.Spec[PublicIP] {
	return control.Spec[PublicIP]{Type: IPType, Supersede: "PutPublicIpAddressOperation", Versions: versions(), Tracked: true, Async: async(), Name: checkName,
		Validate: validateIP, Put: p.putIP, Patch: true, Delete: deleteIP,
		View: func(_ context.Context, r *control.Read[PublicIP]) error { return fillIP(r.Tx, r.Resource) }}
}

var label = regexp.MustCompile(`^[a-z][a-z0-9-]{1,61}[a-z0-9]$`)

func validateIP(r *control.Resource[PublicIP]) (faults []*arm.Error) {
	if r.Properties.Version == "IPv6" {
		faults = append(faults, arm.Errorf(400, "UnsupportedAddressFamily", "publicIPAddressVersion IPv6 is not supported by this server.").At("publicIPAddressVersion"))
	}
	if r.SKU != nil && canonSKU(r.SKU.Name) == "" {
		faults = append(faults, arm.Errorf(400, "InvalidParameter", "The value '%.80s' of parameter 'sku.name' is not allowed. Allowed values are: Basic,Standard.", r.SKU.Name).At("sku.name"))
	} else if r.SKU != nil && canonSKU(r.SKU.Name) == "Standard" && r.Properties.Method == "Dynamic" {
		faults = append(faults, arm.Errorf(400, "StandardSkuPublicIPAddressesMustBeStatic", "Standard sku publicIp %s must have AllocationMethod set to Static.", r.ID).At("publicIPAllocationMethod"))
	}
	if d := r.Properties.DNS; d != nil && d.Label != "" && !label.MatchString(d.Label) {
		faults = append(faults, arm.Errorf(400, "InvalidDomainNameLabel", "The domain name label %.80s is invalid. It must conform to the following regular expression: ^[a-z][a-z0-9-]{1,61}[a-z0-9]$.", d.Label).At("dnsSettings.domainNameLabel"))
	}
	return faults
}

func canonSKU(name string) string {
	switch strings.ToLower(name) {
	case "", "basic":
		return "Basic"
	case "standard":
		return "Standard"
	}
	return ""
}

func (p *Provider) putIP(_ context.Context, w *control.Write[PublicIP]) error {
	n := &w.New.Properties
	stamped(w.New, &n.ResourceGUID)
	if w.New.SKU == nil && w.Old != nil {
		w.New.SKU = w.Old.SKU
	}
	if w.New.SKU == nil {
		w.New.SKU = &control.SKU{}
	}
	w.New.SKU.Name, w.New.SKU.Tier = canonSKU(w.New.SKU.Name), "Regional"
	if w.Old != nil && w.Old.SKU != nil && w.Old.SKU.Name != w.New.SKU.Name {
		return arm.Errorf(400, "PublicIPAddressSkuCannotBeChanged", "The sku of public IP address %s cannot be changed from %s to %s.", w.ID, w.Old.SKU.Name, w.New.SKU.Name).At("sku.name")
	}
	if n.Method == "" && w.Old != nil {
		n.Method = w.Old.Properties.Method
	}
	if n.Method == "" {
		n.Method = map[string]string{"Basic": "Dynamic", "Standard": "Static"}[w.New.SKU.Name]
	}
	if n.Idle == 0 {
		n.Idle = 4
	}
	if n.Method == "Static" && n.Address == "" {
		var err error
		if n.Address, err = p.allocate(w.Tx, w.ID); err != nil {
			return err
		}
	}
	if d := n.DNS; d != nil && d.Label != "" {
		d.FQDN = d.Label + "." + w.New.Location + ".cloudapp.azure.com"
	}
	if err := fillIP(w.Tx, w.New); err != nil {
		return err
	}
	return reapply(w, nil) // an address that is in use stays what it is
}

// fillIP names the configuration that has the address.
func fillIP(tx store.Tx, r *control.Resource[PublicIP]) error {
	r.Properties.Config = nil
	r.Properties.IPTags = []Ref{}
	id := r.ParsedID().Key()
	nics, err := holders(tx, "pip:"+id)
	for _, n := range nics {
		for _, c := range n.Properties.Configs {
			if key(c.Properties.PublicIP) == id {
				r.Properties.Config = &Ref{ID: c.ID}
			}
		}
	}
	return err
}

func deleteIP(_ context.Context, w *control.Write[PublicIP]) error {
	if err := fillIP(w.Tx, w.Old); err != nil {
		return err
	}
	if c := w.Old.Properties.Config; c != nil {
		return arm.Errorf(400, "PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s. In order to delete the public IP, disassociate/detach the Public IP address from the resource. To learn how to do this, see aka.ms/deletepublicip.", w.ID, c.ID)
	}
	return reapply(w, nil)
}
