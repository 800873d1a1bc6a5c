package storage

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/store"
)

// Sealer seals the access keys; *seal.Sealer does.
type Sealer interface {
	Seal(plain []byte, bound string) (string, error)
	Open(sealed, bound string) ([]byte, error)
}

// Config is what the provider needs of others.
type Config struct {
	Sealer Sealer
	Blobs  *content.Store
	Now    func() time.Time // nil: time.Now
	Suffix string           // of the accounts' hosts; empty: blob.core.windows.net
}

// Provider serves the types, and answers the door for blobs.
type Provider struct {
	Config
	store *store.Store
}

var versions = []arm.Version{"2025-01-01", "2024-01-01", "2023-05-01", "2023-04-01", "2023-01-01", "2022-09-01", "2022-05-01",
	"2021-09-01", "2021-08-01", "2021-06-01", "2021-04-01", "2021-02-01", "2021-01-01", "2019-06-01", "2019-04-01", "2018-11-01",
	"2018-07-01", "2018-02-01", "2017-10-01", "2017-06-01", "2016-12-01", "2016-01-01"}

// Register adds the types to the table.
func Register(c *control.Control, cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Suffix == "" {
		cfg.Suffix = "blob.core.windows.net"
	}
	p := &Provider{Config: cfg, store: c.Store()}
	control.Register(c, control.Spec[Properties]{
		// Azure answers 202 and lets the client poll; az and the SDKs take 200 as well, never 201.
		Type: AccountType, Versions: versions, Tracked: true, Name: accountName, Validate: validate, Patch: true,
		Async: control.Async{Create: 200}, Put: p.put, Delete: p.remove,
		Actions: []control.Action[Properties]{
			{Name: "listKeys", Permission: AccountType + "/listkeys/action", Do: p.listKeys},
			{Name: "regenerateKey", Permission: AccountType + "/regeneratekey/action", Do: p.regenerate},
			{Name: "listAccountSas", Permission: AccountType + "/listAccountSas/action", Do: p.listAccountSAS},
			{Name: "listServiceSas", Permission: AccountType + "/listServiceSas/action", Do: p.listServiceSAS},
		},
	})
	control.Register(c, control.Spec[Service]{Type: ServiceType, Versions: versions, Async: control.Async{Create: 200},
		Name: serviceName, Validate: validateService, Put: func(context.Context, *control.Write[Service]) error { return nil }})
	control.Register(c, control.Spec[Container]{Type: ContainerType, Versions: versions, Async: control.Async{Create: 201}, Patch: true, Size: "$maxpagesize",
		Name: containerName, Validate: validateContainer, Put: p.putContainer, Delete: p.removeContainer, View: p.viewContainer})
	c.Handle(control.Route{Method: "POST", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
		Right: "Microsoft.Storage/checknameavailability/read", Do: p.checkName})
	c.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Storage/locations/{location}/usages",
		Right: "Microsoft.Storage/locations/usages/read", Do: p.usages})
	return p
}

// reservation is the document by which a name belongs to one account of the whole installation.
const reservationKind = "vitrine.storage/names"

func reservationKey(name string) string { return reservationKind + "/" + strings.ToLower(name) }

// holder is the ID of the account that has a name; store.ErrNotFound.
func holder(tx store.Tx, name string) (arm.ID, error) {
	if !validName(name) {
		return arm.ID{}, store.ErrNotFound
	}
	d, err := tx.Get(reservationKey(name))
	if err != nil {
		return arm.ID{}, err
	}
	return arm.ParseID(strings.Trim(string(d.Body), `"`))
}

func (p *Provider) put(_ context.Context, w *control.Write[Properties]) error {
	props := &w.New.Properties
	if w.Old == nil {
		if err := p.reserve(w); err != nil {
			return err
		}
		stamp := w.Now.UTC().Format(stampLayout)
		props.UniqueID, props.CreationTime = uuid.NewString(), stamp
		for _, name := range []string{"key1", "key2"} {
			if err := p.renew(w.New, name, w.Now); err != nil {
				return err
			}
		}
		if err := control.Save(w.Tx, control.Make[Service](child(w.ID, "blobServices", "default"), "", w.Now)); err != nil {
			return err
		}
	} else if err := change(w.Old, w.New); err != nil {
		return err
	}
	p.fill(w.New)
	return nil
}

// reserve takes the name, which no other account of any tenant may have.
func (p *Provider) reserve(w *control.Write[Properties]) error {
	other, err := holder(w.Tx, w.ID.Name())
	switch {
	case err == nil && strings.EqualFold(other.Subscription, w.ID.Subscription):
		return arm.Errorf(409, "StorageAccountInAnotherResourceGroup", "The account %s is already in another resource group in this subscription.", w.ID.Name())
	case err == nil:
		return arm.Errorf(409, "StorageAccountAlreadyTaken", "The storage account named %s is already taken.", w.ID.Name())
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	_, err = w.Tx.Put(store.Document{Key: reservationKey(w.ID.Name()), Kind: reservationKind, Body: fmt.Appendf(nil, "%q", w.ID.String())})
	return err
}

// fill completes what Storage fills in.
func (p *Provider) fill(r *resource) {
	props := &r.Properties
	yes := func(at **bool, v bool) {
		if *at == nil {
			*at = &v
		}
	}
	if r.Kind == "" {
		r.Kind = "StorageV2"
	}
	r.SKU.Tier = strings.SplitN(r.SKU.Name, "_", 2)[0]
	yes(&props.AllowBlobPublic, false)
	yes(&props.AllowSharedKey, true)
	yes(&props.AllowCrossTenant, false)
	yes(&props.HTTPSOnly, true)
	if props.MinimumTLS == "" {
		props.MinimumTLS = "TLS1_2"
	}
	if props.NetworkACLs == nil {
		props.NetworkACLs = &NetworkACLs{Bypass: "AzureServices", DefaultAction: "Allow"}
	}
	if props.Encryption == nil {
		props.Encryption = &Encryption{KeySource: "Microsoft.Storage"}
	}
	if props.AccessTier == "" && r.Kind != "Storage" {
		props.AccessTier = "Hot"
	}
	props.PrimaryEndpoints = &Endpoints{Blob: "https://" + r.Name + "." + p.Suffix + "/"}
	props.PrimaryLocation, props.StatusOfPrimary = r.Location, "available"
}

// remove takes the account away, and its services and containers with it; the bytes go by a sweep.
func (p *Provider) remove(_ context.Context, w *control.Write[Properties]) error {
	for _, kind := range []string{ServiceType, ContainerType} {
		docs, err := w.Tx.List(store.Query{Kind: control.Kind(kind), Prefix: w.ID.Key() + "/"})
		if err != nil {
			return err
		}
		for _, d := range docs {
			id, err := arm.ParseID(d.Key)
			if err != nil {
				return err
			}
			if kind == ContainerType {
				c, err := control.Get[Container](w.Tx, id)
				if err != nil {
					return err
				}
				if err := p.Blobs.Forget(w.Tx, content.Container{UID: c.Properties.UniqueID, Region: w.Old.Location}); err != nil {
					return err
				}
			}
			if err := control.Remove(w.Tx, id); err != nil {
				return err
			}
		}
	}
	err := w.Tx.Delete(reservationKey(w.ID.Name()), 0)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

const stampLayout = "2006-01-02T15:04:05.0000000Z"

// renew makes a key anew: 64 random bytes, as Azure's are.
func (p *Provider) renew(r *resource, name string, now time.Time) error {
	secret := make([]byte, 64)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	sealed, err := p.Sealer.Seal([]byte(base64.StdEncoding.EncodeToString(secret)), boundTo(r, name))
	if err != nil {
		return err
	}
	key := Key{Name: name, Created: now.UTC().Format(stampLayout), Sealed: sealed}
	props := &r.Properties
	found := false
	for i := range props.Keys {
		if props.Keys[i].Name == name {
			props.Keys[i], found = key, true
		}
	}
	if !found {
		props.Keys = append(props.Keys, key)
	}
	if props.KeyCreationTime == nil {
		props.KeyCreationTime = &KeyTimes{}
	}
	if name == "key1" {
		props.KeyCreationTime.Key1 = key.Created
	} else {
		props.KeyCreationTime.Key2 = key.Created
	}
	return nil
}

// boundTo is what a key is sealed for: this account, not another of its name, and this key.
func boundTo(r *resource, name string) string { return r.Properties.UniqueID + "#" + name }

func child(id arm.ID, typ, name string) arm.ID {
	id.Types = append(append([]string(nil), id.Types...), typ)
	id.Names = append(append([]string(nil), id.Names...), name)
	return id
}
