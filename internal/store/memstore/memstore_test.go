package memstore_test

import (
	"testing"

	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Driver { return memstore.Open() })
}
