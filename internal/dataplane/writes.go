package dataplane

import (
	"sync"

	"vitrine/internal/dataplane/wire"
)

const (
	maxWrites = 256 // Put Page requests at once, each with a body of up to 4 MiB
	maxShare  = 16  // of one signed URL: azcopy and az send fewer at once
	largeBody = 256 << 10
)

// writes are the Put Page requests whose bodies are in memory, by grant.
type writes struct {
	wire.Turns
	large sync.Pool // of *[]byte with room for wire.MaxPages
}

func newWrites() *writes { return &writes{Turns: wire.Turns{All: maxWrites, Each: maxShare}} }

// buffer gives room for n bytes, at most wire.MaxPages.
func (w *writes) buffer(n int64) []byte {
	if n <= largeBody {
		return make([]byte, n)
	}
	if b, ok := w.large.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, wire.MaxPages)
}

func (w *writes) free(b []byte) {
	if len(b) == wire.MaxPages {
		w.large.Put(&b)
	}
}
