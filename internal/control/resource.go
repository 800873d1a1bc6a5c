package control

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/quota"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Resource is one resource, as stored and, without what is private, as answered. The order of the members is Compute's.
type Resource[T any] struct {
	Name       string            `json:"name" arm:"readonly"`
	ID         string            `json:"id" arm:"readonly"`
	Type       string            `json:"type" arm:"readonly"`
	Etag       string            `json:"etag" arm:"readonly"`
	Location   string            `json:"location"` // of a tracked type: the region's name, whatever the client wrote
	Tags       map[string]string `json:"tags"`
	Kind       string            `json:"kind"`
	ManagedBy  string            `json:"managedBy" arm:"readonly"`
	SKU        *SKU              `json:"sku"`
	Zones      []string          `json:"zones"`
	Plan       json.RawMessage   `json:"plan"`
	Identity   json.RawMessage   `json:"identity"`
	Properties T                 `json:"properties"`
	Authors    *Authors          `json:"systemData" arm:"readonly"` // of types that tell it; see Spec.Authored
	Tenant     string            `json:"ofTenant" arm:"private"`    // whose it is, when it is in no subscription
	Created    string            `json:"createdAt" arm:"private"`   // RFC 3339, UTC
	Changed    string            `json:"changedAt" arm:"private"`
	Written    string            `json:"locationAsWritten" arm:"private"` // of types that tell it so; see Spec.AsWritten
	Unknown    armjson.Unknown   `json:"-"`

	etag int64 // of the stored document
}

// SKU is a resource's size and price class.
type SKU struct {
	Name     string          `json:"name"`
	Tier     string          `json:"tier"`
	Capacity int             `json:"capacity"`
	Unknown  armjson.Unknown `json:"-"`
}

// Authors say who made a resource and who wrote it last: applications by their IDs, people by their names.
type Authors struct {
	CreatedBy     string `json:"createdBy"`
	CreatedByType string `json:"createdByType"` // "Application", "User"
	CreatedAt     string `json:"createdAt"`     // RFC 3339, UTC
	ChangedBy     string `json:"lastModifiedBy"`
	ChangedByType string `json:"lastModifiedByType"`
	ChangedAt     string `json:"lastModifiedAt"`
}

// signed notes who writes a resource.
func (r *Resource[T]) signed(by authn.Principal, now time.Time) {
	name, typ, at := by.AppID, "Application", now.UTC().Format("2006-01-02T15:04:05.0000000Z")
	if by.Kind == authn.User {
		name, typ = by.Name, "User"
	}
	next := Authors{CreatedBy: name, CreatedByType: typ, CreatedAt: at}
	if r.Authors != nil {
		next = *r.Authors
	} else if r.etag != 0 { // it is older than this note
		next = Authors{CreatedAt: r.Created}
	}
	next.ChangedBy, next.ChangedByType, next.ChangedAt = name, typ, at
	r.Authors = &next
}

// ParsedID is the resource's ID; Save has seen to it that it parses. Of a resource that was never saved it may be the
// zero ID, under which nothing is saved or removed.
func (r *Resource[T]) ParsedID() arm.ID {
	p, err := arm.ParsePath(r.ID)
	if err != nil {
		return arm.ID{}
	}
	p.ID.Tenant = r.Tenant
	return p.ID
}

func (r *Resource[T]) key() string { return r.ParsedID().Key() }

// Wire is the resource as clients see it: its location as one of them wrote it.
func (r *Resource[T]) Wire() ([]byte, error) { return r.wire(false) }

func (r *Resource[T]) wire(authored bool) ([]byte, error) {
	shown := *r
	shown.Location = cmp.Or(r.Written, r.Location)
	if !authored {
		shown.Authors = nil
	}
	return armjson.Wire(&shown)
}

// State is the provisioning state, or Succeeded for a type that has none.
func (r *Resource[T]) State() string {
	if p, ok := any(&r.Properties).(arm.Provisioned); ok && p.State() != "" {
		return p.State()
	}
	return arm.Succeeded
}

// SetState sets the provisioning state of a type that has one.
func (r *Resource[T]) SetState(s string) {
	if p, ok := any(&r.Properties).(arm.Provisioned); ok {
		p.SetState(s)
	}
}

// Kind is the store's kind of a resource type's documents.
func Kind(typ string) string { return strings.ToLower(typ) }

// Get reads a resource; store.ErrNotFound when there is none or when it is of another type.
func Get[T any](tx store.Tx, id arm.ID) (*Resource[T], error) {
	d, err := tx.Get(id.Key())
	if err != nil {
		return nil, err
	}
	return parse[T](d)
}

// Find is Get for an ID in text; a malformed one is not found.
func Find[T any](tx store.Tx, id string) (*Resource[T], error) {
	parsed, err := arm.ParseID(id)
	if err != nil {
		return nil, store.ErrNotFound
	}
	return Get[T](tx, parsed)
}

func parse[T any](d store.Document) (*Resource[T], error) {
	var r Resource[T]
	if err := armjson.Load(d.Body, &r); err != nil {
		return nil, fmt.Errorf("document %s: %w", d.Key, err)
	}
	r.etag = d.ETag
	return &r, nil
}

// Select reads the resources that a query names; Kind must be set.
func Select[T any](tx store.Tx, q store.Query) ([]*Resource[T], error) {
	docs, err := tx.List(q)
	if err != nil {
		return nil, err
	}
	list := make([]*Resource[T], 0, len(docs))
	for _, d := range docs {
		r, err := parse[T](d)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// Indexed is what properties offer that are searched by more than their ID.
type Indexed interface {
	Terms() []string
}

// Save writes a resource that was made by New or read by Get in the same transaction. store.ErrConflict when another
// writer came first. An ID that does not name this very resource is a fault of ours: a provider built it from a name that it
// did not check, and the document would lie at another resource's key.
func Save[T any](tx store.Tx, r *Resource[T]) error {
	id, err := arm.ParseID(r.ID)
	if err != nil || id.String() != r.ID || id.Name() != r.Name || len(id.Types) == 0 && id.ResourceGroup == "" ||
		!strings.EqualFold(id.Type(), r.Type) {
		return fmt.Errorf("save %q: not the ID of a %s named %q", r.ID, r.Type, r.Name)
	}
	id.Tenant = r.Tenant
	if err := quota.Count(tx, func() (string, error) { return TenantOf(tx, id.Subscription) }, id.Key(), &r.Properties); err != nil {
		return err
	}
	body, err := armjson.Store(r)
	if err != nil {
		return err
	}
	var terms []string
	if l, ok := arm.LocationOf(r.Location); ok { // an untracked type keeps whatever a client calls location
		terms = append(terms, "location:"+l.Name)
	}
	if i, ok := any(&r.Properties).(Indexed); ok {
		terms = append(terms, i.Terms()...)
	}
	r.etag, err = tx.Put(store.Document{Key: id.Key(), Kind: Kind(id.Type()), Terms: terms, Body: body, ETag: r.etag})
	return err
}

// Remove deletes a resource's document and what hangs on it, such as role assignments at its scope: a later resource of
// the same name must not inherit rights. A document that is gone already is no error.
func Remove(tx store.Tx, id arm.ID) error {
	if id.Subscription == "" && id.Namespace == "" {
		return errors.New("remove the root: not a resource")
	}
	if err := tx.Delete(id.Key(), 0); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := quota.Drop(tx, id.Key()); err != nil {
		return err
	}
	q := store.Query{Prefix: id.Key() + "/providers/"} // below a resource stand only extensions
	if id.Namespace == "" {
		for _, kind := range rbac.Kinds() { // below a group or subscription stand its resources too
			q.Kind = kind
			if err := removeAll(tx, q); err != nil {
				return err
			}
		}
		return nil
	}
	return removeAll(tx, q)
}

func removeAll(tx store.Tx, q store.Query) error {
	hanging, err := tx.List(q)
	if err != nil {
		return err
	}
	for _, d := range hanging {
		if err := tx.Delete(d.Key, 0); err != nil {
			return err
		}
	}
	return nil
}

// Make starts a resource that the server itself creates, such as a machine's disk.
func Make[T any](id arm.ID, location string, now time.Time) *Resource[T] {
	stamp := now.UTC().Format(time.RFC3339Nano)
	return &Resource[T]{Name: id.Name(), ID: id.String(), Type: id.Type(), Tenant: id.Tenant, Location: location, Created: stamp, Changed: stamp}
}
