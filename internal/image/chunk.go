package image

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"vitrine/internal/digest"
)

// An object is a frame: one byte that says how the rest is encoded. More encodings (encrypted ones) get more numbers.
const (
	frameStored = 0 // as it is
	frameZstd   = 1 // one zstd frame
)

// codec makes and reads frames. Its methods may be called by many goroutines.
type codec struct {
	enc   *zstd.Encoder
	small *zstd.Decoder // for chunks: refuses to produce more than maxChunk
	large *zstd.Decoder // for manifests
}

func newCodec(workers int) (*codec, error) {
	enc, err1 := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(false), // the digest says more
		zstd.WithWindowSize(maxChunk))
	small, err2 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(maxChunk))
	large, err3 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxManifest))
	return &codec{enc, small, large}, errors.Join(err1, err2, err3)
}

func (c *codec) close() error {
	c.small.Close()
	c.large.Close()
	return c.enc.Close()
}

// encode writes the frame of plain into dst[:0].
func (c *codec) encode(dst, plain []byte) []byte {
	dst = c.enc.EncodeAll(plain, append(dst[:0], frameZstd))
	if len(dst) > len(plain) {
		dst = append(append(dst[:0], frameStored), plain...)
	}
	return dst
}

// decode appends what is in the frame of a chunk to dst[:0] and checks that it is what id names.
func (c *codec) decode(dst, frame []byte, id digest.Digest) ([]byte, error) {
	plain, err := unframe(c.small, dst, frame)
	if err != nil {
		return nil, err
	}
	return plain, id.Verify(plain)
}

func unframe(dec *zstd.Decoder, dst, frame []byte) ([]byte, error) {
	if len(frame) == 0 {
		return nil, errors.New("empty frame")
	}
	switch frame[0] {
	case frameStored:
		return append(dst[:0], frame[1:]...), nil
	case frameZstd:
		return dec.DecodeAll(frame[1:], dst[:0])
	}
	return nil, fmt.Errorf("frame encoding %d is not known here", frame[0])
}

// prove decodes a frame again: a fault of memory or compressor must not become the only copy.
func (c *codec) prove(scratch, frame, plain []byte) ([]byte, error) {
	back, err := unframe(c.small, scratch, frame)
	if err == nil && !bytes.Equal(back, plain) {
		err = errors.New("a chunk did not decompress to what was compressed")
	}
	return back, err
}
