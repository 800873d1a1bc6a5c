package qemu

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/image/nbd"
	"vitrine/internal/vm"
)

// serve shows a disk by NBD on a socket of its own until the test ends.
func serve(t *testing.T, socket, name string, disk []byte) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = nbd.ServeNamed(conn, func(asked string) (nbd.Export, error) {
					if asked != name {
						return nbd.Export{}, errors.New("no such export")
					}
					return nbd.Export{Size: int64(len(disk)), Reader: bytes.NewReader(disk)}, nil
				})
			}()
		}
	}()
}

// TestBases: a machine boots from what it is told lies below its disk, a file or what is served, and not from what the disk's header
// says, which is nothing that is there.
func TestBases(t *testing.T) {
	needQEMU(t)
	dir, err := os.MkdirTemp("", "base")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := open(t, dir)
	disk := append(bootSector(helloCode("from below\n")), make([]byte, 1<<20)...)
	file, socket, header := filepath.Join(dir, "base, whole.raw"), filepath.Join(dir, "s, ock"), filepath.Join(dir, "none.raw")
	if err := os.WriteFile(file, disk, 0o400); err != nil {
		t.Fatal(err)
	}
	serve(t, socket, "eastus/t/0", disk)
	for name, base := range map[string]vm.Base{"file": {Path: file}, "served": {Socket: socket, Export: "eastus/t/0"}} {
		t.Run(name, func(t *testing.T) {
			m := tiny(t, "")
			overlay := filepath.Join(dir, name+".qcow2")
			if err := r.CreateDisk(t.Context(), vm.NewDisk{Path: overlay, Size: 4 << 20, Base: header, BaseFormat: vm.Raw, Later: true}); err != nil {
				t.Fatal(err)
			}
			m.Disks = []vm.Disk{{Path: overlay, Format: vm.QCOW2, Serial: "os", Base: &base}, {Path: overlay + "2", Format: vm.QCOW2, Base: &base}}
			if err := r.CreateDisk(t.Context(), vm.NewDisk{Path: overlay + "2", Size: 4 << 20, Base: header, BaseFormat: vm.Raw, Later: true}); err != nil {
				t.Fatal(err)
			}
			if err := r.Start(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := r.Remove(t.Context(), m.ID); err != nil {
					t.Error(err)
				}
			}()
			awaitSerial(t, r, m.ID, "from below")
			if err := r.CopyDisk(t.Context(), m.ID, overlay, overlay+"-copy"); err != nil {
				t.Error(err)
			}
		})
	}
	m := tiny(t, "")
	for _, bad := range []vm.Base{{}, {Path: "relative"}, {Path: file, Socket: socket, Export: "x"}, {Socket: socket}, {Export: "x"}, {Socket: "relative", Export: "x"}} {
		m.Disks = []vm.Disk{{Path: filepath.Join(dir, "file.qcow2"), Format: vm.QCOW2, Base: &bad}}
		if err := r.Start(t.Context(), m); err == nil || !strings.Contains(err.Error(), "vm: ") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	m.Disks = []vm.Disk{{Path: file, Format: vm.Raw, Base: &vm.Base{Path: file}}}
	if err := r.Start(t.Context(), m); err == nil {
		t.Error("a raw disk on a base")
	}
}
