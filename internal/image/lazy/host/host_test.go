package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
	"vitrine/internal/proc"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// TestMain is the serving process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "serve-bases" {
		place, dir := os.Args[2], os.Args[4]
		data := filepath.Dir(dir)
		open, err := buckets(data, place)
		if err == nil {
			err = Serve(context.Background(), Process{Dir: dir, Sockets: filepath.Join(data, "run"), Bases: image.Bases(filepath.Join(data, "image")),
				Buckets: open, Place: place, Regions: regions(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if proc.IsHelper() {
		fmt.Fprintln(os.Stderr, "a helper must not run the tests:", os.Args)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

func regions() []string { return []string{"eastus", "westus"} }

// buckets opens those of a folder, or at an address those of an object store.
func buckets(data, place string) (func(string) (*blob.Bucket, error), error) {
	if place != "" {
		c, err := s3blob.Parse(place)
		if err != nil {
			return nil, err
		}
		server, err := s3blob.Dial(context.Background(), c)
		return func(region string) (*blob.Bucket, error) { return server.Bucket(region), nil }, err
	}
	var mu sync.Mutex
	open := map[string]*blob.Bucket{}
	return func(region string) (*blob.Bucket, error) {
		mu.Lock()
		defer mu.Unlock()
		if open[region] == nil {
			b, err := fileblob.Open(filepath.Join(data, "regions", region))
			if err != nil {
				return nil, err
			}
			open[region] = b
		}
		return open[region], nil
	}, nil
}

// world is a server's half, with one image of a tenant.
type world struct {
	t      *testing.T
	data   string
	place  string
	images *image.Store
	store  *store.Store
	bases  *Bases
	disk   []byte
	ref    image.Ref
	log    *buffer
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const (
	domain = "11111111-1111-4111-8111-111111111111"
	holder = "/subscriptions/s/disks/os"
)

func newWorld(t *testing.T, rate int64) *world {
	t.Helper()
	return newWorldAt(t, rate, "")
}

func newWorldAt(t *testing.T, rate int64, place string) *world {
	t.Helper()
	data, err := os.MkdirTemp("", "bases") // short, for its sockets
	must(t, err)
	w := &world{t: t, data: data, place: place, store: store.New(memstore.Open()), log: &buffer{}}
	must(t, os.MkdirAll(filepath.Join(data, "run"), 0o700))
	sealer, err := seal.Load(filepath.Join(data, "master.key"))
	must(t, err)
	open, err := buckets(data, place)
	must(t, err)
	w.images, err = image.New(image.Config{Dir: filepath.Join(data, "image"), Store: w.store, Buckets: open, Sealer: sealer, Regions: regions(),
		Workers: 2, Log: slog.New(slog.NewTextHandler(w.log, nil))})
	must(t, err)
	w.open(rate)
	w.disk = randomDisk(24 << 20)
	w.ref, err = w.images.Pack(t.Context(), "eastus", domain, bytes.NewReader(w.disk), int64(len(w.disk)), nil)
	must(t, err)
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error { return w.images.Pin(tx, w.ref, "eastus", holder) }))
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(data, "nbd", "nbd.log"))
			t.Logf("the process said:\n%s\nthe server:\n%s", said, w.log)
		}
		var p proc.Identity
		if proc.ReadState(identityFile(filepath.Join(data, "nbd")), &p) == nil {
			if err := proc.End(context.Background(), p, 5*time.Second); err != nil {
				t.Error(err)
			}
		}
		must(t, errors.Join(w.images.Close(), os.RemoveAll(data)))
	})
	return w
}

// open is a new server on the same data.
func (w *world) open(rate int64) {
	var err error
	w.bases, err = Open(Config{Images: w.images, Dir: filepath.Join(w.data, "nbd"), Sockets: filepath.Join(w.data, "run"), Self: []string{proc.Self(), "serve-bases", w.place},
		Place: w.place, Rate: rate, heir: time.Second, Log: slog.New(slog.NewTextHandler(w.log, nil))})
	must(w.t, err)
}

func randomDisk(size int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	b := make([]byte, size)
	for at := 0; at < size; {
		n := min(size-at, (1+r.IntN(200))*4096)
		if r.IntN(3) > 0 {
			for i := at; i < at+n; i++ {
				b[i] = byte(r.Uint32())
			}
		}
		at += n
	}
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) base() image.Base {
	w.t.Helper()
	b, err := w.bases.Base(w.t.Context(), "eastus", w.ref)
	must(w.t, err)
	return b
}

func (w *world) pid() int {
	w.t.Helper()
	var p proc.Identity
	must(w.t, proc.ReadState(identityFile(filepath.Join(w.data, "nbd")), &p))
	return p.PID
}

// await polls what another process does.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// run keeps a server's supervision going until the test ends.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.bases.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	return stop
}

func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatalf("VITRINE_FULL=1, but %s is missing", program)
		}
		t.Skipf("not tested without %s", program)
	}
	return path
}

// node is QEMU's word for an export, as machines get it.
func node(b image.Base) string {
	return fmt.Sprintf("driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=%s,file.export=%s,file.reconnect-delay=60,file.open-timeout=30", b.Socket, b.Export)
}

func (w *world) raw() string {
	path := filepath.Join(w.data, "want.raw")
	must(w.t, os.WriteFile(path, w.disk, 0o600))
	return path
}

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
	b := w.base()
	w.run()
	var script bytes.Buffer
	r := rand.New(rand.NewPCG(7, 8))
	want := w.raw()
	file, err := os.Open(want)
	must(t, err)
	defer file.Close()
	for range 600 {
		off := r.IntN(len(w.disk)/4096) * 4096
		fmt.Fprintf(&script, "read -v %d 16\n", off)
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
		line = strings.TrimPrefix(strings.TrimSpace(line), "qemu-io> ")
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

// damage spoils the chunk at an offset of the disk in a region, and gives its object.
func (w *world) damage(region string, off int64) string {
	w.t.Helper()
	r, err := w.images.Open(w.t.Context(), region, w.ref)
	must(w.t, err)
	for _, e := range r.All() {
		if off < e.Offset || off >= e.End() {
			continue
		}
		path := filepath.Join(w.data, "regions", region, chunk.Object(domain, e.ID))
		raw, err := os.ReadFile(path)
		must(w.t, err)
		raw[len(raw)/2] ^= 1
		must(w.t, os.WriteFile(path, raw, 0o600))
		return chunk.Object(domain, e.ID)
	}
	w.t.Fatalf("there is no chunk at %d", off)
	return ""
}

// firstData is an offset that is no zero.
func (w *world) firstData() int64 {
	for i, b := range w.disk {
		if b != 0 && i >= 1<<20 {
			return int64(i) &^ 4095
		}
	}
	return 0
}

// TestDamage: a damaged chunk is an I/O error for the guest and is named, with its holder, in the server's log; with a sound copy
// in another region it is mended and the guest notices nothing.
func TestDamage(t *testing.T) {
	qemuIO := needs(t, "qemu-io")
	w := newWorld(t, 1)
	off := w.firstData()
	object := w.damage("eastus", off)
	b := w.base()
	w.run()
	read := func() (string, error) {
		out, err := exec.Command(qemuIO, "-r", "--image-opts", node(b), "-c", fmt.Sprintf("read -v %d 16", off)).CombinedOutput()
		return string(out), err
	}
	if out, err := read(); !strings.Contains(out, "Input/output error") {
		t.Errorf("a damaged chunk: %v, %s", err, out)
	}
	await(t, "the log to name it", func() bool {
		return strings.Contains(w.log.String(), object) && strings.Contains(w.log.String(), holder) && strings.Contains(w.log.String(), "region=eastus")
	})
	raw, err := w.images.Pack(t.Context(), "westus", domain, bytes.NewReader(w.disk), int64(len(w.disk)), nil)
	if err != nil || raw != w.ref {
		t.Fatal(err)
	}
	await(t, "the chunk to be mended", func() bool {
		out, _ := read()
		return checkDump(t, out, w.disk) == 1
	})
}

// TestShredded: when the tenant's key is destroyed, guests get errors, and nothing of the base is left.
func TestShredded(t *testing.T) {
	w := newWorld(t, 1)
	b := w.base()
	w.run()
	_, err := w.images.Shred(t.Context(), domain, func(store.Tx, []image.Pinned) error { return nil })
	must(t, err)
	await(t, "the export to go", func() bool {
		s, err := w.bases.Status(t.Context())
		return err == nil && len(s) == 0
	})
	if list, err := filepath.Glob(b.Path + "*"); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	if _, err := w.bases.Base(t.Context(), "eastus", w.ref); err == nil {
		t.Error("a base of a shredded image")
	}
}

// TestDeleted: as long as a disk pins the content, a collection leaves the base alone; without pins it and its bytes go.
func TestDeleted(t *testing.T) {
	qemuIO := needs(t, "qemu-io")
	w := newWorld(t, 1)
	b := w.base()
	w.run()
	_, err := w.images.CollectOlder(t.Context(), "eastus", 0)
	must(t, err)
	off := w.firstData()
	out, err := exec.Command(qemuIO, "-r", "--image-opts", node(b), "-c", fmt.Sprintf("read -v %d 16", off)).CombinedOutput()
	if err != nil || checkDump(t, string(out), w.disk) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error { return w.images.Unpin(tx, w.ref, "eastus", holder) }))
	_, err = w.images.CollectOlder(t.Context(), "eastus", 0)
	must(t, err)
	await(t, "the export to go", func() bool {
		s, err := w.bases.Status(t.Context())
		return err == nil && len(s) == 0
	})
	if list, err := filepath.Glob(b.Path + "*"); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

// TestRotated: the tenant's key changes while a guest reads, and what is stored is sealed anew.
func TestRotated(t *testing.T) {
	img := needs(t, "qemu-img")
	w := newWorld(t, 1)
	b := w.base()
	w.run()
	_, err := w.images.Keys().Rotate(t.Context(), domain)
	must(t, err)
	r, _, err := w.images.CheckManifest(t.Context(), "eastus", w.ref, true)
	must(t, err)
	for _, e := range r.Entries() {
		_, err := r.Check(t.Context(), e, true)
		must(t, err)
	}
	if out, err := exec.Command(img, "compare", "-s", "--image-opts", node(b), "driver=raw,file.driver=file,file.filename="+w.raw()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestUnknownExports: names that are none, of nobody, or climb out of the folder are refused.
func TestUnknownExports(t *testing.T) {
	for _, name := range []string{"", "eastus", "eastus/" + domain + "/x", "../" + domain + "/" + strings.Repeat("0", 64), "eastus/../" + strings.Repeat("0", 64),
		"eastus/" + domain + "/" + strings.Repeat("A", 64), "eastus/" + domain + "/" + strings.Repeat("0", 64) + "/", "eastus/" + domain + "/../" + strings.Repeat("0", 64)} {
		if path, ok := baseFile("/bases", name); ok {
			t.Errorf("%q is %s", name, path)
		}
	}
	if path, ok := baseFile("/bases", "eastus/"+domain+"/"+strings.Repeat("0", 64)); !ok || path != "/bases/eastus/"+domain+"/"+strings.Repeat("0", 64)+".raw" {
		t.Errorf("%s, %v", path, ok)
	}
}

// TestNotPinned: a content that nothing pins is not served, since it may be collected at any time.
func TestNotPinned(t *testing.T) {
	w := newWorld(t, 1)
	must(t, w.store.Update(t.Context(), func(tx store.Tx) error { return w.images.Unpin(tx, w.ref, "eastus", holder) }))
	if b, err := w.bases.Base(t.Context(), "eastus", w.ref); err == nil {
		t.Errorf("%+v", b)
	}
}

var _ io.Writer = (*buffer)(nil)
