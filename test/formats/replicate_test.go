package formats

import (
	"bufio"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// While a version travels to another region the command line tells how far it is. When the server is killed, what has arrived is on the
// disk, but for the last batch, and the new server goes on without being asked.
func TestReplicationGoesOn(t *testing.T) {
	const size, killedAt, kept = 112, 75, 64 // MiB, percent, MiB
	w := newWorld(t, "--replica-rate", "16")
	raw := w.disk("raw", size, 6, size)
	version := w.version()
	args := []string{"image", "import", raw, "--version-id", version, "--create", "--location", "eastus", "--target-region", "eastus", "--target-region", "westus", "-o", "json"}

	c := w.server.Command(t.Context(), w.dir, args...)
	said, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var told []int
	progress := regexp.MustCompile(`West US \w+ (\d+) %`)
	for lines := bufio.NewScanner(said); lines.Scan(); {
		t.Log(lines.Text())
		if m := progress.FindStringSubmatch(lines.Text()); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			if told = append(told, n); n >= killedAt {
				break
			}
		}
	}
	if n := len(told); n < 3 || told[n-1] < killedAt || told[n-1] == 100 {
		t.Errorf("of the way to the other region was told %v", told)
	}
	w.server.Kill(func() {
		if n := w.arrived("westus"); n < kept<<20 {
			t.Errorf("the server was killed when %v %% were told, and %d bytes are there", told, n)
		}
	})
	_ = c.Process.Kill()
	_ = c.Wait() // it lost its server
	w.must(w.server, nil, args...)
	out := w.at("out.raw")
	w.must(w.server, nil, "image", "export", version, out, "--quiet")
	same(t, raw, out)
	if n := w.arrived("westus"); n < size<<20 {
		t.Errorf("%d bytes are in the other region at the end", n)
	}
}

// arrived counts bytes of objects in a region.
func (w *world) arrived(region string) (n int64) {
	w.t.Helper()
	root := filepath.Join(w.server.Data(), "regions", region)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.Contains(path, "/.tmp/") {
			return err
		}
		st, err := e.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	return n
}
