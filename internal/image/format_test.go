package image

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"vitrine/internal/digest"
)

var update = flag.Bool("update", false, "write the golden files")

// zstd's frame checksum is the low half of XXH64 with seed 0: an independent implementation to compare with.
func TestHashBlockIsXXH64(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, block)
	for range 50 {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		frame := enc.EncodeAll(b, nil)
		if got, want := uint32(hashBlock(b)), binary.LittleEndian.Uint32(frame[len(frame)-4:]); got != want {
			t.Fatalf("hashBlock = %08x, XXH64 = %08x", got, want)
		}
	}
}

func TestCutBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 16<<20)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	chunks := 0
	for rest := data; len(rest) > 0; chunks++ {
		n, zero := next(rest, true)
		if zero || n%block != 0 || n > maxChunk || n < minChunk && n != len(rest) {
			t.Fatalf("a chunk of %d bytes, zero %v", n, zero)
		}
		rest = rest[n:]
	}
	if mean := len(data) / chunks; mean < 48<<10 || mean > 96<<10 {
		t.Errorf("mean chunk %d bytes", mean)
	}
	if n, _ := next(bytes.Repeat([]byte{1}, maxChunk-block), false); n != 0 {
		t.Errorf("cut %d before more data came", n)
	}
	if n, zero := next(make([]byte, 3*block), false); n != 3*block || !zero {
		t.Errorf("zeros: %d, %v", n, zero)
	}
	if n, _ := next(append([]byte{1}, make([]byte, 3*block-1)...), false); n != block {
		t.Errorf("before zeros: %d", n)
	}
}

// goldenDisk can be made again in any language: byte i of a block is (block number * 7 + i * (1 + block number % 5)) mod
// 251, blocks 20 to 29 are zero, and the disk ends inside a block.
func goldenDisk() []byte {
	b := make([]byte, 100*block+512)
	for i := range b {
		n := i / block
		if n < 20 || n > 29 {
			b[i] = byte((n*7 + (i%block)*(1+n%5)) % 251)
		}
	}
	return b
}

// The format is a promise: these bytes must stay readable, and must stay what this disk becomes.
func TestGoldenManifest(t *testing.T) {
	w := newWorld(t)
	ref := w.pack(t, "eastus", goldenDisk())
	m, err := w.loadManifest(t.Context(), w.buckets["eastus"], "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "manifest.v1.hex")
	got := hex.Dump(m.marshal())
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("manifest changed (%v):\n%s", err, got)
	}
	if ref.ID != digest.Of(m.marshal()).Hex() {
		t.Error("the name is not the digest of the canonical bytes")
	}
}

func sampleManifest() *manifest {
	return &manifest{domain: dom, size: 10*block + 512, entries: []entry{
		{0, 2 * block, digest.Of([]byte("a"))}, {4 * block, block, digest.Of([]byte("b"))}, {10 * block, 512, digest.Of([]byte("c"))},
	}}
}

func TestManifestRefuses(t *testing.T) {
	good := sampleManifest().marshal()
	if _, err := parseManifest(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := parseManifest(good[:n]); err == nil {
			t.Fatalf("the first %d bytes were taken for a manifest", n)
		}
	}
	if _, err := parseManifest(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	for name, change := range map[string]func(*manifest){
		"overlap":     func(m *manifest) { m.entries[1].offset = block },
		"order":       func(m *manifest) { m.entries[0].offset = 6 * block },
		"unaligned":   func(m *manifest) { m.entries[1].offset++ },
		"empty chunk": func(m *manifest) { m.entries[1].length = 0 },
		"huge chunk":  func(m *manifest) { m.size = MaxSize; m.entries[2].length = maxChunk + block },
		"beyond":      func(m *manifest) { m.entries[2].length = block },
		"part inside": func(m *manifest) { m.entries[1].length = 512 },
		"negative":    func(m *manifest) { m.entries[0].offset = -block },
		"no size":     func(m *manifest) { m.size = 0; m.entries = nil },
		"odd size":    func(m *manifest) { m.size = 511; m.entries = nil },
		"big size":    func(m *manifest) { m.size = MaxSize + 512 },
		"domain":      func(m *manifest) { m.domain = "../x" },
		"no domain":   func(m *manifest) { m.domain = "" },
		"key":         func(m *manifest) { m.keyID = "k1" },
	} {
		m := sampleManifest()
		change(m)
		if _, err := parseManifest(m.marshal()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	good := sampleManifest().marshal()
	f.Add(good)
	f.Add(good[:headerLen])
	f.Add([]byte(manifestMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseManifest(b); err == nil && !bytes.Equal(m.marshal(), b) {
			t.Error("a manifest with two spellings")
		}
	})
}

func FuzzFrame(f *testing.F) {
	c, err := newCodec(1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.encode(nil, []byte("hello hello hello hello hello hello hello")))
	f.Add(c.encode(nil, make([]byte, maxChunk)))
	f.Add([]byte{frameZstd, 0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := unframe(c.small, nil, b); err == nil && len(plain) > max(maxChunk, len(b)) {
			t.Errorf("a frame of %d bytes became %d", len(b), len(plain))
		}
	})
}
