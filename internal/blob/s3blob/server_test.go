package s3blob_test

import (
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
