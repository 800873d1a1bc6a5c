package dataplane

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"vitrine/internal/image/format"
)

// withheld is a Put Page whose body has come but for its last byte.
type withheld struct{ net.Conn }

func (w *world) withhold(t *testing.T, signed string, at int64) withheld {
	t.Helper()
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", w.srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "PUT %s&comp=page HTTP/1.1\r\nHost: %s\r\nx-ms-page-write: update\r\nx-ms-range: bytes=%d-%d\r\nContent-Length: 512\r\nExpect: 100-continue\r\n\r\n",
		u.RequestURI(), u.Host, at, at+511)
	// The server asks for the body when it begins to read it: from here on the request has proved its right.
	answer := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(c, answer); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 100")) {
		t.Fatalf("%q, %v", answer, err)
	}
	c.Write(bytes.Repeat([]byte("X"), 511))
	return withheld{c}
}

func (c withheld) finish(t *testing.T) (int, string) {
	t.Helper()
	c.Write([]byte("X"))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header.Get("x-ms-error-code")
}

func (w *world) revoke(signed string) {
	u, _ := url.Parse(signed)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.grants, u.Host+u.Path)
}

// A write whose body ends after the grant was taken back changes nothing, whether the upload was packed, could not be, or
// is open for another grant.
func TestWithheldWrites(t *testing.T) {
	for name, good := range map[string]bool{"packed": true, "no footer": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			content := testDisk()
			u, err := w.images.OpenUpload("up")
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if _, err := u.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
			if footer := format.VHDFooter(size); good {
				if _, err := u.WriteAt(footer[:], size); err != nil {
					t.Fatal(err)
				}
			}
			var puts []withheld
			for i := range 8 {
				puts = append(puts, w.withhold(t, w.write, int64(i)*512))
			}
			w.revoke(w.write)
			if _, err := w.images.FinishUpload(t.Context(), "up", "eastus", "dom"); (err == nil) != good {
				t.Fatal(err)
			}
			for _, c := range puts {
				if status, code := c.finish(t); status != 403 && status != 404 {
					t.Errorf("%d %s", status, code)
				}
			}
			got := make([]byte, size)
			if _, err := u.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
				t.Errorf("the content was changed: %v", err)
			}
		})
	}
}

// One URL's stalled writes are its own trouble: more of them are refused at once, other URLs go on.
func TestStalledWrites(t *testing.T) {
	w := newWorld(t)
	other := w.grant(Grant{ID: "g-2", Write: true, Open: func(context.Context) (Content, error) { return w.images.OpenUpload("up") }})
	put := func(signed string) *http.Response {
		res, _ := w.do(t, call{"PUT", signed + "&comp=page", make([]byte, 512), []string{"x-ms-page-write", "update", "x-ms-range", "bytes=0-511"}})
		return res
	}
	var puts []withheld
	for i := range maxShare {
		puts = append(puts, w.withhold(t, w.write, int64(i)*512))
	}
	if res := put(w.write); res.StatusCode != 503 || res.Header.Get("x-ms-error-code") != "ServerBusy" {
		t.Errorf("one more: %d %v", res.StatusCode, res.Header)
	}
	if res := put(other); res.StatusCode != 201 {
		t.Errorf("by another URL: %d", res.StatusCode)
	}
	for _, c := range puts {
		if status, code := c.finish(t); status != 201 {
			t.Errorf("%d %s", status, code)
		}
	}
	if res := put(w.write); res.StatusCode != 201 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
}
