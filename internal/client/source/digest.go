package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"vitrine/internal/image/extent"
)

// What an identity begins with.
const (
	plainKind  = "sha256:"
	sparseKind = "vitrine-file-1:"
)

const (
	sparseFrom   = 256 << 20 // bytes of holes from which on a file is named by its sparse digest
	sparseWindow = 4 << 20
)

// digest names the content, and compares it with what the user says that it is.
func (s *Source) digest(ctx context.Context) error {
	var err error
	if s.began, err = s.file.Stat(); err != nil {
		return err
	}
	s.size = s.began.Size()
	kind := plainKind
	if s.SHA256 == "" && s.holes(sparseFrom) {
		kind = sparseKind
	}
	if s.identity, err = s.name(ctx, kind); err != nil {
		return err
	}
	sum := strings.TrimPrefix(s.identity, plainKind)
	if want := strings.ToLower(s.SHA256); want != "" && subtle.ConstantTimeCompare([]byte(sum), []byte(want)) != 1 {
		s.forget()
		return fmt.Errorf("%s has the SHA-256 %s, not the one that --sha256 gives", s.Title(), sum)
	}
	return nil
}

// Is says whether an identity, of either kind, is this source's. The kind that it was not named by is only made for this.
func (s *Source) Is(ctx context.Context, identity string) (bool, error) {
	for _, kind := range []string{plainKind, sparseKind} {
		if !strings.HasPrefix(identity, kind) || strings.HasPrefix(s.identity, kind) {
			continue
		}
		name, err := s.name(ctx, kind)
		return name == identity, err
	}
	return identity == s.identity, nil
}

// holes says whether the file system keeps at least so many bytes of the file as holes.
func (s *Source) holes(least int64) bool {
	for at := int64(0); ; {
		data, err := extent.Seek(s.file, at)
		if err != nil {
			return errors.Is(err, io.EOF) && s.size-at >= least
		}
		if least -= data.Start - at; least <= 0 {
			return true
		}
		at = data.End
	}
}

// name makes an identity.
func (s *Source) name(ctx context.Context, kind string) (string, error) {
	h := sha256.New()
	if kind == sparseKind {
		h.Write(binary.BigEndian.AppendUint64([]byte("vitrine-file 1\n"), uint64(s.size)))
	}
	buffer := make([]byte, sparseWindow)
	for at := int64(0); at < s.size; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if kind == sparseKind {
			data, err := extent.Next(s.file, at, s.size)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.Title(), err)
			}
			at = data.Start / sparseWindow * sparseWindow
		}
		b := buffer[:min(int64(len(buffer)), s.size-at)]
		if n, err := s.file.ReadAt(b, at); n < len(b) {
			return "", fmt.Errorf("%s: %w", s.Title(), err)
		}
		if kind == plainKind {
			h.Write(b)
		} else if !bytes.Equal(b[1:], b[:len(b)-1]) || b[0] != 0 { // anything but zeros, whether they are written or holes
			sum := sha256.Sum256(b)
			h.Write(append(binary.BigEndian.AppendUint64(nil, uint64(at)), sum[:]...))
		}
		at += int64(len(b))
	}
	return kind + hex.EncodeToString(h.Sum(nil)), nil
}
