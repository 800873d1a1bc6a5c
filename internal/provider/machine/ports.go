package machine

import (
	"context"
	"log/slog"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// Images finds what an image reference means in a region. Its errors are *arm.Error, such as GalleryImageNotFound.
type Images interface {
	Resolve(tx store.Tx, reference, location string) (Image, error)
}

// Image is an image version that is present in the machine's region.
type Image struct {
	VersionID    string // resource ID of the version
	ExactVersion string // "1.0.0"
	OSType       string // Linux, Windows
	OSState      string // Generalized, Specialized
	Generation   string // V1, V2
	Architecture string // x64, Arm64
	Disks        []ImageDisk
	Foreign      string // its ID in a shared or community gallery, shown instead of VersionID; empty: none
}

// ImageDisk is one disk of an image.
type ImageDisk struct {
	LUN    int // -1: the OS disk
	SizeGB int
}

// osDisk is the LUN by which the OS disk goes.
const osDisk = -1

// Disks is the provider of Microsoft.Compute/disks as machines need it.
type Disks interface {
	// Create writes the document of a disk that a machine brings along; the same again is a success.
	Create(tx store.Tx, d NewDisk) error
	Attach(tx store.Tx, disk, machine arm.ID) error
	Detach(tx store.Tx, disk arm.ID) error
	// SetRunning tells whether the machine holds a host (Attached) or is deallocated (Reserved).
	SetRunning(tx store.Tx, disk arm.ID, running bool) error
	Delete(tx store.Tx, disk arm.ID) error
	// Materialise makes the disk's file if need be, and tells what lies below it now: ask before each start.
	Materialise(ctx context.Context, disk arm.ID) (vm.Disk, error)
	// Info answers store.ErrNotFound for a disk that does not exist.
	Info(tx store.Tx, disk arm.ID) (DiskInfo, error)
	// Discard removes the files of a disk whose document was deleted; of one that was not, nothing.
	Discard(ctx context.Context, disk arm.ID) error
}

// NewDisk is a disk made for a machine.
type NewDisk struct {
	ID             arm.ID
	Location       string
	SKU            string
	OSType         string // of an OS disk
	Generation     string // of an OS disk
	ImageVersionID string // empty: a blank disk
	Foreign        string // the version's ID in a shared or community gallery, shown instead
	LUN            int    // in the image; -1: its OS disk
	SizeGB         int
	Owner          arm.ID // the machine
	Now            time.Time
}

// DiskInfo is what a machine must know of a disk.
type DiskInfo struct {
	SizeGB     int
	State      string // Unattached, Attached, Reserved, …
	OSType     string
	Generation string
	Location   string
	SKU        string
	Owner      string // ID of the machine that has it, or empty
}

// Network is the provider of Microsoft.Network as machines need it.
type Network interface {
	Attach(tx store.Tx, nic, machine arm.ID, location string) error
	Detach(tx store.Tx, nic, machine arm.ID) error
	Delete(tx store.Tx, nic arm.ID) error
	Activate(tx store.Tx, nic, machine arm.ID, guid, hostname string) error
	Deactivate(tx store.Tx, nic arm.ID, machine string) error
	// Wire answers how a machine is plugged in, and the virtual network.
	Wire(tx store.Tx, nic arm.ID) (vm.NIC, arm.ID, error)
	Apply(ctx context.Context, network arm.ID) error
	Status(ctx context.Context, tx store.Tx, nic arm.ID) (vm.EndpointStatus, error)
}

// Sealer keeps secrets at rest.
type Sealer interface {
	Seal(plain []byte, resource string) (string, error)
	Open(sealed, resource string) ([]byte, error)
}

// Config is what the provider needs.
type Config struct {
	Images       Images
	Foreign      Foreign // nil: no shared or community galleries here
	Disks        Disks
	Network      Network
	Runtime      vm.Runtime
	Sealer       Sealer
	Seeds        string // folder of the seed ISOs, absolute; it is made when missing
	MaxCPUs      int    // of one machine, whatever its size says; 0: 2
	MaxMemoryMiB int    // likewise; 0: 1024
	Log          *slog.Logger
}
