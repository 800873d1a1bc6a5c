package image

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"

	"vitrine/internal/image/chunk"
)

// sealedByHand makes a frame as docs/design/image-format.md has it, with a checksum of the content or, as they were written before, without.
func (w *world) sealedByHand(t *testing.T, object string, plain []byte, sum bool) []byte {
	t.Helper()
	key, err1 := w.writingKey(t.Context(), dom)
	secrets, err2 := w.Keys().Secrets(t.Context(), dom)
	enc, err3 := zstd.NewWriter(nil, zstd.WithEncoderCRC(sum))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	raw, err1 := hkdf.Key(sha256.New, secrets[key.ID()], nil, "vitrine image v2 aes-256-gcm", 32)
	block, err2 := aes.NewCipher(raw)
	id, err3 := hex.DecodeString(key.ID())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	rand.Read(nonce)
	head := append(append([]byte{2}, id...), nonce...)
	return gcm.Seal(head, nonce, enc.EncodeAll(plain, []byte{1}), []byte(object))
}

// firstChunk opens a disk and gives its first entry and the name of that chunk's object.
func (w *world) firstChunk(t *testing.T, ref Ref) (*Reader, chunk.Entry, string) {
	t.Helper()
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	e := r.All()[0]
	return r, e, chunk.Object(dom, e.ID)
}

// A change of any stored byte is found when it is read, whether the frame has a checksum or is from before there were any.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t)
	want := bytes.Repeat([]byte("the quick brown fox jumps "), chunk.Block)[:chunk.Block]
	r, e, object := w.firstChunk(t, w.pack(t, "eastus", want))
	for _, sum := range []bool{true, false} {
		good := w.sealedByHand(t, object, want, sum)
		for at := range good {
			w.replace(t, object, flip(good, at))
			_, err := r.Fetch(t.Context(), e, nil)
			if c, ok := errors.AsType[*CorruptError](err); !ok || c.Key != object {
				t.Fatalf("checksum %v, byte %d is another: %v", sum, at, err)
			}
		}
		w.replace(t, object, good)
		if got, err := r.Fetch(t.Context(), e, nil); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("checksum %v: %v", sum, err)
		}
	}
}

// A frame that was sealed for its object around other content deceives a reader, if it has a checksum; no scrub, no replication, and whoever
// mends neither takes it for a sound copy.
func TestSealedAroundOtherContent(t *testing.T) {
	w := newWorld(t)
	want := disk(9, 1<<20)
	ref := w.pack(t, "eastus", want)
	r, e, object := w.firstChunk(t, ref)
	good, err := w.buckets["eastus"].Get(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	good = bytes.Clone(good)
	wrong := flip(want[e.Offset:e.End()], 7)
	w.replace(t, object, w.sealedByHand(t, object, wrong, false))
	if _, err := r.Fetch(t.Context(), e, nil); err == nil {
		t.Error("without a checksum it is read")
	}
	bad := w.sealedByHand(t, object, wrong, true)
	w.replace(t, object, bad)
	if _, err := r.Check(t.Context(), e, false); err == nil {
		t.Error("a scrub takes it")
	}
	var c *CorruptError
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); !errors.As(err, &c) || c.Key != object {
		t.Errorf("it is replicated: %v", err)
	}
	w.replace(t, object, good)
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.buckets["westus"].Replace(t.Context(), object, bad); err != nil {
		t.Fatal(err)
	}
	w.replace(t, object, good[:len(good)-1])
	if _, err := r.Fetch(t.Context(), e, nil); !errors.As(err, &c) {
		t.Errorf("mended with it: %v", err)
	}
	w.replace(t, object, good)
	there, err := w.Open(t.Context(), "westus", ref)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := there.Check(t.Context(), e, false); err != nil || !got.Mended {
		t.Errorf("a scrub does not mend it: %+v, %v", got, err)
	}
	if got, err := there.Fetch(t.Context(), e, nil); err != nil || !bytes.Equal(got, want[e.Offset:e.End()]) {
		t.Errorf("after the scrub: %v", err)
	}
}
