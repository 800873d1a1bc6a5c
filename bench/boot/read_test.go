package boot_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// content is what compresses about by half, in stretches with holes between.
func content(b *testing.B, path string, size int64) {
	b.Helper()
	f, err := os.Create(path)
	must(b, err)
	must(b, f.Truncate(size))
	r := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(p)) {
		if r.IntN(8) == 0 {
			continue
		}
		for i := 0; i < len(p); i += 8 { // half noise, half text
			v := r.Uint64()
			for k := range 4 {
				p[i+k], p[i+4+k] = byte(v>>(8*k)), "vtrn"[k]
			}
		}
		_, err := f.WriteAt(p, at)
		must(b, err)
	}
	must(b, f.Close())
}

// BenchmarkRead reads a disk that is cold: ours from chunks, beside qemu-nbd on a qcow2 compressed by zstd.
func BenchmarkRead(b *testing.B) {
	const size = 256 << 20
	w := newWorld(b)
	raw, peer := filepath.Join(w.data, "read.raw"), filepath.Join(w.data, "read.qcow2")
	content(b, raw, size)
	ref := w.pack(raw, size)
	if out, err := exec.Command("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", raw, peer).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	socket := filepath.Join(w.data, "run", "peer.sock")
	measure := func(node string, args ...string) time.Duration {
		began := time.Now()
		if out, err := exec.Command("qemu-img", append(append([]string{"bench", "--image-opts"}, args...), node)...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return time.Since(began)
	}
	times := map[string][]time.Duration{}
	kinds := map[string][]string{"stream": {"-c", "256", "-s", "1M", "-d", "4"}, "random": {"-c", "2000", "-s", "4k", "-S", "9973760", "-d", "8"}}
	for b.Loop() {
		for kind, args := range kinds {
			w.chill(ref)
			base := w.base(ref)
			times["ours-"+kind] = append(times["ours-"+kind], measure("driver=nbd,server.type=unix,server.path="+base.Socket+",export="+base.Export, args...))
			server := exec.Command("qemu-nbd", "-r", "-t", "-k", socket, "-f", "qcow2", "-x", "peer", peer)
			must(b, server.Start())
			await(b, func() bool { _, err := os.Stat(socket); return err == nil })
			times["peer-"+kind] = append(times["peer-"+kind], measure("driver=nbd,server.type=unix,server.path="+socket+",export=peer", args...))
			must(b, server.Process.Kill())
			_ = server.Wait()
			must(b, os.Remove(socket))
		}
	}
	for name, list := range times {
		b.ReportMetric(float64(median(list).Milliseconds()), name+"-ms")
	}
}
