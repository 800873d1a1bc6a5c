package storage

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
)

// putContainer creates a container, or changes its metadata and its public access.
func (p *Provider) putContainer(_ context.Context, w *control.Write[Container]) error {
	account, err := control.Get[Properties](w.Tx, w.ID.Parent().Parent())
	if err != nil {
		return err
	}
	if err := p.dress(account, w.Old, w.New, w.Now); err != nil || w.Old != nil {
		return err
	}
	return p.welcome(w.Tx, account, w.New)
}

// welcome opens a container to blobs, which count for the account's tenant.
func (p *Provider) welcome(tx store.Tx, account *resource, c *control.Resource[Container]) error {
	tenant, err := control.TenantOf(tx, account.ParsedID().Subscription)
	if err != nil {
		return err
	}
	return p.Blobs.Welcome(tx, content.Container{UID: c.Properties.UniqueID, Region: account.Location}, tenant)
}

// dress checks a container against its account and fills in what the service does.
func (p *Provider) dress(account *resource, old, next *control.Resource[Container], now time.Time) error {
	props := &next.Properties
	if props.PublicAccess != "None" && props.PublicAccess != "" && !*account.Properties.AllowBlobPublic {
		return arm.Errorf(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.").At("properties.publicAccess")
	}
	for name := range props.Metadata {
		if !metadataName(name) {
			return arm.Errorf(400, "InvalidMetadata", "The metadata name '%.80s' is invalid: it must be a C# identifier.", name).At("properties.metadata")
		}
	}
	if old == nil {
		props.UniqueID = uuid.NewString()
	}
	props.Modified = now.UTC().Format(stampLayout)
	showLease(props, now)
	return nil
}

func metadataName(n string) bool {
	for i, c := range n {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return n != "" && len(n) <= 256
}

// removeContainer takes it away at once; its bytes go by a sweep.
func (p *Provider) removeContainer(_ context.Context, w *control.Write[Container]) error {
	if w.Old.Properties.Lease.Locked(w.Now) {
		return arm.Errorf(409, "LeaseIdMissing", "There is currently a lease on the container and no lease ID was specified in the request.")
	}
	account, err := control.Get[Properties](w.Tx, w.ID.Parent().Parent())
	if err != nil {
		return err
	}
	return p.Blobs.Forget(w.Tx, content.Container{UID: w.Old.Properties.UniqueID, Region: account.Location})
}

// viewContainer shows the state of the lease, which time changes.
func (p *Provider) viewContainer(_ context.Context, r *control.Read[Container]) error {
	showLease(&r.Resource.Properties, p.Now())
	return nil
}

func showLease(c *Container, now time.Time) {
	state := c.Lease.State(now)
	c.LeaseState = strings.ToUpper(state[:1]) + state[1:]
	c.LeaseStatus = "Unlocked"
	if c.Lease.Locked(now) {
		c.LeaseStatus = "Locked"
	}
}
