package power

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/test/harness"
)

const diskSize = 192 << 20

// disk is a mounted file system whose writes are logged.
type disk struct {
	root string // where it is mounted
	log  string
}

// need says what is missing here for a disk that forgets.
func need(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"qemu-storage-daemon", "mkfs.ext4", "mount"} {
		_, err := exec.LookPath(tool)
		harness.Need(t, err == nil, "a power cut, because "+tool+" is not installed")
	}
	for _, device := range []string{"/dev/fuse", "/dev/loop-control"} {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		harness.Need(t, err == nil, "a power cut, because this process may not use "+device)
		f.Close()
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// newDisk mounts an empty disk until end is called, or the test ends.
func newDisk(t *testing.T) (d *disk, end func()) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	d = &disk{root: at("root"), log: at("log")}
	if err := errors.Join(os.Mkdir(d.root, 0o700), os.WriteFile(d.log, nil, 0o600), os.WriteFile(at("export"), nil, 0o600), empty(at("disk"))); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	daemon := exec.Command("qemu-storage-daemon", "--blockdev", "file,node-name=disk,filename="+at("disk"), "--blockdev", "file,node-name=log,filename="+d.log,
		"--blockdev", "blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=512",
		"--export", "fuse,id=out,node-name=logged,mountpoint="+at("export")+",writable=on")
	daemon.Stdout, daemon.Stderr, daemon.SysProcAttr = &said, &said, &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- daemon.Wait() }()
	mounted, ended := false, false
	end = func() {
		if ended {
			return
		}
		ended = true
		if mounted {
			unmount(t, d.root)
		}
		_ = daemon.Process.Signal(syscall.SIGTERM)
		<-gone
	}
	t.Cleanup(end)
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		if st, err := os.Stat(at("export")); err == nil && st.Size() == diskSize {
			break
		}
		select {
		case <-tick.C:
		case err := <-gone:
			gone <- err
			t.Fatalf("qemu-storage-daemon: %v\n%s", err, said.String())
		case <-limit:
			t.Fatalf("qemu-storage-daemon exports nothing\n%s", said.String())
		}
	}
	tool(t, "mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", at("export"))
	mount(t, at("export"), d.root)
	mounted = true
	return d, end
}

// empty makes a disk of zeros.
func empty(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(diskSize), f.Close())
}

// mount has the journal written only when somebody waits for it: nothing lasts by luck.
func mount(t *testing.T, image, root string) {
	t.Helper()
	tool(t, "mount", "-t", "ext4", "-o", "loop,nodev,nosuid,noexec,commit=3600", image, root)
}

func unmount(t *testing.T, root string) {
	t.Helper()
	if err := unix.Unmount(root, 0); err != nil {
		t.Errorf("unmount: %v", errors.Join(err, unix.Unmount(root, unix.MNT_DETACH)))
	}
}

// now is how long the log is: what had been written when it was asked lies before.
func (d *disk) now(t *testing.T) int64 {
	t.Helper()
	st, err := os.Stat(d.log)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// entry is one of the log, whose form is Linux's dm-log-writes.
type entry struct {
	end   int64 // of it in the log
	at    int64 // in the disk
	data  int64 // where in the log the bytes are
	size  int64
	flush bool // a flush, or a write that goes through the cache
	zero  bool // bytes are zeros
}

const (
	sector      = 512
	logMagic    = 0x6a736677736872
	flagFlush   = 1
	flagFUA     = 2
	flagDiscard = 4
)

// entries reads a log whose writer has ended.
func (d *disk) entries(t *testing.T) (list []entry) {
	t.Helper()
	f, err := os.Open(d.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var head [32]byte
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(head[8*i:]) }
	if _, err := f.ReadAt(head[:], 0); err != nil || word(0) != logMagic || word(3)&0xffffffff != sector {
		t.Fatalf("no log: %v, % x", err, head)
	}
	count, at := word(2), int64(sector)
	for range count {
		if _, err := f.ReadAt(head[:], at); err != nil {
			t.Fatalf("entry %d: %v", len(list), err)
		}
		flags := word(2)
		e := entry{at: int64(word(0)) * sector, data: at + sector, size: int64(word(1)) * sector, flush: flags&(flagFlush|flagFUA) != 0, zero: flags&flagDiscard != 0}
		at += sector
		if !e.zero {
			at += e.size
		}
		e.end = at
		list = append(list, e)
	}
	return list
}

// replay is a disk that grows with the log.
type replay struct {
	log  *os.File
	list []entry
	file *os.File // everything before next
	next int
}

func newReplay(t *testing.T, d *disk) *replay {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stable")
	if err := empty(path); err != nil {
		t.Fatal(err)
	}
	r := &replay{list: d.entries(t)}
	var err, err2 error
	r.log, err = os.Open(d.log)
	r.file, err2 = os.OpenFile(path, os.O_RDWR, 0)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.log.Close(); r.file.Close() })
	return r
}

func (r *replay) apply(to *os.File, e entry) error {
	var from io.Reader = io.NewSectionReader(r.log, e.data, e.size)
	if e.zero {
		from = bytes.NewReader(make([]byte, e.size))
	}
	_, err := io.Copy(io.NewOffsetWriter(to, e.at), from)
	return err
}

// cut writes to path the disk as a cut after entry n may leave it, which must not be before that of the last call: of the writes since the
// last flush each is kept with a chance. It returns the end of the log, at which the power went, and how many writes were lost.
func (r *replay) cut(t *testing.T, n int, kept float64, rng *rand.Rand, path string) (end int64, lost int) {
	t.Helper()
	flushed := r.next
	for i := r.next; i <= n; i++ {
		if r.list[i].flush {
			flushed = i + 1
		}
	}
	for ; r.next < flushed; r.next++ {
		if err := r.apply(r.file, r.list[r.next]); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "cp", "--sparse=always", r.file.Name(), path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, e := range r.list[flushed : n+1] {
		if rng.Float64() >= kept {
			lost++
			continue
		}
		if err := r.apply(f, e); err != nil {
			t.Fatal(err)
		}
	}
	return r.list[n].end, lost
}

// after gives the first entry that ends at a place of the log or behind it.
func (r *replay) after(at int64) int {
	for i, e := range r.list {
		if e.end >= at {
			return i
		}
	}
	return len(r.list) - 1
}

// busiest gives of several random moments the one at which most was on its way to the disk.
func (r *replay) busiest(first int, rng *rand.Rand) (moment int) {
	most := -1
	for range 8 {
		n := first + rng.IntN(len(r.list)-first)
		from := n
		for from > first && !r.list[from].flush {
			from--
		}
		if n-from > most {
			moment, most = n, n-from
		}
	}
	return moment
}
