package qemu

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/vm"
)

// TestWrittenQCOW2: qemu-img finds no fault in what we write, and reads of it what we meant.
func TestWrittenQCOW2(t *testing.T) {
	img, err := exec.LookPath("qemu-img")
	if err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal(err)
		}
		t.Skip("not tested without qemu-img")
	}
	dir := t.TempDir()
	r, err := Open(t.Context(), Config{Data: dir, Self: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "ba, se.raw")
	if err := os.WriteFile(base, []byte(strings.Repeat("0123456789abcdef", 1<<16)), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, d := range []vm.NewDisk{
		{Size: 512}, {Size: 1 << 20}, {Size: 2 << 30}, {Size: 512 << 20}, {Size: 512<<20 + 512}, {Size: 64 << 40},
		{Size: 2 << 20, Base: base, BaseFormat: vm.Raw}, {Base: base, BaseFormat: vm.Raw}, {Size: 64 << 30, Base: base + ".none", BaseFormat: vm.Raw, Later: true},
	} {
		d.Path = filepath.Join(dir, fmt.Sprint(i, ".qcow2"))
		if err := r.CreateDisk(t.Context(), d); err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		node := "json:" + object("driver", "qcow2", "file", file(d.Path, true), "backing", nil)
		if out, err := exec.Command(img, "check", node).CombinedOutput(); err != nil || !strings.Contains(string(out), "No errors") {
			t.Errorf("%d: %v, %s", i, err, out)
		}
		out, err := exec.Command(img, "info", "-U", node).CombinedOutput()
		size := max(d.Size, 1<<20)
		if i == 0 {
			size = 512
		}
		if err != nil || !strings.Contains(string(out), fmt.Sprint("(", size, " bytes)")) || d.Base != "" && !strings.Contains(string(out), "backing file: "+d.Base) ||
			d.Base != "" && !strings.Contains(string(out), "backing file format: raw") {
			t.Errorf("%d: %v, %s", i, err, out)
		}
		if err := r.CreateDisk(t.Context(), d); err != nil {
			t.Errorf("%d, again: %v", i, err)
		}
		if d.Size == 2<<20 {
			out, err := exec.Command(img, "compare", "-f", "qcow2", "-F", "raw", d.Path, base).CombinedOutput()
			if err != nil {
				t.Errorf("what lies below is not read: %v, %s", err, out)
			}
		}
		if err := r.GrowDisk(t.Context(), d.Path, size+1<<30); err != nil {
			t.Errorf("%d, grow: %v", i, err)
		}
	}
	if err := r.CreateDisk(t.Context(), vm.NewDisk{Path: filepath.Join(dir, "x"), Size: 512, Base: "/" + strings.Repeat("x", 1100), BaseFormat: vm.Raw, Later: true}); err == nil {
		t.Error("a base of a name that no header holds")
	}
}
