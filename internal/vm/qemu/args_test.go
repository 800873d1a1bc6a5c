package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

func TestArgs(t *testing.T) {
	small := Launch{Accel: "tcg", Sockets: "/data/run", Machine: vm.Machine{
		ID: "9a3c1b7e-0000-4000-8000-000000000001", Name: "myVM", CPUs: 1, MemoryMiB: 512,
		Disks: []vm.Disk{{Path: "/data/disks/os.qcow2", Format: vm.QCOW2, Serial: "os"}},
		Seed:  "/data/machines/seed.iso",
		NICs:  []vm.NIC{{ID: "5a3c1b7e-0000-4000-8000-000000000002", MAC: "52:54:00:12:34:56"}}}}
	big := Launch{Accel: "kvm", Sockets: "/data/run", Code: "/usr/share/OVMF/OVMF_CODE_4M.fd", Vars: "/data/m/vars.fd",
		Machine: vm.Machine{ID: "9a3c1b7e-0000-4000-8000-000000000003", Name: `evil",id=x,readonly=on`, CPUs: 4, MemoryMiB: 8192,
			Firmware: vm.UEFI,
			Disks: []vm.Disk{{Path: "/data/os, with \"all\".raw", Format: vm.Raw},
				{Path: "/data/data.qcow2", Format: vm.QCOW2, ReadOnly: true, Serial: "lun0"}},
			NICs: []vm.NIC{{ID: "1", MAC: "52:54:00:00:00:01"}, {ID: "2", MAC: "52:54:00:00:00:02"}}}}
	based := small
	based.Machine.Seed, based.Machine.NICs = "", nil
	based.Machine.Disks = []vm.Disk{{Path: "/data/disks/os.qcow2", Format: vm.QCOW2, Base: &vm.Base{Socket: "/data/run/nbd.sock", Export: "eastus/t/0"}},
		{Path: "/data/disks/data.qcow2", Format: vm.QCOW2, Base: &vm.Base{Path: "/data/bases/1,2.raw"}}}
	for name, l := range map[string]Launch{"small": small, "big": big, "based": based} {
		t.Run(name, func(t *testing.T) {
			got := lines(Args(l))
			golden := filepath.Join("testdata", name+".args")
			if os.Getenv("UPDATE_GOLDEN") == "1" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("the command line changed (UPDATE_GOLDEN=1 writes the new one):\n%s", d)
			}
		})
	}
}

// lines puts each option on a line with its value.
func lines(args []string) string {
	var b strings.Builder
	for i, a := range args {
		switch {
		case i == 0:
		case strings.HasPrefix(a, "-"):
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(a)
	}
	return b.String() + "\n"
}

// TestUEFI: QEMU takes the command line with firmware, and the machine gets variables of its own.
func TestUEFI(t *testing.T) {
	needQEMU(t)
	if _, _, err := findOVMF(); err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal(err)
		}
		t.Skip("left out: ", err)
	}
	r := open(t, t.TempDir())
	m := tiny(t, "x")
	m.Firmware = vm.UEFI
	m.MemoryMiB = 128
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var l Launch
	if err := proc.ReadState(filepath.Join(r.dir(m.ID), "launch.json"), &l); err != nil {
		t.Fatal(err)
	}
	template, err := os.Stat(l.VarsTemplate)
	if err != nil {
		t.Fatal(err)
	}
	if own, err := os.Stat(l.Vars); err != nil || own.Size() != template.Size() {
		t.Errorf("variables: %v, %v", own, err)
	}
	if err := r.Remove(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
}

func TestRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r, err := openRotated(path)
	if err != nil {
		t.Fatal(err)
	}
	chunk := strings.Repeat("x", 1000)
	for range 3 * maxSerial / len(chunk) {
		if _, err := r.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := readRotated(path)
	if err != nil || len(all) > 2*maxSerial || len(all) < maxSerial || !strings.HasSuffix(string(all), "the end") {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}
