package client

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/image/format"
)

func TestZeroTail(t *testing.T) {
	c := padded(strings.NewReader("abcdef"), 6, nil)
	if c.size != wholeSize {
		t.Fatalf("size %d, want one MiB", c.size)
	}
	for _, test := range []struct {
		off  int64
		want string
	}{{0, "abcdef\x00\x00"}, {4, "ef\x00\x00\x00\x00\x00\x00"}, {6, strings.Repeat("\x00", 8)}, {100, strings.Repeat("\x00", 8)}} {
		got := bytes.Repeat([]byte{0xff}, 8)
		if n, err := c.ReadAt(got, test.off); n != 8 || err != nil || string(got) != test.want {
			t.Errorf("ReadAt(%d) = %q, %d, %v", test.off, got, n, err)
		}
	}
	if c := padded(strings.NewReader(""), wholeSize, nil); c.size != wholeSize {
		t.Errorf("a whole MiB became %d bytes", c.size)
	}
}

func TestTargets(t *testing.T) {
	im := Import{Targets: []string{"West US", "eastus", "westus"}}
	if got := strings.Join(im.targets("eastus"), ","); got != "eastus,westus" {
		t.Errorf("got %s", got)
	}
}

// The disk's name must be the same for a second run, and another for other content or another version.
func TestDiskID(t *testing.T) {
	version := func(n string) arm.ID {
		id, err := arm.ParseID("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/x/images/d/versions/" + n)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	seen := map[string]bool{}
	for _, im := range []*Import{{Version: version("1.0.0"), identity: "a"}, {Version: version("1.0.0"), identity: "b"}, {Version: version("1.0.1"), identity: "a"}} {
		id := im.diskID()
		if id.Type() != "Microsoft.Compute/disks" || id.ResourceGroup != "g" || len(id.Name()) > 80 {
			t.Errorf("disk %s", id)
		}
		if again := im.diskID(); again.Key() != id.Key() {
			t.Errorf("the name of the disk changes: %s, %s", id, again)
		}
		seen[id.Key()] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d names for three uploads", len(seen))
	}
}

// A pipe is refused before it is opened, which would wait for its other end for ever.
func TestOnlyRegularFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir(), "/dev/null"} {
		if _, err := digestFile(t.Context(), path); err == nil || !strings.Contains(err.Error(), "is not a regular file; ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Whatever is wrong with a file is told in sentences with what to do about it, not in the code of a program.
func TestFaultsOfFiles(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"six bytes":    {"abcdef", "truncate --size=%512"},
		"empty":        {"", "not empty"},
		"cut off":      {"QFI\xfb\x00\x00\x00\x03", "Copy it again."},
		"old VMDK":     {"COWD" + strings.Repeat("\x00", 508), "qemu-img convert -O raw"},
		"backing file": {"# Disk DescriptorFile\nversion=1\n", "qemu-img convert -O qcow2"},
	} {
		im := Import{File: filepath.Join(t.TempDir(), "x.img")}
		if err := os.WriteFile(im.File, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := im.fit()
		if err == nil || !strings.HasPrefix(err.Error(), im.File+" cannot be imported: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, reason := range []format.Reason{format.AbsurdSize, format.Truncated, format.Unsupported, format.BackingFile} {
			if strings.Contains(err.Error(), string(reason)+":") {
				t.Errorf("%s shows a code: %v", name, err)
			}
		}
		if _, again := im.open(t.Context()); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: opened: %v", name, again)
		}
	}
}
