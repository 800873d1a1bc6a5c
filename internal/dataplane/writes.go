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

// writes bounds the Put Page requests whose bodies are in memory. Nobody waits: a client of the Blob service knows to
// come back after ServerBusy, and who waited for a slow client would hold a connection meanwhile.
type writes struct {
	mu      sync.Mutex
	all     int
	byGrant map[string]int
	large   sync.Pool // of *[]byte with room for maxPut
}

func (w *writes) enter(grant string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byGrant[grant] >= maxShare {
		return wire.Busy("Too many writes by this signed URL are under way. Please try again after some time.")
	}
	if w.all >= maxWrites {
		return wire.Busy("The server is busy with other writes. Please try again after some time.")
	}
	w.all++
	w.byGrant[grant]++
	return nil
}

func (w *writes) leave(grant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.byGrant[grant]--; w.byGrant[grant] == 0 {
		delete(w.byGrant, grant)
	}
}

// buffer gives room for n bytes, at most maxPut.
func (w *writes) buffer(n int64) []byte {
	if n <= largeBody {
		return make([]byte, n)
	}
	if b, ok := w.large.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, maxPut)
}

func (w *writes) free(b []byte) {
	if len(b) == maxPut {
		w.large.Put(&b)
	}
}
