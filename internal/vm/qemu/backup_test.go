package qemu

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	overlayfile "vitrine/internal/image/qcow2"
	"vitrine/internal/vm"
)

// writeCode writes the boot sector itself over the disk's second sector by the BIOS, and goes on with next.
func writeCode(next []byte) []byte {
	return append([]byte{0x31, 0xc0, 0x8e, 0xc0, // xor ax, ax; mov es, ax
		0xb8, 0x01, 0x03, 0xbb, 0x00, 0x7c, // mov ax, 0x0301 (write one sector); mov bx, 0x7c00
		0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xcd, 0x13}, next...) // mov cx, 2; mov dx, 0x80; int 0x13
}

func awaitSerial(t *testing.T, r *Runtime, id, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if log, err := r.SerialLog(ctx, id); err == nil && strings.Contains(string(log), text) {
			tick.Stop()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the guest did not say %q", text)
		case <-tick.C:
		}
	}
}

// TestCopyDisk: what a guest has written is in the copy while the guest runs, and what it has from the base is not.
func TestCopyDisk(t *testing.T) {
	needQEMU(t)
	dir := t.TempDir()
	base, overlay, target := filepath.Join(dir, "base.raw"), filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "copy.qcow2")
	boot := bootSector(writeCode(helloCode("written\n")))
	if err := os.WriteFile(base, append(boot, make([]byte, 4<<20-len(boot))...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir)
	if err := r.CreateDisk(t.Context(), vm.NewDisk{Path: overlay, Size: 4 << 20, Base: base, BaseFormat: vm.Raw}); err != nil {
		t.Fatal(err)
	}
	if err := r.GrowDisk(t.Context(), overlay, 8<<20); err != nil {
		t.Fatal(err)
	}
	m := tiny(t, "")
	m.Disks = []vm.Disk{{Path: overlay, Format: vm.QCOW2, Serial: "os"}}
	if err := r.CopyDisk(t.Context(), m.ID, overlay, target); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("copy of an unknown machine's disk: %v", err)
	}
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Remove(t.Context(), m.ID); err != nil {
			t.Error(err)
		}
	}()
	awaitSerial(t, r, m.ID, "written")
	if err := r.GrowDisk(t.Context(), overlay, 16<<20); err == nil {
		t.Error("the disk of a running machine was grown below it")
	}
	if err := r.CopyDisk(t.Context(), m.ID, filepath.Join(dir, "other.qcow2"), target); err == nil {
		t.Error("a file that is not the machine's was copied")
	}
	for range 2 { // a second copy meets no trace of the first
		if err := r.CopyDisk(t.Context(), m.ID, overlay, target); err != nil {
			t.Fatal(err)
		}
		checkCopy(t, target, boot)
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := r.Status(t.Context(), m.ID); err != nil || s.State != vm.Running {
		t.Errorf("after the copy: %+v, %v", s, err)
	}
	if err := r.PowerOff(t.Context(), m.ID, vm.PowerOff{Hard: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.CopyDisk(t.Context(), m.ID, overlay, target); !errors.Is(err, vm.ErrNotRunning) {
		t.Errorf("copy of a stopped machine's disk: %v", err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a copy that failed left its file")
	}
}

func checkCopy(t *testing.T, path string, boot []byte) {
	t.Helper()
	o, err := overlayfile.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got := make([]byte, 512)
	if _, err := o.ReadAt(got, 512); err != nil || !bytes.Equal(got, boot[:512]) || o.Size() != 8<<20 {
		t.Errorf("the copy lacks what the guest wrote: %v, %d bytes", err, o.Size())
	}
	if next, err := o.NextData(1 << 20); err == nil {
		t.Errorf("the copy has data at %d that the guest did not write", next.Start)
	}
}
