package fakevm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"vitrine/internal/vm"
	"vitrine/internal/vm/vmtest"
)

func TestContract(t *testing.T) {
	vmtest.Run(t, func(t *testing.T) vmtest.Subject {
		r := New()
		disk := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return vmtest.Subject{
			Runtime: r,
			Machine: func(*testing.T) vm.Machine {
				return vm.Machine{ID: uuid.NewString(), Name: "m", CPUs: 1, MemoryMiB: 64,
					Disks: []vm.Disk{{Path: disk, Format: vm.Raw}}}
			},
			Crash: func(_ *testing.T, id string) { r.Crash(id) },
		}
	})
}

func TestNetworksContract(t *testing.T) {
	vmtest.RunNetworks(t, func(*testing.T) vm.Networks { return NewNetworks() })
}
