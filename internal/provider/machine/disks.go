package machine

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/machine/size"
	"vitrine/internal/store"
)

const maxDiskName = 80

// diskName makes a name as Azure does: <vm>_OsDisk_1_<32 hex>, <vm>_disk2_<32 hex>.
func diskName(machine, middle string) string {
	end := "_" + middle + "_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	return machine[:min(len(machine), maxDiskName-len(end))] + end
}

// bringOSDisk writes the document of the OS disk, or takes the one that is brought along.
func (p *Provider) bringOSDisk(w *control.Write[Properties], image Image) error {
	d := w.New.Properties.Storage.OSDisk
	d.OSType = image.OSType
	if d.Caching == "" {
		d.Caching = "ReadWrite"
	}
	if d.CreateOption == "Attach" {
		info, err := p.takeDisk(w, d.Managed.ID)
		if err != nil {
			return err
		}
		id, _ := arm.ParseID(d.Managed.ID)
		d.Name, d.SizeGB, d.Managed.SKU = id.Name(), info.SizeGB, info.SKU
		return nil
	}
	size, ok := image.size(osDisk)
	if !ok {
		return fmt.Errorf("image %s has no OS disk", image.VersionID)
	}
	if err := grows("osDisk.diskSizeGB", &d.SizeGB, size); err != nil {
		return err
	}
	if d.Name == "" {
		d.Name = diskName(w.ID.Name(), "disk1")
	}
	var err error
	d.Managed, err = p.makeDisk(w, d.Managed, NewDisk{ID: w.ID.Group().Child(diskType, d.Name), OSType: image.OSType,
		Generation: image.Generation, ImageVersionID: image.VersionID, Foreign: image.Foreign, LUN: osDisk, SizeGB: d.SizeGB})
	return err
}

func (i Image) size(lun int) (int, bool) {
	for _, d := range i.Disks {
		if d.LUN == lun {
			return d.SizeGB, true
		}
	}
	return 0, false
}

// grows takes the image's size unless a larger one is asked for.
func grows(target string, asked *int, image int) error {
	if *asked == 0 {
		*asked = image
	}
	if *asked < image {
		return invalid(target, "The specified disk size %d GB is smaller than the size of the corresponding disk in the VM image: %d GB. This is not allowed. Please choose equal or greater size or do not specify an explicit size.", *asked, image)
	}
	return nil
}

// bringImageDisks adds the image's data disks that the request does not list: a machine gets all of an image.
func (p *Provider) bringImageDisks(w *control.Write[Properties], image Image) error {
	s := w.New.Properties.Storage
	listed := map[int]string{}
	for _, d := range s.Data {
		listed[*d.LUN] = d.CreateOption
	}
	for _, d := range image.Disks {
		option, has := listed[d.LUN]
		switch {
		case d.LUN == osDisk || option == "FromImage":
		case has:
			return invalid("dataDisk.createOption", "The data disk with lun '%d' is part of the image; its createOption must be 'FromImage'.", d.LUN)
		default:
			lun := d.LUN
			s.Data = append(s.Data, DataDisk{LUN: &lun, CreateOption: "FromImage", Caching: "None", DeleteOption: "Detach"})
		}
	}
	return nil
}

// bringDataDisk writes the document of a data disk, or takes the one that is brought along.
func (p *Provider) bringDataDisk(w *control.Write[Properties], d *DataDisk, image Image) error {
	if d.CreateOption != "FromImage" && d.Managed.existing() { // Empty with a disk's ID is an attachment
		info, err := p.takeDisk(w, d.Managed.ID)
		if err != nil {
			return err
		}
		id, _ := arm.ParseID(d.Managed.ID)
		d.Name, d.SizeGB, d.Managed.SKU, d.CreateOption = id.Name(), info.SizeGB, info.SKU, "Attach"
		return nil
	}
	if d.Name == "" {
		d.Name = diskName(w.ID.Name(), fmt.Sprintf("disk%d", *d.LUN+2))
	}
	disk := NewDisk{ID: w.ID.Group().Child(diskType, d.Name), LUN: *d.LUN}
	if d.CreateOption == "FromImage" {
		size, ok := image.size(*d.LUN)
		if !ok {
			return invalid("dataDisk.lun", "The image has no data disk with lun '%d'.", *d.LUN)
		}
		if err := grows("dataDisk.diskSizeGB", &d.SizeGB, size); err != nil {
			return err
		}
		disk.ImageVersionID, disk.Foreign = image.VersionID, image.Foreign
	}
	disk.SizeGB = d.SizeGB
	var err error
	d.Managed, err = p.makeDisk(w, d.Managed, disk)
	return err
}

func (p *Provider) makeDisk(w *control.Write[Properties], m *ManagedDisk, d NewDisk) (*ManagedDisk, error) {
	if m == nil {
		m = &ManagedDisk{}
	}
	if m.SKU == "" {
		m.SKU = "Standard_LRS"
		if size.Premium(w.New.Properties.Hardware.Size) {
			m.SKU = "Premium_LRS"
		}
	}
	if _, err := p.Disks.Info(w.Tx, d.ID); err == nil {
		return nil, arm.Errorf(409, "Conflict", "Disk %s already exists in resource group %s. Only CreateOption.Attach is supported.", d.ID.Name(), strings.ToUpper(d.ID.ResourceGroup)).At("osDisk.name")
	} else if !absent(err) {
		return nil, err
	}
	if m.existing() && !strings.EqualFold(m.ID, d.ID.String()) {
		return nil, invalid("managedDisk.id", "The disk '%.300s' must not be named by 'managedDisk.id' with a createOption that makes a new disk; use createOption 'Attach'.", m.ID)
	}
	m.ID, d.SKU, d.Owner, d.Now, d.Location = d.ID.String(), m.SKU, w.ID, w.Now, w.New.Location
	return m, p.Disks.Create(w.Tx, d)
}

// takeDisk attaches an existing disk.
func (p *Provider) takeDisk(w *control.Write[Properties], text string) (DiskInfo, error) {
	id, fault := identified(text, diskType, "managedDisk.id")
	if fault != nil {
		return DiskInfo{}, fault
	}
	info, err := p.Disks.Info(w.Tx, id)
	switch {
	case absent(err) || err == nil && (!same(id, w.ID) || info.Location != w.New.Location):
		return info, missingDisk(id, w.ID)
	case err != nil:
		return info, err
	}
	return info, p.Disks.Attach(w.Tx, id, w.ID)
}

// letGo detaches a disk if it is the machine's, and says whether it was.
func (p *Provider) letGo(tx store.Tx, disk, machine arm.ID) (bool, error) {
	info, err := p.Disks.Info(tx, disk)
	if absent(err) || err == nil && !strings.EqualFold(info.Owner, machine.String()) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, p.Disks.Detach(tx, disk)
}

// discard removes the files of those of the machine's disks that were deleted; the provider of disks knows which.
func (p *Provider) discard(ctx context.Context, m *resource) error {
	for _, d := range m.Properties.disks() {
		if err := p.Disks.Discard(ctx, d.id); err != nil {
			return fmt.Errorf("files of %s: %w", d.id, err)
		}
	}
	return nil
}

// occupy says of the disks whether the machine holds a host: Attached, or Reserved when it is deallocated.
func (p *Provider) occupy(tx store.Tx, m *resource, runs bool) error {
	for _, d := range m.Properties.disks() {
		if err := p.Disks.SetRunning(tx, d.id, runs); err != nil {
			return err
		}
	}
	return nil
}
