package qemu

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// Launch is a machine with everything that the host adds to it. As JSON it is the supervisor's instruction.
type Launch struct {
	Machine      vm.Machine `json:"machine"`
	Accel        string     `json:"accel"`   // kvm or tcg
	Binary       string     `json:"binary"`  // qemu-system-x86_64
	Sockets      string     `json:"sockets"` // folder, from vm.SocketDir
	Code         string     `json:"code,omitempty"`
	VarsTemplate string     `json:"varsTemplate,omitempty"`
	Vars         string     `json:"vars,omitempty"` // the machine's own copy of the template
	Attempt      string     `json:"attempt"`        // tells this start's traces from an earlier one's
}

// chassisAssetTag is how guests (cloud-init, waagent) recognise an Azure virtual machine.
const chassisAssetTag = "7783-7084-3265-9085-8269-3286-77"

func (l Launch) qmpSocket() string     { return vm.Socket(l.Sockets, l.Machine.ID, "qmp") }
func (l Launch) controlSocket() string { return vm.Socket(l.Sockets, l.Machine.ID, "ctl") }

// removeSockets clears what a killed QEMU or supervisor left.
func (l Launch) removeSockets() {
	_ = os.Remove(l.qmpSocket())
	_ = os.Remove(l.controlSocket())
	for _, n := range l.Machine.NICs {
		_ = os.Remove(vm.NICSocket(l.Sockets, n.ID))
	}
}

// Args is the command line of a machine, without the program's own name.
//
// The guest gets nothing that is not named here (-nodefaults, -no-user-config). Formats of disks are explicit in
// every blockdev, because probing lets a guest that writes a header into a raw disk read the host's files.
func Args(l Launch) []string {
	m := l.Machine
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none",
		"-name", "guest=" + escape(m.Name),
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-machine", machineArg(l),
		"-accel", accelArg(l.Accel), "-cpu", cpuArg(l.Accel),
		"-smp", fmt.Sprint("cpus=", m.CPUs), "-m", fmt.Sprintf("size=%dM", m.MemoryMiB),
		"-rtc", "base=utc", "-boot", "menu=off,strict=on",
		"-smbios", "type=1,manufacturer=Microsoft Corporation,product=Virtual Machine,uuid=" + m.ID,
		"-smbios", "type=3,manufacturer=Microsoft Corporation,asset=" + chassisAssetTag,
		"-chardev", "socket,id=qmp,server=on,wait=off,path=" + escape(l.qmpSocket()), "-mon", "chardev=qmp,mode=control",
		"-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
		"-object", object("qom-type", "rng-random", "id", "rng", "filename", "/dev/urandom"),
		"-device", object("driver", "virtio-rng-pci", "rng", "rng"),
	}
	if m.Firmware == vm.UEFI {
		args = append(args,
			"-blockdev", object("driver", "raw", "node-name", "code", "read-only", true, "file", file(l.Code, true)),
			"-blockdev", object("driver", "raw", "node-name", "vars", "file", file(l.Vars, false)))
	}
	for i, d := range m.Disks {
		args = append(args, diskArgs(fmt.Sprint("disk", i), d, i)...)
	}
	if m.Seed != "" {
		args = append(args, diskArgs("seed", vm.Disk{Path: m.Seed, Format: vm.Raw, ReadOnly: true, Serial: "seed"}, -1)...)
	}
	for i, n := range m.NICs {
		args = append(args, nicArgs(fmt.Sprint("nic", i), n, vm.NICSocket(l.Sockets, n.ID))...)
	}
	return args
}

func machineArg(l Launch) string {
	s := "q35,usb=off,vmport=off"
	if l.Machine.Firmware == vm.UEFI {
		s += ",pflash0=code,pflash1=vars"
	}
	return s
}

func accelArg(accel string) string {
	if accel == "kvm" {
		return "kvm"
	}
	return "tcg,thread=multi"
}

// cpuArg: distributions of today want x86-64-v2 (Nehalem); "max" under TCG would make guests choose AVX code, which is
// slow when emulated.
func cpuArg(accel string) string {
	if accel == "kvm" {
		return "host"
	}
	return "Nehalem"
}

func diskArgs(id string, d vm.Disk, bootIndex int) []string {
	options := []any{"driver", string(d.Format), "node-name", id, "read-only", d.ReadOnly, "discard", "unmap", "file", file(d.Path, d.ReadOnly)}
	var nodes []string
	if d.Base != nil { // a node of its own: beside options in place of one, QEMU still opens what the header names
		nodes = append(nodes, "-blockdev", below("base-"+id, *d.Base))
		options = append(options, "backing", "base-"+id)
	}
	device := []any{"driver", "virtio-blk-pci", "id", "dev-" + id, "drive", id}
	if d.Serial != "" {
		device = append(device, "serial", d.Serial)
	}
	if bootIndex >= 0 {
		device = append(device, "bootindex", bootIndex)
	}
	return append(nodes, "-blockdev", object(options...), "-device", object(device...))
}

// Patience with the process that serves bases, in seconds. A guest whose disk hangs goes on when it is back, however late; one that
// is told of an error remounts its disk read-only.
const (
	reconnectDelay = 24 * 60 * 60
	openTimeout    = 30
)

// below is what a disk's file stands on. What its header names is not asked: it was written by a QEMU, which a guest may have
// taken over.
func below(node string, b vm.Base) string {
	if b.Path != "" {
		return object("driver", "raw", "node-name", node, "read-only", true, "file", json.RawMessage(object("driver", "file", "filename", b.Path, "read-only", true)))
	}
	return object("driver", "nbd", "node-name", node, "read-only", true, "server", json.RawMessage(object("type", "unix", "path", b.Socket)), "export", b.Export,
		"reconnect-delay", reconnectDelay, "open-timeout", openTimeout)
}

// nicArgs makes QEMU listen: the network's process connects, and connects again after it was restarted, whereas QEMU 7.2
// does not come back as a client. Without romfile the firmware would try PXE.
func nicArgs(id string, n vm.NIC, socket string) []string {
	return []string{
		"-netdev", "stream,id=" + id + ",server=on,addr.type=unix,addr.path=" + escape(socket),
		"-device", object("driver", "virtio-net-pci", "id", "dev-"+id, "netdev", id, "mac", n.MAC, "romfile", ""),
	}
}

func file(path string, readOnly bool) json.RawMessage {
	return json.RawMessage(object("driver", "file", "filename", path, "read-only", readOnly, "discard", "unmap"))
}

// object writes pairs as a JSON object in their order, so that golden files read well.
func object(pairs ...any) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		// Marshal cannot fail: values are strings, booleans, integers and objects made here.
		v, _ := json.Marshal(pairs[i+1])
		fmt.Fprintf(&b, ",%q:%s", pairs[i], v)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

// escape doubles commas, which separate QEMU's options.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// findOVMF looks where distributions put UEFI firmware: code, and a template of its variables.
func findOVMF() (code, vars string, err error) {
	for _, p := range [][2]string{
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	} {
		if readable(p[0]) && readable(p[1]) {
			return p[0], p[1], nil
		}
	}
	return "", "", fmt.Errorf("qemu: UEFI firmware is not installed (Debian: package ovmf)")
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Binaries answers the paths of the programs that this package runs, or what is missing.
func Binaries() (system, img string, err error) {
	if system, err = proc.LookPath("qemu-system-x86_64"); err != nil {
		return "", "", err
	}
	img, err = proc.LookPath("qemu-img")
	return system, img, err
}
