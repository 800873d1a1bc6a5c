package storage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// putContainer creates a container, or changes its metadata and its public access.
func (p *Provider) putContainer(_ context.Context, w *control.Write[Container]) error {
	account, err := control.Get[Properties](w.Tx, w.ID.Parent().Parent())
	if err != nil {
		return err
	}
	return p.dress(account, w.Old, w.New, w.Now)
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
		props.UniqueID, props.LeaseState, props.LeaseStatus = uuid.NewString(), "Available", "Unlocked"
	}
	props.Modified = now.UTC().Format(stampLayout)
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
func (p *Provider) removeContainer(context.Context, *control.Write[Container]) error { return nil }

// Account is what the door for blobs knows of an account.
type Account struct {
	ID        arm.ID
	UniqueID  string
	Name      string
	Location  string
	Keys      [][]byte // decoded; none when shared keys are not allowed
	PublicOK  bool     // containers may be public
	SharedKey bool     // requests may be signed with a key
}

// Find gives the account of a name, as a host begins with it; store.ErrNotFound.
func (p *Provider) Find(ctx context.Context, name string) (a Account, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		a, err = p.find(tx, name)
		return err
	})
	return a, err
}

func (p *Provider) find(tx store.Tx, name string) (Account, error) {
	id, err := holder(tx, strings.ToLower(name))
	if err != nil {
		return Account{}, err
	}
	r, err := control.Get[Properties](tx, id)
	if err != nil {
		return Account{}, err
	}
	props := &r.Properties
	a := Account{ID: r.ParsedID(), UniqueID: props.UniqueID, Name: r.Name, Location: r.Location,
		PublicOK: *props.AllowBlobPublic, SharedKey: *props.AllowSharedKey}
	for _, k := range props.Keys {
		key, err := p.open(r, k)
		if err != nil {
			return Account{}, err
		}
		a.Keys = append(a.Keys, key)
	}
	return a, nil
}

var errNoContainer = errors.New("storage: no such container")

// containerOf reads a container of an account; errNoContainer.
func containerOf(tx store.Tx, account arm.ID, name string) (*control.Resource[Container], error) {
	c, err := control.Get[Container](tx, containerID(account, name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoContainer
	}
	return c, err
}

func containerID(account arm.ID, name string) arm.ID {
	return child(child(account, "blobServices", "default"), "containers", name)
}
