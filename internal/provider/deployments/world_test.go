package deployments_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/deployments"
	"vitrine/internal/provider/planetest"
	"vitrine/internal/store"
)

const (
	tenantA, tenantB, subA, subB, group, things    = planetest.TenantA, planetest.TenantB, planetest.SubA, planetest.SubB, planetest.Group, planetest.Things
	deployed, owner, contributor, machines, reader = planetest.Deployed, planetest.Owner, planetest.Contributor, planetest.Machines, planetest.Reader
)

// What the tests say often.
var (
	ownerA, ownerB, guestA            = planetest.OwnerA(), planetest.OwnerB(), planetest.GuestA()
	inA, inB, inGuest                 = planetest.Caller(ownerA), planetest.Caller(ownerB), planetest.Caller(guestA)
	caller, at                        = planetest.Caller, planetest.At
	request, document, resource, list = planetest.Request, planetest.Document, planetest.Resource, planetest.List
)

type world struct {
	*planetest.World
	files *files // what links lead to; nil texts: nothing
	fault *faulty
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{files: &files{}, fault: &faulty{}}
	cfg := planetest.Config{Seal: func(s deployments.Sealer) deployments.Sealer { w.fault.Sealer = s; return w.fault }}
	if strings.HasPrefix(t.Name(), "TestLinked") && t.Name() != "TestLinkedAuthorization" {
		cfg.Fetcher = w.files // the other tests say nothing of files: their operator allows no links
	}
	w.World = planetest.New(t, cfg)
	return w
}

// faulty is a sealer that fails once when it seals for a resource whose key ends so.
type faulty struct {
	deployments.Sealer
	of atomic.Pointer[string]
}

func (f *faulty) Seal(plain []byte, resource string) (string, error) {
	if end := f.of.Load(); end != nil && strings.HasSuffix(resource, *end) {
		f.of.Store(nil)
		return "", errors.New("the sealer is out of order")
	}
	return f.Sealer.Seal(plain, resource)
}

// fill writes deployments that ended long ago.
func (w *world) fill(n int, name string) {
	w.Helper()
	w.Update(func(tx store.Tx) error {
		for i := range n {
			at, err := arm.ParseID(fmt.Sprintf("%s%s%03d", deployed, name, i))
			if err != nil {
				return err
			}
			d := control.Make[deployments.Deployment](at, "", time.Now())
			d.Properties.ProvisioningState, d.Properties.Begun = "Succeeded", fmt.Sprintf("2020-01-01T00:00:00.%06dZ", i)
			if err := control.Save(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}
