// Package boot_test measures what it costs that a machine's image is not copied: the making of its disk, and the boot of the tiny guest.
//
// It owns no assertion: the numbers are in RESULTS.md, made by
//
//	make guest && go test -run '^$' -bench . -benchtime 5x -timeout 30m ./bench/boot
//
// A boot is from the start of QEMU until something listens on the guest's port 22, which it says on its serial console. The kinds take
// turns, as neighbours may have the processor:
//
//	tiny.qcow2 ─▶ raw file; store ─▶ cold base, base that has become whole ─▶ overlay ─▶ boot ─▶ medians, ratios to the raw file
package boot_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/image"
	"vitrine/internal/image/lazy"
	"vitrine/internal/image/lazy/host"
	"vitrine/internal/image/packs"
	"vitrine/internal/proc"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/vm"
	"vitrine/internal/vm/qemu"
)

// TestMain is the processes of the server too.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 {
		dir := os.Args[3]
		data := filepath.Dir(dir)
		var err error
		switch os.Args[1] {
		case "supervise":
			err = qemu.Supervise(context.Background(), dir)
		case "nbd":
			err = host.Serve(context.Background(), host.Process{Dir: dir, Sockets: filepath.Join(data, "run"), Bases: image.Bases(filepath.Join(data, "image")),
				Buckets: buckets(data, nil), Regions: []string{"eastus"}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if proc.IsHelper() {
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// buckets are a data folder's, as the server opens them, or without docs as the process that serves bases.
func buckets(data string, docs *store.Store) func(string) (*blob.Bucket, error) {
	open := sync.OnceValues(func() (*blob.Bucket, error) {
		files, err := fileblob.Open(filepath.Join(data, "regions", "eastus"))
		if err != nil {
			return nil, err
		}
		if docs == nil {
			return packs.NewReader(packs.ReaderConfig{Bucket: files, Direct: true})
		}
		return packs.New(packs.Config{Bucket: files, Store: docs, Region: "eastus"}.InFiles())
	})
	return func(string) (*blob.Bucket, error) { return open() }
}

// world is a server's back-ends on a folder.
type world struct {
	b       *testing.B
	data    string
	images  *image.Store
	bases   *host.Bases
	runtime *qemu.Runtime
}

const domain = "tenant"

func newWorld(b *testing.B) *world {
	b.Helper()
	data, err := os.MkdirTemp("", "boot")
	must(b, err)
	w := &world{b: b, data: data}
	sealer, err := seal.Load(filepath.Join(data, "master.key"))
	must(b, err)
	docs := store.New(memstore.Open())
	w.images, err = image.New(image.Config{Dir: filepath.Join(data, "image"), Store: docs, Buckets: buckets(data, docs), Sealer: sealer, Regions: []string{"eastus"}})
	must(b, err)
	sockets, err := vm.SocketDir(data)
	must(b, err)
	w.bases, err = host.Open(host.Config{Images: w.images, Dir: filepath.Join(data, "nbd"), Sockets: sockets, Self: []string{proc.Self(), "nbd"}, Rate: 64 << 20})
	must(b, err)
	w.runtime, err = qemu.Open(b.Context(), qemu.Config{Data: data, Self: []string{proc.Self(), "supervise"}, Log: slog.New(slog.DiscardHandler)})
	must(b, err)
	ctx, end := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { w.bases.Run(ctx) })
	b.Cleanup(func() {
		end()
		group.Wait()
		var p proc.Identity
		if proc.ReadState(filepath.Join(data, "nbd", "process.json"), &p) == nil {
			must(b, proc.End(context.Background(), p, 5*time.Second))
		}
		must(b, w.images.Close())
		must(b, os.RemoveAll(data))
	})
	return w
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// pack stores a disk, and pins it.
func (w *world) pack(path string, size int64) image.Ref {
	w.b.Helper()
	f, err := os.Open(path)
	must(w.b, err)
	defer f.Close()
	ref, err := w.images.Pack(w.b.Context(), "eastus", domain, f, size, nil)
	must(w.b, err)
	must(w.b, w.images.Store.Update(w.b.Context(), func(tx store.Tx) error { return w.images.Pin(tx, ref, "eastus", "disk") }))
	return ref
}

func (w *world) base(ref image.Ref) image.Base {
	w.b.Helper()
	base, err := w.bases.Base(w.b.Context(), "eastus", ref)
	must(w.b, err)
	return base
}

// chill takes a base away, so that the next one is cold.
func (w *world) chill(ref image.Ref) {
	w.b.Helper()
	must(w.b, lazy.Remove(filepath.Join(image.Bases(w.images.Dir), image.BaseFile("eastus", ref))))
	await(w.b, func() bool {
		s, err := w.bases.Status(w.b.Context())
		return err == nil && len(s) == 0
	})
}

func await(b *testing.B, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			b.Fatal("waited in vain")
		}
	}
}

// boot makes an overlay and boots from it; it gives the time until the guest's SSH server listens.
func (w *world) boot(base vm.Base, size int64) time.Duration {
	w.b.Helper()
	id := uuid.NewString()
	path := filepath.Join(w.data, id+".qcow2")
	must(w.b, w.runtime.CreateDisk(w.b.Context(), vm.NewDisk{Path: path, Size: size, Base: "/none.raw", BaseFormat: vm.Raw, Later: true}))
	began := time.Now()
	must(w.b, w.runtime.Start(w.b.Context(), vm.Machine{ID: id, Name: "boot", CPUs: 1, MemoryMiB: 256, Disks: []vm.Disk{{Path: path, Format: vm.QCOW2, Base: &base}}}))
	await(w.b, func() bool {
		log, err := w.runtime.SerialLog(w.b.Context(), id)
		return err == nil && bytes.Contains(log, []byte("vitrine-guest: ready"))
	})
	took := time.Since(began)
	must(w.b, w.runtime.Remove(w.b.Context(), id))
	must(w.b, os.Remove(path))
	return took
}

func BenchmarkBoot(b *testing.B) {
	guest := filepath.Join("..", "..", "build", "guest", "tiny.qcow2")
	if _, err := os.Stat(guest); err != nil {
		b.Skip("the guest image is missing (make guest)")
	}
	w := newWorld(b)
	raw := filepath.Join(w.data, "guest.raw")
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", guest, raw).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	const size = 128 << 20
	ref := w.pack(raw, size)
	kinds := []struct {
		name string
		boot func() time.Duration
	}{
		{"raw", func() time.Duration { return w.boot(vm.Base{Path: raw}, size) }},
		{"cold", func() time.Duration {
			w.chill(ref)
			base := w.base(ref)
			if base.Socket == "" {
				b.Fatal("the base is not cold")
			}
			return w.boot(vm.Base{Socket: base.Socket, Export: base.Export}, size)
		}},
		{"served-whole", func() time.Duration { // as a machine does that began on a cold base, after a restart by its guest
			await(b, func() bool { return w.base(ref).Socket == "" })
			return w.boot(vm.Base{Socket: filepath.Join(w.data, "run", "nbd.sock"), Export: "eastus/" + ref.String()}, size)
		}},
		{"hydrated", func() time.Duration {
			await(b, func() bool { return w.base(ref).Socket == "" })
			return w.boot(vm.Base{Path: w.base(ref).Path}, size)
		}},
	}
	times := map[string][]time.Duration{}
	for b.Loop() {
		for _, k := range kinds {
			d := k.boot()
			b.Logf("%s %.2f s", k.name, d.Seconds())
			times[k.name] = append(times[k.name], d)
		}
	}
	for _, k := range kinds {
		b.ReportMetric(median(times[k.name]).Seconds(), k.name+"-s")
		b.ReportMetric(float64(median(times[k.name]))/float64(median(times["raw"])), k.name+"/raw")
	}
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// BenchmarkCreate makes the disk of a machine from an image of some data in a disk of 2 and of 64 GiB, ours from a cold base on, beside
// qemu-img on a raw file that is there.
func BenchmarkCreate(b *testing.B) {
	w := newWorld(b)
	sizes := []int64{2, 64}
	refs, raws := map[int64]image.Ref{}, map[int64]string{}
	for _, gib := range sizes {
		raws[gib] = filepath.Join(w.data, fmt.Sprint(gib, ".raw"))
		f, err := os.Create(raws[gib])
		must(b, err)
		must(b, f.Truncate(gib<<30))
		_, err = f.WriteAt(bytes.Repeat([]byte("vitrine "), 2<<20), 1<<20)
		must(b, err)
		must(b, f.Close())
		refs[gib] = w.pack(raws[gib], gib<<30)
	}
	w.base(refs[2]) // there is a process
	times := map[string][]time.Duration{}
	for b.Loop() {
		for _, gib := range sizes {
			w.chill(refs[gib])
			path := filepath.Join(w.data, "new.qcow2")
			began := time.Now()
			base := w.base(refs[gib])
			must(b, w.runtime.CreateDisk(b.Context(), vm.NewDisk{Path: path, Size: gib << 30, Base: base.Path, BaseFormat: vm.Raw, Later: true}))
			times[fmt.Sprint("cold-", gib)] = append(times[fmt.Sprint("cold-", gib)], time.Since(began))
			must(b, os.Remove(path))
			await(b, func() bool { return w.base(refs[gib]).Socket == "" })
			began = time.Now()
			base = w.base(refs[gib])
			must(b, w.runtime.CreateDisk(b.Context(), vm.NewDisk{Path: path, Size: gib << 30, Base: base.Path, BaseFormat: vm.Raw, Later: true}))
			times[fmt.Sprint("whole-", gib)] = append(times[fmt.Sprint("whole-", gib)], time.Since(began))
			must(b, os.Remove(path))
			began = time.Now()
			if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", raws[gib], "-F", "raw", path).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			times[fmt.Sprint("qemu-img-", gib)] = append(times[fmt.Sprint("qemu-img-", gib)], time.Since(began))
			must(b, os.Remove(path))
		}
	}
	for name, list := range times {
		b.ReportMetric(float64(median(list).Microseconds())/1000, name+"-ms")
	}
}
