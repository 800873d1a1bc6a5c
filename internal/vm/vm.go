// Package vm is the port to machines: what to run, how it is doing, and the virtual networks that join machines.
//
// It owns the words (Machine, Status, Network), the two ports (Runtime, Networks) and the rules that need neither a
// process nor a packet: the evaluation of network security rules and the place of Unix sockets. It does not own disks'
// contents (image), resources (provider/machine, provider/network) or any desired state: callers declare it.
//
//	provider/machine ─ Machine ─▶ Runtime  ─▶ qemu: supervisor process ─▶ QEMU ─┐ listens on NICSocket(nic)
//	provider/network ─ Network ─▶ Networks ─▶ netstack: one process ────────────┘ dials it, again and again
//
// Every operation may be repeated: Start of a running machine and Ensure of an unchanged network are successes. Both
// kinds of process outlive the server; a new server finds them again by socket, pid and start time.
package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// ErrNotFound says that the runtime has never heard of a machine, or a network process of a network.
var ErrNotFound = errors.New("vm: not found")

// ErrNotRunning says that an act needs a running machine.
var ErrNotRunning = errors.New("vm: not running")

// ErrTooOld says that a machine was started by an earlier version, whose supervisor does not know the act.
var ErrTooOld = errors.New("vm: started by an earlier version")

// Firmware is what a machine starts from: Azure's hyperVGeneration V1 is BIOS, V2 is UEFI.
type Firmware string

// The firmwares.
const (
	BIOS Firmware = "bios"
	UEFI Firmware = "uefi"
)

// Format is the format of a disk file. It is always named, because QEMU's probing would let a guest choose it.
type Format string

// The disk formats a machine may be given.
const (
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
)

// Machine is everything there is to say about a machine in order to start it.
type Machine struct {
	ID        string   `json:"id"`             // GUID; Azure's vmId, and the SMBIOS system UUID
	Name      string   `json:"name"`           // for humans who read the process list
	CPUs      int      `json:"cpus"`           // 1 to 64
	MemoryMiB int      `json:"memoryMiB"`      // 64 to 1048576
	Firmware  Firmware `json:"firmware"`       // empty: BIOS
	Disks     []Disk   `json:"disks"`          // the first one boots
	Seed      string   `json:"seed,omitempty"` // path of a NoCloud ISO, attached read-only; empty: none
	NICs      []NIC    `json:"nics,omitempty"`
}

// Disk is a file that a machine sees as a virtio block device. Path is absolute.
type Disk struct {
	Path     string `json:"path"`
	Format   Format `json:"format"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	Serial   string `json:"serial,omitempty"` // at most 20 of A-Z a-z 0-9 . _ -
	Base     *Base  `json:"base,omitempty"`   // what lies below a qcow2 file; nil: what its header names
}

// Base is a read-only raw disk below a qcow2 file: a file, or what is served by NBD on a Unix socket, then the machine waits for a
// server that is away.
type Base struct {
	Path   string `json:"path,omitempty"` // of the file; empty: it is served
	Socket string `json:"socket,omitempty"`
	Export string `json:"export,omitempty"`
}

// NIC is one end of the wire between a machine and its virtual network.
type NIC struct {
	ID  string `json:"id"`  // GUID, the same as Endpoint.NIC in the network
	MAC string `json:"mac"` // 52:54:00:ab:cd:ef
}

// State is what a machine is doing.
type State string

// The states. Crashed is an end that nobody asked for: QEMU or its supervisor died. A caller whose machine should be
// running answers Crashed (and, after a reboot of the host, Stopped) with Start.
const (
	Running State = "running"
	Stopped State = "stopped"
	Crashed State = "crashed"
)

// Status is how a machine is doing.
type Status struct {
	ID        string    `json:"id"`
	State     State     `json:"state"`
	Since     time.Time `json:"since"`               // start or end
	Reason    string    `json:"reason,omitempty"`    // why it is not running: "powered off by the guest", "killed", …
	LastWords string    `json:"lastWords,omitempty"` // the end of QEMU's own error output, at most 4 KiB
	Accel     string    `json:"accel,omitempty"`     // "kvm" or "tcg", while running
}

// PowerOff says how a machine is stopped.
type PowerOff struct {
	// Hard pulls the plug (Azure's skipShutdown=true). Otherwise the ACPI power button is pressed, and the plug is
	// pulled when the guest has not gone after Grace.
	Hard  bool
	Grace time.Duration // zero: 30 s
}

// NewDisk describes a disk file to be made.
type NewDisk struct {
	Path       string // qcow2; written under another name and moved into place
	Size       int64  // bytes, a multiple of 512; zero: the size of Base
	Base       string // read-only image below it, absolute; empty: a blank disk
	BaseFormat Format // required with Base
	Later      bool   // Base need not be there yet, and is told again at each start (Disk.Base); Size is required
}

// Runtime runs machines. Its methods may be called from many goroutines and may be repeated.
type Runtime interface {
	// Start starts the machine unless it runs already (a difference in the description then waits for the next
	// start). It returns when QEMU runs, not when the guest has booted.
	Start(ctx context.Context, m Machine) error
	// Status answers ErrNotFound for a machine that was never started, or was removed.
	Status(ctx context.Context, id string) (Status, error)
	// List answers all machines that were started and not removed, by ID.
	List(ctx context.Context) ([]Status, error)
	// Wait returns when the machine does not run (any more).
	Wait(ctx context.Context, id string) (Status, error)
	// PowerOff returns when the machine has stopped; that it was stopped already is a success.
	PowerOff(ctx context.Context, id string, how PowerOff) error
	// Reset is the reset button: the machine starts again from its firmware, the process stays. ErrNotRunning.
	Reset(ctx context.Context, id string) error
	// Remove pulls the plug if need be and forgets the machine: its folder, log and sockets, not its disks.
	Remove(ctx context.Context, id string) error
	// SerialLog answers the end of what the guest wrote to its serial port, at most 1 MiB.
	SerialLog(ctx context.Context, id string) ([]byte, error)
	// CreateDisk makes a disk file; an existing one of the same size and base is a success.
	CreateDisk(ctx context.Context, d NewDisk) error
	// GrowDisk makes a qcow2 file of a machine that does not run as large as size, bytes; one that is so large already is a success.
	GrowDisk(ctx context.Context, path string, size int64) error
	// CopyDisk writes what a running machine's qcow2 file at path holds, as of one moment during the call, to the new qcow2
	// file target; what it has from its base is left out. The machine goes on. ErrNotRunning, ErrTooOld.
	CopyDisk(ctx context.Context, id, path, target string) error
}

// Networks runs virtual networks, one process each.
type Networks interface {
	// Ensure brings the network to the declared state, starting its process if need be. Whatever n does not name is
	// taken away. A public port that cannot be bound is not an error: see Status.
	Ensure(ctx context.Context, n Network) error
	// Status answers ErrNotFound when no process serves that network.
	Status(ctx context.Context, id string) (NetworkStatus, error)
	// List answers the IDs of networks that were ensured and not removed, with or without a living process.
	List(ctx context.Context) ([]string, error)
	// Remove ends the process and forgets the network.
	Remove(ctx context.Context, id string) error
	// Dial opens a TCP connection to a port of a NIC, if the NIC's security rules allow one from the Internet.
	Dial(ctx context.Context, network, nic string, port uint16) (net.Conn, error)
}

// Validate finds the first fault of a description, so that no back-end is given one it would misread.
func (m Machine) Validate() error {
	switch {
	case !isGUID(m.ID):
		return fmt.Errorf("vm: machine id %q is not a GUID", m.ID)
	case m.CPUs < 1 || m.CPUs > 64:
		return fmt.Errorf("vm: %d CPUs, want 1 to 64", m.CPUs)
	case m.MemoryMiB < 64 || m.MemoryMiB > 1<<20:
		return fmt.Errorf("vm: %d MiB of memory, want 64 to %d", m.MemoryMiB, 1<<20)
	case m.Firmware != "" && m.Firmware != BIOS && m.Firmware != UEFI:
		return fmt.Errorf("vm: firmware %q is neither %q nor %q", m.Firmware, BIOS, UEFI)
	case len(m.Disks) == 0 || len(m.Disks) > 32:
		return fmt.Errorf("vm: %d disks, want 1 to 32", len(m.Disks))
	case len(m.NICs) > 8:
		return fmt.Errorf("vm: %d network interfaces, want at most 8", len(m.NICs))
	case m.Seed != "" && !cleanPath(m.Seed):
		return fmt.Errorf("vm: seed path %q is not absolute and plain", m.Seed)
	}
	for _, d := range m.Disks {
		if err := d.validate(); err != nil {
			return err
		}
	}
	for _, n := range m.NICs {
		if err := n.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (d Disk) validate() error {
	switch {
	case !cleanPath(d.Path):
		return fmt.Errorf("vm: disk path %q is not absolute and plain", d.Path)
	case d.Format != Raw && d.Format != QCOW2:
		return fmt.Errorf("vm: disk format %q is neither %q nor %q", d.Format, Raw, QCOW2)
	case !isSerial(d.Serial):
		return fmt.Errorf("vm: disk serial %q has other characters than A-Z a-z 0-9 . _ - or more than 20", d.Serial)
	case d.Base != nil && d.Format != QCOW2:
		return fmt.Errorf("vm: disk %s of format %q has no base", d.Path, d.Format)
	case d.Base != nil:
		return d.Base.validate()
	}
	return nil
}

func (b Base) validate() error {
	switch served := b.Socket != "" || b.Export != ""; {
	case served == (b.Path != ""):
		return errors.New("vm: a base is either a file or served")
	case !served && !cleanPath(b.Path):
		return fmt.Errorf("vm: base path %q is not absolute and plain", b.Path)
	case served && (!cleanPath(b.Socket) || b.Export == ""):
		return fmt.Errorf("vm: base socket %q is not absolute and plain, or its export has no name", b.Socket)
	}
	return nil
}

func (n NIC) validate() error {
	if !isGUID(n.ID) {
		return fmt.Errorf("vm: network interface id %q is not a GUID", n.ID)
	}
	mac, err := net.ParseMAC(n.MAC)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return fmt.Errorf("vm: %q is not the MAC address of one interface", n.MAC)
	}
	return nil
}

// Validate finds the first fault of a description.
func (d NewDisk) Validate() error {
	switch {
	case !cleanPath(d.Path):
		return fmt.Errorf("vm: disk path %q is not absolute and plain", d.Path)
	case d.Size < 0 || d.Size%512 != 0 || d.Size > 64<<40:
		return fmt.Errorf("vm: disk size %d is not a multiple of 512 up to 64 TiB", d.Size)
	case d.Base == "" && d.Size == 0:
		return fmt.Errorf("vm: disk %s has neither a size nor a base", d.Path)
	case d.Base != "" && !cleanPath(d.Base):
		return fmt.Errorf("vm: base path %q is not absolute and plain", d.Base)
	case d.Base != "" && d.BaseFormat != Raw && d.BaseFormat != QCOW2:
		return fmt.Errorf("vm: base format %q is neither %q nor %q", d.BaseFormat, Raw, QCOW2)
	case d.Later && d.Size == 0:
		return fmt.Errorf("vm: disk %s has no size, and its base is not there to tell", d.Path)
	}
	return nil
}

// isGUID accepts the form 8-4-4-4-12 of hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", c) {
			return false
		}
	}
	return true
}

func isSerial(s string) bool {
	return len(s) <= 20 && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("._-", c))
	})
}
