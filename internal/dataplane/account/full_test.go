package account_test

import (
	"context"
	"fmt"
	"testing"

	"vitrine/internal/blob"
)

// full is a bucket's back-end that has no room left.
type full struct{ blob.Driver }

func (full) Put(context.Context, string, []byte) (bool, error) {
	return false, fmt.Errorf("%w: 7 bytes are free", blob.ErrFull)
}

func (full) Delete(context.Context, string) error { return nil }

// No room for blobs is said so, by an error that clients retry later.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.bucket = blob.New(full{})
	w.want(503, "ServerBusy", call{method: "PUT", path: "/box/one", key: key, body: []byte("x"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(503, "ServerBusy", call{method: "PUT", path: "/box/one?comp=block&blockid=YQ%3D%3D", key: key, body: []byte("x")})
}
