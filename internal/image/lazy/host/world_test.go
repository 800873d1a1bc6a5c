package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/image"
	"vitrine/internal/image/packs"
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
		open, err := buckets(data, place, nil)
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

// buckets opens those of a folder, or at an address those of an object store, as the server does, or without docs as its process.
func buckets(data, place string, docs *store.Store) (func(string) (*blob.Bucket, error), error) {
	objects := func(region string) (*blob.Bucket, error) {
		return fileblob.Open(filepath.Join(data, "regions", region))
	}
	if place != "" {
		c, err := s3blob.Parse(place)
		if err != nil {
			return nil, err
		}
		server, err := s3blob.Dial(context.Background(), c)
		if err != nil {
			return nil, err
		}
		objects = func(region string) (*blob.Bucket, error) { return server.Bucket(region), nil }
	}
	var mu sync.Mutex
	opened := map[string]*blob.Bucket{}
	return func(region string) (*blob.Bucket, error) {
		mu.Lock()
		defer mu.Unlock()
		if opened[region] != nil {
			return opened[region], nil
		}
		b, err := objects(region)
		if err == nil && docs == nil {
			b, err = packs.NewReader(packs.ReaderConfig{Bucket: b, Direct: place == ""})
		} else if err == nil {
			b, err = packs.New(packs.Config{Bucket: b, Store: docs, Region: region}.InFiles())
		}
		if err == nil {
			opened[region] = b
		}
		return b, err
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
	open, err := buckets(data, place, w.store)
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
			if err := proc.End(context.Background(), p, 30*time.Second); err != nil {
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
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-tick.C {
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
