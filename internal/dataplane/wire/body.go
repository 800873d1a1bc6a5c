package wire

import (
	"bytes"
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"io"
	"net/http"
	"sync"
)

// MaxPages is the most bytes of one Put Page, and of a ranged read with a checksum.
const MaxPages = 4 << 20

// ContentMD5 reads the checksum that came with a body; nil: none did.
func ContentMD5(h http.Header) ([]byte, error) {
	sent := h.Get("Content-MD5")
	if sent == "" {
		return nil, nil
	}
	want, err := base64.StdEncoding.DecodeString(sent)
	if err != nil || len(want) != md5.Size {
		return nil, Fail(http.StatusBadRequest, "InvalidMd5", "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded.")
	}
	return want, nil
}

// CheckMD5 compares a body's checksum with the one that came with it; Md5Mismatch.
func CheckMD5(want, sum []byte) error {
	if want != nil && !bytes.Equal(want, sum) {
		return Fail(http.StatusBadRequest, "Md5Mismatch", "The MD5 value specified in the request did not match with the MD5 value calculated by the server.")
	}
	return nil
}

// PageLength checks that a Put Page of n bytes may come, and that its body is as long.
func PageLength(r *http.Request, n int64) error {
	switch {
	case n > MaxPages:
		return TooLarge(": one Put Page has 4 MiB at most")
	case r.ContentLength < 0:
		return MissingLength()
	case r.ContentLength != n:
		return BadHeader("Content-Length")
	}
	return nil
}

// ReadPages fills p with the body of a Put Page, before any of it is written. A checksum that came with it is told in the answer.
func ReadPages(w http.ResponseWriter, r *http.Request, p []byte) error {
	if _, err := io.ReadFull(r.Body, p); err != nil {
		return Fail(http.StatusBadRequest, "IncompleteBody", "The request body ended before its Content-Length.").Because(err)
	}
	want, err := ContentMD5(r.Header)
	if err != nil || want == nil {
		return err
	}
	sum := md5.Sum(p)
	if err := CheckMD5(want, sum[:]); err != nil {
		return err
	}
	w.Header().Set("Content-MD5", r.Header.Get("Content-MD5"))
	return nil
}

// Turns bounds the bodies that are in memory. Nobody waits: a client of the Blob service knows to come back after
// ServerBusy, and who waited for a slow client would hold a connection meanwhile.
type Turns struct {
	All  int // at once
	Each int // of these by one who sends

	mu  sync.Mutex
	all int
	of  map[string]int
}

// Take gives a turn until release is called, or ServerBusy.
func (t *Turns) Take(who string) (release func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[who] >= t.Each {
		return nil, Busy("Too many writes of the same origin are under way. Please try again after some time.")
	}
	if t.all >= t.All {
		return nil, Busy("The server is busy with other writes. Please try again after some time.")
	}
	if t.of == nil {
		t.of = map[string]int{}
	}
	t.all++
	t.of[who]++
	return func() { t.give(who) }, nil
}

func (t *Turns) give(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.of[who]--; t.of[who] == 0 {
		delete(t.of, who)
	}
}
