package s3blob_test

import (
	"errors"
	"fmt"
	"testing"

	"vitrine/internal/blob"
	"vitrine/internal/blob/blobtest"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/blob/s3blob/s3test"
)

// The contract on a server that many run, over a folder.
func TestContractOnServer(t *testing.T) {
	gateway := s3test.Start(t, "images")
	server, err := s3blob.Dial(t.Context(), gateway.Config("images"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	blobtest.Run(t, func(*testing.T) *blob.Bucket {
		n++
		return server.Bucket(fmt.Sprintf("b%d", n))
	})
}

// A server that is away is neither an object that is missing nor one that is damaged.
func TestServerAway(t *testing.T) {
	gateway := s3test.Start(t, "images")
	server, err := s3blob.Dial(t.Context(), gateway.Config("images"))
	if err != nil {
		t.Fatal(err)
	}
	gateway.Stop(t)
	_, err = server.Bucket("b").Get(t.Context(), "k")
	if !errors.Is(err, blob.ErrAway) || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	if _, err = server.Bucket("b").List(t.Context(), "", "", 1); !errors.Is(err, blob.ErrAway) {
		t.Errorf("List = %v", err)
	}
}
