package chunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// An object is a frame: one byte that says how the rest is encoded.
const (
	frameStored = 0 // as it is
	frameZstd   = 1 // one zstd frame
	frameSealed = 2 // id of a key, nonce, and another frame encrypted by AES-256-GCM
)

// Keys finds a key of the domain by its id.
type Keys func(id string) (*Key, error)

// Codec makes and reads frames. Its methods may be called by many goroutines.
type Codec struct {
	enc   *zstd.Encoder
	small *zstd.Decoder // for chunks: refuses to produce more than Max
	large *zstd.Decoder // for manifests
	spare sync.Pool     // of *[]byte: memory for a frame or a chunk
}

// Slack is how much room behind a chunk makes its decoding faster: the decoder then copies 16 bytes at a time.
const Slack = 16

// maxFrame is what the largest frame of a chunk has, and room.
const maxFrame = Max + 96

// Memory gives room for one frame, or for one chunk and Slack; its length is 0. Whoever does not need it any more gives it to Free.
func (c *Codec) Memory() *[]byte {
	if m, ok := c.spare.Get().(*[]byte); ok {
		return m
	}
	m := make([]byte, 0, maxFrame)
	return &m
}

// Free takes back what Memory gave.
func (c *Codec) Free(m *[]byte) { c.spare.Put(m) }

// NewCodec makes one that so many goroutines can use at a time. Close it.
func NewCodec(workers int) (*Codec, error) {
	enc, err1 := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(true),               // for readers that do not compute the id: see Codec.Chunk
		zstd.WithAllLitEntropyCompression(true), // machine code has few matches, but letters that are more frequent than others
		zstd.WithWindowSize(Max))
	small, err2 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(Max), zstd.IgnoreChecksum(false))
	large, err3 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxManifest))
	return &Codec{enc: enc, small: small, large: large}, errors.Join(err1, err2, err3)
}

// Close releases it.
func (c *Codec) Close() error {
	c.small.Close()
	c.large.Close()
	return c.enc.Close()
}

// Encode writes the frame of plain into dst[:0]; with a key it is encrypted, for object and no other name. Inside a sealed one is always a
// zstd frame, which has a checksum, also where that saves nothing: some 20 bytes.
func (c *Codec) Encode(dst, plain []byte, object string, key *Key) []byte {
	if key != nil {
		var head [sealedLen]byte
		return key.seal(c.enc.EncodeAll(plain, append(append(dst[:0], head[:]...), frameZstd)), object)
	}
	dst = c.enc.EncodeAll(plain, append(dst[:0], frameZstd))
	if len(dst) > len(plain) {
		dst = append(append(dst[:0], frameStored), plain...)
	}
	return dst
}

// Chunk appends what is in the frame of a chunk to dst[:0]; a sealed frame is destroyed by that. Whoever is to write the result anywhere
// verifies it against the chunk's id. Whoever only reads may take it as it is if it is proven: it was sealed for that object, and is what
// was compressed then, by its checksum.
func (c *Codec) Chunk(dst, frame []byte, object string, keys Keys) (plain []byte, proven bool, err error) {
	return unframe(c.small, dst, frame, object, keys)
}

// Manifest gives what is in the frame of a manifest, which is destroyed by that. The caller verifies it against the manifest's id.
func (c *Codec) Manifest(frame []byte, object string, keys Keys) ([]byte, error) {
	plain, _, err := unframe(c.large, nil, frame, object, keys)
	return plain, err
}

func unframe(dec *zstd.Decoder, dst, frame []byte, object string, keys Keys) (plain []byte, proven bool, err error) {
	id := SealedWith(frame)
	if id != "" {
		key, err := keys(id)
		if err != nil {
			return nil, false, err
		}
		if frame, err = key.open(frame[sealedLen:sealedLen], frame, object); err != nil {
			return nil, false, err
		}
	}
	proven = id != "" && checksummed(frame)
	plain, err = decode(dec, dst, frame)
	return plain, proven && err == nil, err
}

// checksummed says whether a frame that is not sealed is zstd with a checksum of the content (RFC 8878, 3.1.1.1.1.5), which its decoder verifies.
func checksummed(frame []byte) bool {
	return len(frame) > 5 && frame[0] == frameZstd && binary.LittleEndian.Uint32(frame[1:]) == zstdMagic && frame[5]&(1<<2) != 0
}

const zstdMagic = 0xFD2FB528

// decode appends to dst[:0] what is in a frame that is not encrypted, or not any more.
func decode(dec *zstd.Decoder, dst, frame []byte) ([]byte, error) {
	if len(frame) == 0 {
		return nil, errors.New("empty frame")
	}
	switch frame[0] {
	case frameStored:
		return append(dst[:0], frame[1:]...), nil
	case frameZstd:
		return dec.DecodeAll(frame[1:], dst[:0])
	case frameSealed:
		return nil, errors.New("a sealed frame that is cut short, or inside another")
	}
	return nil, fmt.Errorf("frame encoding %d is not known here", frame[0])
}

// Prove decodes a frame again, with scratch as memory, and leaves it as it is: a fault of memory, compressor or cipher
// must not become the only copy.
func (c *Codec) Prove(scratch *Scratch, frame, plain []byte, object string, key *Key) (err error) {
	if scratch.plain == nil {
		scratch.plain = make([]byte, 0, Max+Slack)
	}
	if SealedWith(frame) != "" {
		if frame, err = key.open(scratch.frame, frame, object); err != nil {
			return err
		}
		scratch.frame = frame
	}
	back, err := decode(c.small, scratch.plain, frame)
	if err == nil && !bytes.Equal(back, plain) {
		err = errors.New("a chunk did not decode to what was encoded")
	}
	return err
}

// Scratch is memory that Prove uses again.
type Scratch struct{ frame, plain []byte }
