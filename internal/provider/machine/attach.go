package machine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/provider/machine/size"
	"vitrine/internal/store"
)

// exchange is the body of attachDetachDataDisks.
type exchange struct {
	Attach []struct {
		ID           string          `json:"diskId" arm:"required"`
		LUN          *int            `json:"lun"`
		Caching      string          `json:"caching" arm:"enum=None|ReadOnly|ReadWrite"`
		DeleteOption string          `json:"deleteOption" arm:"enum=Detach|Delete"`
		Unknown      armjson.Unknown `json:"-"`
	} `json:"dataDisksToAttach"`
	Detach []struct {
		ID      string          `json:"diskId" arm:"required"`
		Option  string          `json:"detachOption" arm:"enum=ForceDetach"`
		Unknown armjson.Unknown `json:"-"`
	} `json:"dataDisksToDetach"`
	Unknown armjson.Unknown `json:"-"`
}

// maxExchange bounds a request: no size takes more data disks.
const maxExchange = 64

// exchangeDisks attaches and detaches data disks, as "az vm disk attach" does. It answers the storage profile.
func (p *Provider) exchangeDisks(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "attachDetachDataDisks"); err != nil {
		return err
	}
	var q exchange
	faults := armjson.Decode(a.Body, &q, "")
	if n := max(len(q.Attach), len(q.Detach)); n > maxExchange {
		return invalid("dataDisksToAttach", "The request attaches or detaches %d disks; at most %d are allowed.", n, maxExchange)
	}
	if len(faults) == 0 && len(q.Attach)+len(q.Detach) == 0 {
		faults = append(faults, invalid("dataDisksToAttach", "At least one of 'dataDisksToAttach' and 'dataDisksToDetach' must name a disk."))
	}
	if err := arm.Join(faults); err != nil {
		return err
	}
	before := *a.New
	storage := *before.Properties.Storage
	a.New.Properties.Storage = &storage
	a.Old = &before
	var err error
	if storage.Data, err = q.apply(storage.Data); err != nil {
		return err
	}
	if err := arm.Join(validateStorage(&storage)); err != nil {
		return err
	}
	if err := p.rbac.Linked(a.Tx, a.Caller, a.ID, Type+"/attachDetachDataDisks/action", links(a.Old, a.New)); err != nil {
		return err
	}
	if err := p.updateDisks(&a.Write, before.Properties.Own.Desired != Running); err != nil {
		return err
	}
	if before.Properties.Own.Desired == Deallocated {
		if err := p.occupy(a.Tx, a.New, false); err != nil {
			return err
		}
	}
	complete(&a.New.Properties)
	a.Output, a.Changed = a.New.Properties.Storage, true
	return nil
}

// apply gives the list of data disks after the exchange. A disk without LUN gets the first that is free.
func (q *exchange) apply(had []DataDisk) ([]DataDisk, error) {
	list := slices.Clone(had)
	for _, d := range q.Detach {
		i := slices.IndexFunc(list, func(x DataDisk) bool { return x.Managed.existing() && strings.EqualFold(x.Managed.ID, d.ID) })
		if i < 0 {
			return nil, invalid("dataDisksToDetach.diskId", "The disk '%.300s' is not a data disk of this virtual machine.", d.ID)
		}
		list = slices.Delete(list, i, i+1)
	}
	for _, d := range q.Attach {
		lun := d.LUN
		if lun == nil {
			lun = new(free(list))
		}
		list = append(list, DataDisk{LUN: lun, CreateOption: "Attach", Caching: cmp.Or(d.Caching, "None"), DeleteOption: cmp.Or(d.DeleteOption, "Detach"), Managed: &ManagedDisk{ID: d.ID}})
	}
	return list, nil
}

func free(list []DataDisk) int {
	for lun := 0; ; lun++ {
		if !slices.ContainsFunc(list, func(d DataDisk) bool { return d.LUN != nil && *d.LUN == lun }) {
			return lun
		}
	}
}

// checkCount refuses more data disks than the size takes (wording: Azure's).
func checkCount(n *Properties) error {
	s, ok := size.Of(n.Hardware.Size)
	if !ok || len(n.Storage.Data) <= s.DataDisks {
		return nil
	}
	return arm.Errorf(409, "OperationNotAllowed", "The maximum number of data disks allowed to be attached to a VM of this size is %d.", s.DataDisks).At("dataDisks")
}

// refresh tells the sizes and classes that the machine's disks have now: they are resized by themselves.
func (p *Provider) refresh(tx store.Tx, n *Properties) error {
	one := func(m *ManagedDisk, sizeGB *int) error {
		if !m.existing() {
			return nil
		}
		id, err := arm.ParseID(m.ID)
		if err != nil {
			return fmt.Errorf("disk of a machine: %w", err)
		}
		info, err := p.Disks.Info(tx, id)
		if absent(err) {
			return nil
		}
		if err == nil && info.SizeGB != 0 {
			*sizeGB, m.SKU = info.SizeGB, info.SKU
		}
		return err
	}
	if n.Storage == nil || n.Storage.OSDisk == nil {
		return nil
	}
	if err := one(n.Storage.OSDisk.Managed, &n.Storage.OSDisk.SizeGB); err != nil {
		return err
	}
	for i := range n.Storage.Data {
		if err := one(n.Storage.Data[i].Managed, &n.Storage.Data[i].SizeGB); err != nil {
			return err
		}
	}
	return nil
}
