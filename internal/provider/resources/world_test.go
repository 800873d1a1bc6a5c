package resources_test

import (
	"testing"

	"vitrine/internal/provider/planetest"
)

const (
	tenantA, tenantB, subA, subB, group, things    = planetest.TenantA, planetest.TenantB, planetest.SubA, planetest.SubB, planetest.Group, planetest.Things
	deployed, owner, contributor, machines, reader = planetest.Deployed, planetest.Owner, planetest.Contributor, planetest.Machines, planetest.Reader
)

// What the tests say often.
var (
	ownerA, ownerB, guestA            = planetest.OwnerA(), planetest.OwnerB(), planetest.GuestA()
	inA, inB, inGuest                 = planetest.Caller(ownerA), planetest.Caller(ownerB), planetest.Caller(guestA)
	at                                = planetest.At
	request, document, resource, list = planetest.Request, planetest.Document, planetest.Resource, planetest.List
)

type world struct{ *planetest.World }

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{planetest.New(t, planetest.Config{})}
}
