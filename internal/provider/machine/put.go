package machine

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/machine/osprofile"
)

const stamp = "2006-01-02T15:04:05.0000000-07:00" // Compute's: seven digits and +00:00

// The kinds of long-running work.
const (
	workCreate     = "virtualMachines/create"
	workStart      = "virtualMachines/start"
	workPowerOff   = "virtualMachines/powerOff"
	workRestart    = "virtualMachines/restart"
	workDeallocate = "virtualMachines/deallocate"
	workDelete     = "virtualMachines/delete"
	workUpdate     = "virtualMachines/update"
)

// put creates a machine or changes one. A machine whose creation failed is created anew.
func (p *Provider) put(_ context.Context, w *control.Write[Properties]) error {
	number(w)
	if w.Old != nil && w.Old.Properties.Own.Built {
		return p.update(w)
	}
	n := &w.New.Properties
	image, err := p.image(w)
	if err != nil {
		return err
	}
	if err := arm.Join(osprofile.Check(n.OS, image.OSType, image.OSState)); err != nil {
		return err
	}
	if n.VMID == "" {
		n.VMID = uuid.NewString()
	}
	n.Created = w.Now.UTC().Format(stamp)
	n.Own = State{Desired: Running, Generation: image.Generation, OSState: image.OSState}
	if err := p.bringOSDisk(w, image); err != nil {
		return err
	}
	if err := p.bringImageDisks(w, image); err != nil {
		return err
	}
	for i := range n.Storage.Data {
		if err := p.bringDataDisk(w, &n.Storage.Data[i], image); err != nil {
			return err
		}
	}
	if err := checkCount(n); err != nil {
		return err
	}
	for _, nic := range n.nics() {
		if err := p.claim(w, nic); err != nil {
			return err
		}
	}
	if err := p.sealSecrets(w); err != nil {
		return err
	}
	complete(n)
	return w.Begin(workCreate, nil)
}

// claim attaches an interface, which must live where the machine does.
func (p *Provider) claim(w *control.Write[Properties], nic arm.ID) error {
	if !same(nic, w.ID) {
		return arm.Errorf(400, "InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", nic, w.ID)
	}
	return p.Network.Attach(w.Tx, nic, w.ID, w.New.Location)
}

// image answers what the machine is made from; for an attached OS disk, what is known of that.
func (p *Provider) image(w *control.Write[Properties]) (Image, error) {
	s := w.New.Properties.Storage
	if s.OSDisk.CreateOption == "Attach" {
		id, fault := identified(s.OSDisk.Managed.ID, diskType, "")
		if fault != nil {
			return Image{}, fault
		}
		info, err := p.Disks.Info(w.Tx, id)
		if absent(err) {
			return Image{}, missingDisk(id, w.ID)
		}
		if err != nil {
			return Image{}, err
		}
		kind := info.OSType
		if s.OSDisk.OSType != "" {
			kind = s.OSDisk.OSType
		}
		if kind == "" {
			return Image{}, required("osDisk.osType")
		}
		return Image{OSType: kind, OSState: "Specialized", Generation: info.Generation}, nil
	}
	image, err := p.resolve(w, s.Image)
	if err != nil {
		return Image{}, err
	}
	switch {
	case s.OSDisk.OSType != "" && s.OSDisk.OSType != image.OSType:
		return Image{}, invalid("osDisk.osType", "The value '%s' of parameter 'osDisk.osType' does not match the operating system '%s' of the image.", s.OSDisk.OSType, image.OSType)
	case strings.EqualFold(image.Architecture, "Arm64"):
		return Image{}, arm.Errorf(400, "BadRequest", "The VM size '%s' with architecture 'x64' cannot boot the image with architecture 'Arm64'.", w.New.Properties.Hardware.Size).At("vmSize")
	}
	s.Image.Exact = image.ExactVersion
	return image, nil
}

func missingDisk(id, from arm.ID) *arm.Error {
	return arm.Errorf(404, "ResourceNotFound", "The disk %s referenced by %s was not found.", id, from).At("dataDisks")
}

// complete fills in what Azure answers for members that were not sent.
func complete(n *Properties) {
	if n.Storage.Data == nil {
		n.Storage.Data = []DataDisk{}
	}
	if n.OS != nil {
		n.OS.Complete()
	}
}

// update changes a machine that exists: tags and delete options at any time; size, disks and interfaces while it does
// not run, since nothing here plugs into a running machine.
func (p *Provider) update(w *control.Write[Properties]) error {
	old, n := &w.Old.Properties, &w.New.Properties
	if err := p.refresh(w.Tx, old); err != nil {
		return err
	}
	if n.OS == nil {
		n.OS = old.OS
	} else if old.OS == nil {
		return changed("osProfile")
	}
	if err := p.keepSecrets(w); err != nil {
		return err
	}
	if n.Storage.OSDisk.Managed == nil {
		n.Storage.OSDisk.Managed = old.Storage.OSDisk.Managed
	}
	if n.Storage.OSDisk.SizeGB == 0 {
		n.Storage.OSDisk.SizeGB = old.Storage.OSDisk.SizeGB
	}
	if n.Storage.OSDisk.SizeGB != old.Storage.OSDisk.SizeGB {
		return invalid("osDisk.diskSizeGB", "Resizing the OS disk through the virtual machine is not supported by this server.")
	}
	if n.Storage.OSDisk.Managed.SKU == "" {
		n.Storage.OSDisk.Managed.SKU = old.Storage.OSDisk.Managed.SKU
	}
	stopped := old.Own.Desired != Running
	if !strings.EqualFold(n.Hardware.Size, old.Hardware.Size) && !stopped {
		return running("vmSize")
	}
	if err := p.updateDisks(w, stopped); err != nil {
		return err
	}
	if old.Own.Desired == Deallocated {
		if err := p.occupy(w.Tx, w.New, false); err != nil {
			return err
		}
	}
	if err := p.updateNICs(w, stopped); err != nil {
		return err
	}
	complete(n)
	return w.Begin(workUpdate, power{Then: old.Own.Desired})
}

// number counts the writes of a machine from "1" in its ETag.
func number(w *control.Write[Properties]) {
	n := 0
	if w.Old != nil {
		n, _ = strconv.Atoi(strings.Trim(w.Old.Etag, `"`)) // one of before the count has none
	}
	w.New.Etag = strconv.Quote(strconv.Itoa(n + 1))
}

func changed(what string) *arm.Error {
	return arm.Errorf(409, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", what).At(what)
}

func running(what string) *arm.Error {
	return arm.Errorf(409, "OperationNotAllowed", "Changing '%s' of a running virtual machine is not supported by this server. Deallocate the virtual machine first.", what).At(what)
}

func (p *Provider) updateNICs(w *control.Write[Properties], stopped bool) error {
	before, after := map[string]arm.ID{}, map[string]arm.ID{}
	for _, id := range w.Old.Properties.nics() {
		before[id.Key()] = id
	}
	for _, id := range w.New.Properties.nics() {
		after[id.Key()] = id
	}
	for key, id := range after {
		if _, had := before[key]; had {
			continue
		}
		if !stopped {
			return running("networkProfile")
		}
		if err := p.claim(w, id); err != nil {
			return err
		}
	}
	for key, id := range before {
		if _, has := after[key]; has {
			continue
		}
		if !stopped {
			return running("networkProfile")
		}
		if err := p.Network.Detach(w.Tx, id, w.ID); err != nil {
			return err
		}
	}
	return nil
}

// updateDisks compares data disks by LUN.
func (p *Provider) updateDisks(w *control.Write[Properties], stopped bool) error {
	before := map[int]DataDisk{}
	for _, d := range w.Old.Properties.Storage.Data {
		before[*d.LUN] = d
	}
	var kept []DataDisk
	for _, d := range w.New.Properties.Storage.Data {
		old, had := before[*d.LUN]
		if d.ToBeDetached {
			continue // stays in before: it goes
		}
		if had && (!d.Managed.existing() || strings.EqualFold(d.Managed.ID, old.Managed.ID)) {
			d.Managed, d.Name, d.SizeGB, d.CreateOption = old.Managed, old.Name, old.SizeGB, old.CreateOption
			delete(before, *d.LUN)
			kept = append(kept, d)
			continue
		}
		if !stopped {
			return running("dataDisks")
		}
		if err := p.bringDataDisk(w, &d, Image{}); err != nil {
			return err
		}
		kept = append(kept, d)
	}
	for _, d := range before {
		if !stopped {
			return running("dataDisks")
		}
		id, fault := identified(d.Managed.ID, diskType, "")
		if fault != nil {
			return fault
		}
		if _, err := p.letGo(w.Tx, id, w.ID); err != nil {
			return err
		}
	}
	w.New.Properties.Storage.Data = kept
	return checkCount(&w.New.Properties)
}
