package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/proc"
)

// probeLimit is what a KVM guest of one sector may take; where KVM works it takes a third of a second.
const probeLimit = 4 * time.Second

// probeExit is QEMU's exit status when the probe guest has written 0x10 to the debug-exit port: (0x10 << 1) | 1.
const probeExit = 33

// ProbeAccel answers the acceleration under which a guest really starts here ("kvm" or "tcg"), and why it is that
// one. It boots one sector under KVM with a time limit, because on some hosts /dev/kvm can be opened, and guests hang.
// scratch is a folder for its files.
func ProbeAccel(ctx context.Context, scratch string) (accel, why string) {
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return "tcg", "KVM cannot be used: " + err.Error()
	}
	kvm.Close()
	began := time.Now()
	if err := Probe(ctx, scratch, "kvm", probeLimit); err != nil {
		return "tcg", "KVM is there but " + err.Error()
	}
	return "kvm", fmt.Sprintf("a probe guest ran under KVM in %d ms", time.Since(began).Milliseconds())
}

// Probe boots a guest of one sector under an acceleration and says why it did not run to its end within limit.
func Probe(ctx context.Context, scratch, accel string, limit time.Duration) error {
	bin, err := proc.LookPath("qemu-system-x86_64")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(scratch, "probe-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "boot.raw")
	if err := os.WriteFile(disk, bootSector(probeCode()), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err = proc.Run(ctx, proc.Spec{Path: bin, Dir: dir, Args: []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "size=64M",
		"-accel", accelArg(accel), "-cpu", cpuArg(accel),
		"-device", object("driver", "isa-debug-exit", "iobase", 0xf4, "iosize", 4),
		"-blockdev", object("driver", "raw", "node-name", "boot", "read-only", true, "file", file(disk, true)),
		"-device", object("driver", "virtio-blk-pci", "drive", "boot", "bootindex", 0),
	}})
	var exit *proc.ExitError
	switch {
	case errors.As(err, &exit) && exit.Code == probeExit:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("a probe guest did not get through its first sector within %s", limit)
	case err == nil:
		return errors.New("a probe guest ended before its first sector was done")
	}
	first, _, _ := strings.Cut(err.Error(), "\n") // QEMU's own reason; an abort adds lines about its source
	return fmt.Errorf("a probe guest failed: %s", first)
}

// probeCode is 16-bit code: mov al, 0x10; out 0xf4, al; and, where that port does nothing, hlt for ever.
func probeCode() []byte { return []byte{0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd} }

// bootSector makes a disk of one megabyte whose first sector a BIOS runs.
func bootSector(code []byte) []byte {
	disk := make([]byte, 1<<20)
	copy(disk, code)
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}
