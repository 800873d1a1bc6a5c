package restore

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Machine is what a point tells of a machine beside its disks. The members hold no secrets.
type Machine struct {
	VMID                      string
	Size                      string
	OS, Diagnostics, Security json.RawMessage
}

// Config is what the provider needs.
type Config struct {
	Images  *image.Store
	Sources source.Sources
	// Machine tells what a machine is, without its secrets. store.ErrNotFound.
	Machine func(tx store.Tx, id arm.ID) (Machine, error)
	Now     func() time.Time // nil: time.Now
}

// Provider serves restore points.
type Provider struct {
	Config
	rbac *rbac.Engine
}

var versions = []arm.Version{"2025-04-01", "2024-11-01", "2024-07-01", "2024-03-01", "2023-09-01", "2023-07-01", "2023-03-01", "2022-11-01",
	"2022-08-01", "2022-03-01", "2021-11-01", "2021-07-01", "2021-04-01", "2021-03-01"}

const (
	workPoint       = "restorePoints/create"
	workPointDelete = "restorePoints/delete"
	workDelete      = "restorePointCollections/delete"
)

// Register adds the types to the table.
func Register(c *control.Control, cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Provider{Config: cfg, rbac: c.RBAC()}
	long := control.Async{Family: "operations", Partition: true}
	control.Register(c, control.Spec[Collection]{
		Type: Type, Versions: versions, Tracked: true, Patch: true, Async: long,
		Name: source.CheckName, Validate: validate, Links: links, Put: p.put, Delete: p.delete, View: p.view,
	})
	again := long
	again.Update = 201 // the one code that the Swagger, and so az, knows
	control.Register(c, control.Spec[Point]{
		Type: PointType, Versions: versions, Async: again,
		Name: source.CheckName, Validate: validatePoint, Put: p.putPoint, Delete: p.deletePoint, View: viewPoint,
	})
	control.Register(c, control.Spec[DiskPoint]{Type: DiskType, Versions: versions, Get: getDisk, List: listDisks})
	return p
}

// Works are the long-running parts.
func (p *Provider) Works() map[string]operation.Work {
	none := func(context.Context, *operation.Run) []operation.Step { return nil }
	return map[string]operation.Work{
		workPoint:       {Steps: p.steps, Finish: settled},
		workPointDelete: {Steps: none, Finish: p.pointGone},
		workDelete:      {Steps: none, Finish: p.gone},
	}
}

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

func unsupported(target, what string) *arm.Error {
	return arm.Errorf(400, "NotSupported", "%s is not supported by this installation yet.", what).At(target)
}

func refused(format string, args ...any) *arm.Error {
	return arm.Errorf(409, "OperationNotAllowed", format, args...)
}

// validate wants a machine: a collection of another region, which copies the points of a collection, has a collection for its source.
func validate(r *collection) (faults []*arm.Error) {
	p := &r.Properties
	if p.InstantAccess != nil && *p.InstantAccess {
		faults = append(faults, unsupported("instantAccess", "Instant access to restore points"))
	}
	if p.Source == nil || p.Source.ID == "" {
		return append(faults, invalid("source.id", "Required parameter 'source.id' is missing (null)."))
	}
	id, err := arm.ParseID(p.Source.ID)
	switch {
	case err != nil || id.ResourceGroup == "":
		faults = append(faults, arm.Errorf(400, "LinkedInvalidPropertyId",
			"Property id '%.300s' at path 'properties.source.id' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", p.Source.ID).At("properties.source.id"))
	case strings.EqualFold(id.Type(), Type):
		faults = append(faults, unsupported("source.id", "A restore point collection that copies another one to its region"))
	case !strings.EqualFold(id.Type(), machineType):
		faults = append(faults, invalid("source.id", "The source '%.300s' of a restore point collection must be a virtual machine.", p.Source.ID))
	}
	return faults
}

// links are what a new collection leans on.
func links(old, next *collection) []rbac.Link {
	if old != nil {
		return nil
	}
	id, err := arm.ParseID(next.Properties.Source.ID)
	if err != nil {
		return nil
	}
	return []rbac.Link{{ID: id, Action: machineType + "/read"}}
}

// put makes a collection. Of one that exists only tags change: its machine may be gone long since.
func (p *Provider) put(_ context.Context, w *control.Write[Collection]) error {
	props := &w.New.Properties
	if w.Old == nil {
		s, err := p.machine(w.Tx, props.Source.ID, w.New.Location)
		if err != nil {
			return err
		}
		props.Source.Location, props.CollectionID = s.Location, uuid.NewString()
	}
	w.New.SetState(arm.Succeeded)
	return nil
}

// machine asks for the machine of a collection in a location.
func (p *Provider) machine(tx store.Tx, text, location string) (source.Source, error) {
	id, err := arm.ParseID(text)
	if err != nil {
		return source.Source{}, err
	}
	s, err := p.Sources.Source(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return s, arm.Errorf(404, "ResourceNotFound", "The source '%s' of the restore point collection was not found.", id).At("source.id")
	}
	if err == nil && s.Location != location {
		return s, unsupported("location", "A restore point collection in '"+location+"' of a virtual machine in '"+s.Location+"'")
	}
	return s, err
}

// view shows the points of a collection, for which $expand asks, to who may read them.
func (p *Provider) view(_ context.Context, r *control.Read[Collection]) error {
	props := &r.Resource.Properties
	props.Points = nil
	if !strings.EqualFold(r.Query.Get("$expand"), "restorePoints") {
		return nil
	}
	all, err := pointsOf(r.Tx, r.Resource.ParsedID())
	if err != nil {
		return err
	}
	grants, err := p.rbac.Grants(r.Tx, r.Caller.Primary)
	if err != nil {
		return err
	}
	for _, one := range all {
		if !grants.Allows(PointType+"/read", one.ParsedID()) {
			continue
		}
		raw, err := armjson.Wire(one)
		if err != nil {
			return err
		}
		props.Points = append(props.Points, raw)
	}
	return nil
}

func pointsOf(tx store.Tx, collection arm.ID) ([]*point, error) {
	return control.Select[Point](tx, store.Query{Kind: control.Kind(PointType), Prefix: collection.Key() + "/restorepoints/"})
}

// delete takes the points along (documented).
func (p *Provider) delete(_ context.Context, w *control.Write[Collection]) error {
	all, err := pointsOf(w.Tx, w.ID)
	if err != nil {
		return err
	}
	for _, one := range all {
		open, err := operation.Open(w.Tx, one.ParsedID().Key())
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return refused("The restore point collection '%s' cannot be deleted: another operation is in progress on its restore point '%s'.", w.Old.Name, one.Name)
		}
	}
	return w.Begin(workDelete, nil)
}

func (p *Provider) gone(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	c, err := control.Find[Collection](tx, r.Resource)
	if err != nil {
		return absent(err)
	}
	if failure != nil {
		c.SetState(arm.Failed)
		return control.Save(tx, c)
	}
	all, err := pointsOf(tx, c.ParsedID())
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := p.drop(tx, one); err != nil {
			return err
		}
	}
	return control.Remove(tx, c.ParsedID())
}

// absent takes the absence of the resource for the end of the work.
func absent(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
