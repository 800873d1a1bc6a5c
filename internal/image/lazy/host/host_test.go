package host

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/internal/proc"
)

// TestQEMUReads: what qemu-img reads through the socket is the image; then it is a plain file, which is given from then on.
func TestQEMUReads(t *testing.T) {
	img := needs(t, "qemu-img")
	w := newWorld(t, -1)
	b := w.base()
	if b.Socket == "" {
		t.Fatal("the base was whole at once")
	}
	if list, err := os.ReadDir(filepath.Dir(b.Path)); err != nil || len(list) == 0 || sizeOnDisk(t, b.Path+".part") > 0 {
		t.Errorf("bytes were copied: %v, %v", list, err)
	}
	want := w.raw()
	out, err := exec.Command(img, "compare", "-s", "--image-opts", node(b), "driver=raw,file.driver=file,file.filename="+want).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.open(0) // a server that sets no limit
	w.run()
	await(t, "the base to be whole", func() bool { return w.base().Socket == "" })
	if got, err := os.ReadFile(b.Path); err != nil || !bytes.Equal(got, w.disk) {
		t.Errorf("the file is not the image: %v", err)
	}
	w.bases.mu.Lock()
	clear(w.bases.granted) // no machine is about to come
	w.bases.mu.Unlock()
	await(t, "the process to end", func() bool { return !proc.Held(lockFile(filepath.Join(w.data, "nbd"))) })
	for _, path := range []string{nbdSocket(filepath.Join(w.data, "run")), controlSocket(filepath.Join(w.data, "run")), b.Path + ".part", b.Path + ".map"} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func sizeOnDisk(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Stat(path, &st))
	return st.Blocks * 512
}

func TestSocketsArePrivate(t *testing.T) {
	w := newWorld(t, 1<<20)
	b := w.base()
	for _, path := range []string{b.Socket, controlSocket(filepath.Dir(b.Socket))} {
		st, err := os.Stat(path)
		must(t, err)
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", path, st.Mode())
		}
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", w.pid()))
	must(t, err)
	keys, err := w.images.Keys().Secrets(t.Context(), domain)
	must(t, err)
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, secret := range keys {
		err := filepath.WalkDir(w.data, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, secret) || bytes.Contains(raw, secret) {
				t.Errorf("the key is in %s", path)
			}
			return err
		})
		must(t, err)
	}
}

// TestKilledMidRead: the process is killed again and again while a QEMU reads; the reader notices nothing but time.
func TestKilledMidRead(t *testing.T) {
	qemuIO := needs(t, "qemu-io")
	w := newWorld(t, 2<<20)
	w.bases.cfg.heir = heirTime // on a slow host the base is whole before the last kill, and QEMU pauses before it comes back
	b := w.base()
	w.run()
	r := rand.New(rand.NewPCG(7, 8))
	want := w.raw()
	file, err := os.Open(want)
	must(t, err)
	defer file.Close()
	var script bytes.Buffer
	for i := range 600 {
		fmt.Fprintf(&script, "read -v %d 16\n", r.IntN(len(w.disk)/4096)*4096)
		if i%50 == 49 { // however fast this host reads, it does not get through before a kill
			fmt.Fprintln(&script, "sleep 400")
		}
	}
	cmd := exec.Command(qemuIO, "-r", "--image-opts", node(b))
	cmd.Stdin = bytes.NewReader(script.Bytes())
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kills := 0
	for kills < 3 {
		lines := strings.Count(out.String(), "\n")
		await(t, "some reads", func() bool { return strings.Count(out.String(), "\n") > lines+40 || len(ended) > 0 })
		if len(ended) > 0 {
			break
		}
		pid := w.pid()
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		kills++
		await(t, "another process", func() bool {
			var p proc.Identity
			return proc.ReadState(identityFile(filepath.Join(w.data, "nbd")), &p) == nil && p.PID != pid
		})
	}
	if err := <-ended; err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if kills == 0 {
		t.Error("the reads were over before a kill")
	}
	n := checkDump(t, out.String(), w.disk)
	t.Logf("killed %d times", kills)
	if n != 600 || strings.Contains(out.String(), "failed") {
		t.Errorf("%d reads of 600 were right:\n%s", n, out)
	}
}

// checkDump compares qemu-io's dumps ("00001000:  0a 1b …  text") with the disk.
func checkDump(t *testing.T, text string, disk []byte) (n int) {
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "qemu-io> ", "")
		var off int64
		var got [16]byte
		head, rest, ok := strings.Cut(line, ":  ")
		if !ok {
			continue
		}
		if _, err := fmt.Sscanf(head, "%x", &off); err != nil {
			continue
		}
		for i, field := range strings.Fields(rest)[:16] {
			if _, err := fmt.Sscanf(field, "%x", &got[i]); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if !bytes.Equal(got[:], disk[off:off+16]) {
			t.Errorf("at %d: %x, want %x", off, got, disk[off:off+16])
		}
		n++
	}
	return n
}

// TestServerAway: the process serves cold bytes without a server; a new one finds it.
func TestServerAway(t *testing.T) {
	img := needs(t, "qemu-img")
	w := newWorld(t, -1)
	b := w.base()
	pid := w.pid()
	if out, err := exec.Command(img, "compare", "-s", "--image-opts", node(b), "driver=raw,file.driver=file,file.filename="+w.raw()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.open(0)
	w.base()
	if w.pid() != pid {
		t.Error("a new server made a new process")
	}
}

// TestObjectStore: bytes that lie in an S3 server are read by the process as by its server; a process that reads elsewhere is replaced.
func TestObjectStore(t *testing.T) {
	img := needs(t, "qemu-img")
	w := newWorldAt(t, -1, s3test.Start(t, "images").URL("images", "vitrine"))
	b := w.base()
	if out, err := exec.Command(img, "compare", "-s", "--image-opts", node(b), "driver=raw,file.driver=file,file.filename="+w.raw()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := w.pid()
	w.place += "&region=us-east-1"
	w.open(-1)
	w.base()
	if w.pid() == pid {
		t.Error("a process that reads at another address goes on")
	}
}
