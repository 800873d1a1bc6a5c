package chunk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"vitrine/internal/digest"
)

const dom = "tenant-1"

var update = flag.Bool("update", false, "write the golden files")

// zstd's frame checksum is the low half of XXH64 with seed 0: an independent implementation to compare with.
func TestHashBlockIsXXH64(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, Block)
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
		n, zero := Next(rest, true)
		if zero || n%Block != 0 || n > Max || n < minimum && n != len(rest) {
			t.Fatalf("a chunk of %d bytes, zero %v", n, zero)
		}
		rest = rest[n:]
	}
	if mean := len(data) / chunks; mean < 48<<10 || mean > 96<<10 {
		t.Errorf("mean chunk %d bytes", mean)
	}
	if n, _ := Next(bytes.Repeat([]byte{1}, Max-Block), false); n != 0 {
		t.Errorf("cut %d before more data came", n)
	}
	if n, zero := Next(make([]byte, 3*Block), false); n != 3*Block || !zero {
		t.Errorf("zeros: %d, %v", n, zero)
	}
	if n, _ := Next(append([]byte{1}, make([]byte, 3*Block-1)...), false); n != Block {
		t.Errorf("before zeros: %d", n)
	}
}

// goldenDisk can be made again in any language: byte i of a Block is (Block number * 7 + i * (1 + Block number % 5)) mod
// 251, blocks 20 to 29 are zero, and the disk ends inside a Block.
func goldenDisk() []byte {
	b := make([]byte, 100*Block+512)
	for i := range b {
		n := i / Block
		if n < 20 || n > 29 {
			b[i] = byte((n*7 + (i%Block)*(1+n%5)) % 251)
		}
	}
	return b
}

// goldenKey is the key of the secret 00 01 02 … 1f.
func goldenKey(t testing.TB) *Key {
	t.Helper()
	secret := make([]byte, SecretSize)
	for i := range secret {
		secret[i] = byte(i)
	}
	key, err := NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// cutAll is what the packer does, one chunk after the other.
func cutAll(disk []byte, key *Key) *Manifest {
	m := &Manifest{Domain: dom, KeyID: key.ID(), Size: int64(len(disk))}
	for at := 0; at < len(disk); {
		n, zero := Next(disk[at:], true)
		if !zero {
			m.Entries = append(m.Entries, Entry{int64(at), n, key.Name(disk[at : at+n])})
		}
		at += n
	}
	return m
}

// The format is a promise: these bytes must stay readable, and must stay what this disk becomes.
func TestGoldenManifest(t *testing.T) {
	for name, key := range map[string]*Key{"manifest.v1.hex": nil, "manifest.v2.hex": goldenKey(t)} {
		m := cutAll(goldenDisk(), key)
		golden(t, name, hex.Dump(m.Marshal()))
		if back, err := Parse(m.Marshal()); err != nil || back.KeyID != key.ID() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s changed (%v):\n%s", name, err, got)
	}
}

// A frame that was sealed once must open for ever, in its own place alone: those without a checksum, which were written first, too.
func TestGoldenFrame(t *testing.T) {
	c, key, plain := newTestCodec(t), goldenKey(t), goldenDisk()[:Block]
	object := Object(dom, key.Name(plain))
	keys := func(string) (*Key, error) { return key, nil }
	for name, sum := range map[string]bool{"frame.v2.hex": false, "frame.v2-checksum.hex": true} {
		path := filepath.Join("testdata", name)
		if *update && sum {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(c.Encode(nil, plain, object, key))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(string(bytes.TrimSpace(text)))
		if err != nil || SealedWith(frame) != key.ID() || key.ID() != "1d3da37b141ccf47" {
			t.Fatalf("%s: %v, sealed with %s, the key is %s", name, err, SealedWith(frame), key.ID())
		}
		if _, _, err := c.Chunk(nil, bytes.Clone(frame), Object(dom+"2", key.Name(plain)), keys); err == nil {
			t.Errorf("%s opens under another name", name)
		}
		back, proven, err := c.Chunk(nil, frame, object, keys)
		if err != nil || !bytes.Equal(back, plain) || proven != sum {
			t.Errorf("%s: proven %v, %v", name, proven, err)
		}
	}
}

// What is not sealed, or has no checksum, proves nothing; of what is both, the checksum counts: it stands for a fault of the decoder.
func TestProven(t *testing.T) {
	c, key, old := newTestCodec(t), goldenKey(t), newTestCodec(t)
	var err error
	if old.enc, err = zstd.NewWriter(nil, zstd.WithEncoderCRC(false)); err != nil {
		t.Fatal(err)
	}
	text, noise := bytes.Repeat([]byte("attack at dawn! "), 4096), make([]byte, Max)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	sealed := func(inner []byte) []byte { return key.seal(append(make([]byte, sealedLen), inner...), "o") }
	sum := c.Encode(nil, text, "o", nil)
	other := bytes.Clone(sum)
	other[len(other)-1] ^= 1
	for name, x := range map[string]struct {
		frame, plain  []byte
		opens, proven bool
	}{
		"new":                            {c.Encode(nil, text, "o", key), text, true, true},
		"new, of noise":                  {c.Encode(nil, noise, "o", key), noise, true, true},
		"new, one byte":                  {c.Encode(nil, text[:1], "o", key), text[:1], true, true},
		"new, not sealed":                {c.Encode(nil, text, "o", nil), text, true, false},
		"noise, not sealed":              {c.Encode(nil, noise, "o", nil), noise, true, false},
		"before checksums":               {old.Encode(nil, text, "o", key), text, true, false},
		"stored inside a seal":           {sealed(append([]byte{frameStored}, noise...)), noise, true, false},
		"the checksum of something else": {sealed(other), nil, false, false},
	} {
		if len(x.frame) > maxFrame {
			t.Errorf("%s: a frame of %d bytes", name, len(x.frame))
		}
		plain, proven, err := c.Chunk(nil, bytes.Clone(x.frame), "o", func(string) (*Key, error) { return key, nil })
		if (err == nil) != x.opens || proven != x.proven || x.opens && !bytes.Equal(plain, x.plain) {
			t.Errorf("%s: proven %v, %v", name, proven, err)
		}
	}
}

func newTestCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Every bit of a sealed frame counts, and nothing of the content shows in it or in the name.
func TestSealedFrame(t *testing.T) {
	c, key := newTestCodec(t), goldenKey(t)
	other, err := NewKey(bytes.Repeat([]byte{7}, SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte("attack at dawn! "), 64)
	object := Object(dom, key.Name(plain))
	frame := c.Encode(nil, plain, object, key)
	if again := c.Encode(nil, plain, object, key); bytes.Equal(again, frame) {
		t.Error("a nonce was used twice")
	}
	if bytes.Contains(frame, plain[:16]) || key.Name(plain) == digest.Of(plain) || key.Name(plain) == other.Name(plain) {
		t.Error("content shows")
	}
	keys := func(id string) (*Key, error) {
		if id != key.ID() {
			return nil, errors.New("no such key")
		}
		return key, nil
	}
	for bit := range len(frame) * 8 {
		bad := bytes.Clone(frame)
		bad[bit/8] ^= 1 << (bit % 8)
		if back, proven, err := c.Chunk(nil, bad, object, keys); err == nil && (proven || key.Verify(key.Name(plain), back) == nil) {
			t.Fatalf("bit %d does not count", bit)
		}
	}
	for n := range frame {
		if _, _, err := c.Chunk(nil, bytes.Clone(frame[:n]), object, keys); err == nil {
			t.Fatalf("the first %d bytes were taken", n)
		}
	}
	twice := key.seal(append(make([]byte, sealedLen), frame...), object)
	if _, _, err := c.Chunk(nil, twice, object, keys); err == nil {
		t.Error("a frame sealed twice was taken")
	}
	var scratch Scratch
	if err := c.Prove(&scratch, frame, plain, object, key); err != nil {
		t.Error(err)
	}
	if err := c.Prove(&scratch, frame, plain[1:], object, key); err == nil {
		t.Error("other content was proved")
	}
	if _, err := NewKey(nil); err == nil {
		t.Error("a key of nothing")
	}
}

func sampleManifest() *Manifest {
	return &Manifest{Domain: dom, Size: 10*Block + 512, Entries: []Entry{
		{0, 2 * Block, digest.Of([]byte("a"))}, {4 * Block, Block, digest.Of([]byte("b"))}, {10 * Block, 512, digest.Of([]byte("c"))},
	}}
}

func TestManifestRefuses(t *testing.T) {
	good := sampleManifest().Marshal()
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := Parse(good[:n]); err == nil {
			t.Fatalf("the first %d bytes were taken for a manifest", n)
		}
	}
	if _, err := Parse(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	for name, change := range map[string]func(*Manifest){
		"overlap":     func(m *Manifest) { m.Entries[1].Offset = Block },
		"order":       func(m *Manifest) { m.Entries[0].Offset = 6 * Block },
		"unaligned":   func(m *Manifest) { m.Entries[1].Offset++ },
		"empty chunk": func(m *Manifest) { m.Entries[1].Length = 0 },
		"huge chunk":  func(m *Manifest) { m.Size = MaxSize; m.Entries[2].Length = Max + Block },
		"beyond":      func(m *Manifest) { m.Entries[2].Length = Block },
		"part inside": func(m *Manifest) { m.Entries[1].Length = 512 },
		"negative":    func(m *Manifest) { m.Entries[0].Offset = -Block },
		"no size":     func(m *Manifest) { m.Size = 0; m.Entries = nil },
		"odd size":    func(m *Manifest) { m.Size = 511; m.Entries = nil },
		"big size":    func(m *Manifest) { m.Size = MaxSize + 512 },
		"domain":      func(m *Manifest) { m.Domain = "../x" },
		"no domain":   func(m *Manifest) { m.Domain = "" },
		"key":         func(m *Manifest) { m.KeyID = "k1" },
		"short key":   func(m *Manifest) { m.KeyID = "0123456789abcde" },
	} {
		m := sampleManifest()
		change(m)
		if _, err := Parse(m.Marshal()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	good := sampleManifest().Marshal()
	f.Add(good)
	f.Add(good[:headerLen])
	f.Add([]byte(manifestMagic))
	keyed := sampleManifest()
	keyed.KeyID = "0123456789abcdef"
	f.Add(keyed.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Parse(b); err == nil && !bytes.Equal(m.Marshal(), b) {
			t.Error("a manifest with two spellings")
		}
	})
}

func FuzzFrame(f *testing.F) {
	c, key := newTestCodec(f), goldenKey(f)
	hello := []byte("hello hello hello hello hello hello hello")
	f.Add(c.Encode(nil, hello, "o", nil))
	f.Add(c.Encode(nil, make([]byte, Max), "o", nil))
	f.Add(c.Encode(nil, hello, "o", key))
	f.Add([]byte{frameZstd, 0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, _, err := c.Chunk(nil, bytes.Clone(b), "o", func(string) (*Key, error) { return key, nil })
		if err == nil && len(plain) > max(Max, len(b)) {
			t.Errorf("a frame of %d bytes became %d", len(b), len(plain))
		}
	})
}

func BenchmarkHashBlock(b *testing.B) {
	p := goldenDisk()[:Block]
	b.SetBytes(Block)
	for b.Loop() {
		hashBlock(p)
	}
}

func BenchmarkFrame(b *testing.B) {
	c, plain := newTestCodec(b), goldenDisk()[:16*Block]
	rand.NewChaCha8([32]byte{}).Read(plain[:8*Block])
	for name, key := range map[string]*Key{"plain": nil, "sealed": goldenKey(b)} {
		b.Run("encode/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			var frame []byte
			for b.Loop() {
				key.Name(plain)
				frame = c.Encode(frame, plain, "o", key)
			}
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			frame := c.Encode(nil, plain, "o", key)
			keys := func(string) (*Key, error) { return key, nil }
			var dst, copied []byte
			for b.Loop() {
				copied = append(copied[:0], frame...)
				var proven bool
				if dst, proven, _ = c.Chunk(dst, copied, "o", keys); !proven {
					key.Name(dst)
				}
			}
		})
	}
}
