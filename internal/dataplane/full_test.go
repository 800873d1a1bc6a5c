package dataplane

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"vitrine/internal/image"
)

// full is an upload on a disk that has no room left.
type full struct {
	*image.Upload
	fault error
}

func (f full) WriteIf(func() error, []byte, int64) error { return fmt.Errorf("write: %w", f.fault) }
func (f full) ClearIf(func() error, int64, int64) error  { return fmt.Errorf("clear: %w", f.fault) }

// TestDiskFull: no room on the server's disk is said so, by an error that clients retry later.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	for i, fault := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		url := w.grant(Grant{ID: fmt.Sprint("full-", i), Write: true, Open: func(context.Context) (Content, error) {
			u, err := w.images.OpenUpload("up")
			return full{u, fault}, err
		}})
		for _, c := range []call{
			{"PUT", url + "&comp=page", make([]byte, 512), []string{"x-ms-page-write", "update", "x-ms-range", "bytes=0-511"}},
			{"PUT", url + "&comp=page", nil, []string{"x-ms-page-write", "clear", "x-ms-range", "bytes=0-511"}},
		} {
			res, body := w.do(t, c)
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("x-ms-error-code") != "ServerBusy" || !strings.Contains(body, "disk is full") {
				t.Errorf("%v: %d %s", fault, res.StatusCode, body)
			}
		}
	}
}
