package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// A URL opens a blob by itself exactly when the door would serve a GET of it; nothing else is ever asked.
func TestOpens(t *testing.T) {
	w := newWorld(t)
	key, other := w.key("first"), w.key("second")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/box/b", key: key, body: []byte("secret"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.arm("PATCH", group+"/providers/Microsoft.Storage/storageAccounts/first", `{"properties":{"allowBlobPublicAccess":true}}`)
	w.want(201, "", call{method: "PUT", path: "/open?restype=container", key: key, headers: map[string]string{"x-ms-blob-public-access": "blob"}})
	w.want(201, "", call{method: "PUT", path: "/open/b", key: key, body: []byte("shown"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	const at = "https://first.blob.core.windows.net"
	read := w.serviceSAS(key, "first", "/box/b", "b", "r")
	ask := func(uri string, want bool) {
		t.Helper()
		if got, err := w.opens(t.Context(), uri); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", uri, got, err, want)
		}
	}
	ask(at+"/box/b?"+read, true)
	ask(strings.Replace(at, "first", "FIRST", 1)+"/box/b?"+read, true)
	ask(at+"/box/none?"+w.accountSAS(key, "first", "r", "o"), true) // whether it is there is not said
	ask(at+"/box/b?"+w.serviceSAS(key, "first", "/box", "c", "rl"), true)
	ask(at+"/open/b", true)
	for _, uri := range []string{at + "/box/b", at + "/box/c?" + read, at + "/box/b?" + w.serviceSAS(key, "first", "/box/b", "b", "w"), at + "/box/b?" + w.serviceSAS(other, "first", "/box/b", "b", "r"),
		strings.Replace(at, "first", "second", 1) + "/box/b?" + read, strings.Replace(at, "first", "none", 1) + "/box/b?" + read, "https://first.example.com/box/b?" + read, "http://first.blob.core.windows.net/box/b?" + read,
		at + "/box/b?snapshot=2020-01-01&" + read, at + "/box/b?comp=metadata&" + read, at + "/box?" + read, at + "/?comp=list&" + read, at + "/box/b?" + read + "&sp=r", at + "/box/b?%zz", "https://169.254.169.254/latest", "::", "",
		"https://user:pass@first.blob.core.windows.net/box/b?" + read, at + "/box/b?" + strings.Replace(read, "spr=https", "sip=1.2.3.4", 1)} {
		ask(uri, false)
	}
	w.pass(2 * time.Hour)
	ask(at+"/box/b?"+read, false)
}

// What is opened by its URL stays what it was until it is closed, of either kind.
func TestOpenBlob(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	long := bytes.Repeat([]byte("0123456789"), 1<<20)
	w.want(201, "", call{method: "PUT", path: "/box/block", key: key, body: long, headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(201, "", call{method: "PUT", path: "/box/page", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "1024"}})
	w.want(201, "", call{method: "PUT", path: "/box/page?comp=page", key: key, body: bytes.Repeat([]byte{9}, 512), headers: map[string]string{"x-ms-page-write": "update", "x-ms-range": "bytes=512-1023"}})
	const at = "https://first.blob.core.windows.net/box/"
	mine, err := arm.ParseID(group + "/providers/Microsoft.Storage/storageAccounts/first")
	w.must(err)
	for name, want := range map[string][]byte{"block": long, "page": append(make([]byte, 512), bytes.Repeat([]byte{9}, 512)...)} {
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			if size, err := w.accounts.BlobSize(tx, mine, at+name); err != nil || size != int64(len(want)) {
				return fmt.Errorf("%d bytes: %w", size, err)
			}
			return nil
		})
		w.must(err)
		open, err := w.accounts.OpenBlob(t.Context(), mine, at+name)
		w.must(err)
		w.want(202, "", call{method: "DELETE", path: "/box/" + name, key: key})
		got, err := io.ReadAll(io.NewSectionReader(open, 0, open.Size()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes %v", name, len(got), err)
		}
		w.must(open.Close())
	}
	w.want(201, "", call{method: "PUT", path: "/box/page", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}})
	before, err := arm.ParseID(group + "s/providers/Microsoft.Storage/storageAccounts/first")
	w.must(err)
	if _, err := w.accounts.OpenBlob(t.Context(), before, at+"page"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the blob of an account that has the name of another since: %v", err)
	}
	for _, uri := range []string{at + "block", "https://first.blob.core.windows.net/none/b"} {
		if _, err := w.accounts.OpenBlob(context.Background(), mine, uri); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"https://example.com/box/b", "https://169.254.169.254/box/b", "http://first.blob.core.windows.net/box/b", "https://none.blob.core.windows.net/box/b", at + "block?sig=x", at} {
		_, err := w.accounts.OpenBlob(context.Background(), mine, uri)
		if e, ok := errors.AsType[*arm.Error](err); !ok || e.Code != "InvalidParameter" {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
