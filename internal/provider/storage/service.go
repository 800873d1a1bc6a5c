package storage

import (
	"context"
	"errors"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
)

// Account is what the door for blobs knows of an account.
type Account struct {
	ID        arm.ID
	UniqueID  string
	Name      string
	Location  string
	SKU       string
	Kind      string
	Keys      [][]byte
	PublicOK  bool // containers may be public
	SharedKey bool // requests may be signed with a key
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
	a := Account{ID: r.ParsedID(), UniqueID: props.UniqueID, Name: r.Name, Location: r.Location, SKU: r.SKU.Name, Kind: r.Kind,
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

// Box is a container as the door for blobs sees it.
type Box struct {
	content.Container
	Name     string
	ID       arm.ID
	Public   string // None, Blob or Container
	Metadata map[string]string
	Lease    content.Lease
	Changed  time.Time
}

// ContainerID is the ID of an account's container, whether it exists or not.
func (a Account) ContainerID(name string) arm.ID {
	return child(child(a.ID, "blobServices", "default"), "containers", name)
}

func box(a Account, r *control.Resource[Container]) (Box, error) {
	changed, err := time.Parse(stampLayout, r.Properties.Modified)
	return Box{Container: content.Container{UID: r.Properties.UniqueID, Region: a.Location}, Name: r.Name, ID: r.ParsedID(),
		Public: r.Properties.PublicAccess, Metadata: r.Properties.Metadata, Lease: r.Properties.Lease, Changed: changed}, err
}

// Container reads a container; the refusal ContainerNotFound.
func (p *Provider) Container(ctx context.Context, a Account, name string) (b Box, err error) {
	if containerName(name) != nil {
		return Box{}, &content.Error{Code: "ContainerNotFound"}
	}
	err = p.store.View(ctx, func(tx store.Tx) error {
		r, err := control.Get[Container](tx, a.ContainerID(name))
		if err != nil {
			return err
		}
		b, err = box(a, r)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = &content.Error{Code: "ContainerNotFound"}
	}
	return b, err
}

// CreateContainer makes one; ContainerAlreadyExists.
func (p *Provider) CreateContainer(ctx context.Context, a Account, name, public string, metadata map[string]string) (b Box, err error) {
	if containerName(name) != nil {
		return Box{}, &content.Error{Code: "InvalidResourceName"}
	}
	err = p.store.Update(ctx, func(tx store.Tx) error {
		account, err := control.Get[Properties](tx, a.ID)
		if err != nil {
			return err
		}
		if _, err := tx.Get(a.ContainerID(name).Key()); err == nil {
			return &content.Error{Code: "ContainerAlreadyExists"}
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		r := control.Make[Container](a.ContainerID(name), "", p.Now())
		r.Properties.PublicAccess, r.Properties.Metadata, r.Properties.DefaultScope = public, metadata, "$account-encryption-key"
		if err := p.dress(account, nil, r, p.Now()); err != nil {
			return plainly(err)
		}
		if err := p.welcome(tx, account, r); err != nil {
			return err
		}
		if err := control.Save(tx, r); err != nil {
			return err
		}
		b, err = box(a, r)
		return err
	})
	return b, err
}

// plainly turns a refusal in ARM's words into the service's.
func plainly(err error) error {
	var e *arm.Error
	if errors.As(err, &e) {
		return &content.Error{Code: e.Code}
	}
	return err
}

// ChangeContainer changes metadata, public access and lease of a container; ContainerNotFound.
func (p *Provider) ChangeContainer(ctx context.Context, a Account, name string, f func(*Box) error) (b Box, err error) {
	err = p.store.Update(ctx, func(tx store.Tx) error {
		account, err := control.Get[Properties](tx, a.ID)
		if err != nil {
			return err
		}
		r, err := control.Get[Container](tx, a.ContainerID(name))
		if err != nil {
			return err
		}
		if b, err = box(a, r); err != nil {
			return err
		}
		if err := f(&b); err != nil {
			return err
		}
		r.Properties.PublicAccess, r.Properties.Metadata, r.Properties.Lease = b.Public, b.Metadata, b.Lease
		if err := p.dress(account, r, r, p.Now()); err != nil {
			return plainly(err)
		}
		if err := control.Save(tx, r); err != nil {
			return err
		}
		b, err = box(a, r)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = &content.Error{Code: "ContainerNotFound"}
	}
	return b, err
}

// DeleteContainer takes one away after check; its bytes go by a sweep.
func (p *Provider) DeleteContainer(ctx context.Context, a Account, name string, check func(Box) error) error {
	err := p.store.Update(ctx, func(tx store.Tx) error {
		r, err := control.Get[Container](tx, a.ContainerID(name))
		if err != nil {
			return err
		}
		b, err := box(a, r)
		if err != nil {
			return err
		}
		if err := check(b); err != nil {
			return err
		}
		return errors.Join(p.Blobs.Forget(tx, b.Container), control.Remove(tx, b.ID))
	})
	if errors.Is(err, store.ErrNotFound) {
		return &content.Error{Code: "ContainerNotFound"}
	}
	return err
}

// Containers lists those whose names begin with prefix and come after a name, in order.
func (p *Provider) Containers(ctx context.Context, a Account, prefix, after string, limit int) (list []Box, err error) {
	key := func(name string) string { return a.ContainerID("").Key() + name }
	q := store.Query{Kind: control.Kind(ContainerType), Prefix: key(prefix), Limit: limit}
	if after != "" {
		q.After = key(after)
	}
	if q.Check() != nil {
		return nil, &content.Error{Code: "OutOfRangeQueryParameterValue"}
	}
	err = p.store.View(ctx, func(tx store.Tx) error {
		list = nil
		found, err := control.Select[Container](tx, q)
		for _, r := range found {
			b, err := box(a, r)
			if err != nil {
				return err
			}
			list = append(list, b)
		}
		return err
	})
	return list, err
}
