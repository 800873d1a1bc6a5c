package gallery

import (
	"context"
	"errors"
	"maps"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/application"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/provider/gallery/publish"
	"vitrine/internal/provider/gallery/share"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

// The types that this package serves.
const (
	GalleryType    = catalog.GalleryType
	DefinitionType = catalog.DefinitionType
	VersionType    = catalog.VersionType
)

// What the provider asks of others; see package publish.
type (
	// Blobs are VHDs in storage accounts.
	Blobs = publish.Blobs
	// Blob is what is known of one before it is read.
	Blob = publish.Blob
	// Files are blobs of any kind in storage accounts, as packages of applications; see package application.
	Files = application.Blobs
	// FileBytes are those of one.
	FileBytes = application.Bytes
	// Foreign gives the version that an ID of a shared or a community gallery means.
	Foreign = publish.Foreign
)

// Config is what the provider needs.
type Config struct {
	Images  *image.Store
	Sources source.Sources
	Blobs   Blobs            // nil: no storage accounts here
	Foreign Foreign          // nil: no shared galleries here
	Files   Files            // nil: no storage accounts here
	Limits  Limits           // what is 0 is Azure's
	Now     func() time.Time // nil: time.Now
}

// Provider serves galleries, definitions and versions, and with package application the applications.
type Provider struct {
	Config
	store     *store.Store
	publisher *publish.Publisher
	apps      *application.Provider
}

var versions = []arm.Version{"2026-03-03", "2025-12-03", "2025-03-03", "2024-03-03", "2023-07-03", "2022-08-03", "2022-03-03", "2022-01-03",
	"2021-10-01", "2021-07-01", "2020-09-30", "2019-12-01", "2019-07-01", "2019-03-01", "2018-06-01"}

// async: recorded from Azure (real-azure-behaviour.md 2).
var async = control.Async{Create: 201, Update: 200, Family: "capsOperations"}

// Register adds the three types to the table.
func Register(c *control.Control, cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Limits = cfg.Limits.complete()
	sharing := &share.Sharing{Limit: cfg.Limits.Shares}
	p := &Provider{Config: cfg, store: c.Store(), publisher: &publish.Publisher{Images: cfg.Images, Sources: cfg.Sources, Blobs: cfg.Blobs, Foreign: cfg.Foreign, RBAC: c.RBAC()}}
	control.Register(c, control.Spec[catalog.Gallery]{
		Type: GalleryType, Versions: versions, Noun: "gallery", Tracked: true, AsWritten: true, Authored: catalog.Authored, Async: async, Patch: true,
		Name: catalog.GalleryName, Validate: catalog.ValidateGallery, Put: p.putGallery, Delete: p.deleteGallery, View: viewGallery, Dialect: catalog.GalleryDialect, Rates: galleryRates(),
		Actions: sharing.Actions(),
	})
	control.Register(c, control.Spec[catalog.Definition]{
		Type: DefinitionType, Versions: versions, Noun: "galleryImage", Tracked: true, AsWritten: true, Authored: catalog.Authored, Async: async, Patch: true,
		Name: catalog.DefinitionName, Validate: catalog.ValidateDefinition, Put: p.putDefinition, Delete: p.deleteDefinition, Dialect: catalog.DefinitionDialect, Rates: definitionRates(),
	})
	control.Register(c, control.Spec[catalog.Version]{
		Type: VersionType, Versions: versions, Noun: "galleryImageVersion", Tracked: true, AsWritten: true, Authored: catalog.Authored, Async: async, Patch: true,
		Name: catalog.VersionName, Validate: catalog.ValidateVersion, Links: catalog.Links, Put: p.putVersion, Delete: p.deleteVersion, View: p.viewVersion, Dialect: catalog.VersionDialect,
		Buried: p.buried, Preempt: true, Rates: versionRates(),
	})
	control.Register(c, control.Spec[catalog.Grave]{
		Type: catalog.GraveType, Versions: versions, Delete: p.purgeNow, Dialect: catalog.GraveDialect,
	})
	p.apps = application.Register(c, application.Config{Images: cfg.Images, Blobs: cfg.Files, Room: p.room, Versions: versions})
	refuseUnserved(c)
	c.Handle(control.Route{Method: "GET", Pattern: gravesPattern, Do: listGraves})
	c.Handle(control.Route{Method: "GET", Pattern: usagesPattern, Right: "Microsoft.Compute/locations/usages/read", Do: p.listUsages})
	return p
}

const (
	workGallery          = "galleries/write"
	workGalleryDelete    = "galleries/delete"
	workDefinition       = "galleries/images/write"
	workDefinitionDelete = "galleries/images/delete"
	workVersion          = "galleries/images/versions/create"
	workVersionDelete    = "galleries/images/versions/delete"
	workVersionRestore   = "galleries/images/versions/restore"
)

// Works are the long-running parts.
func (p *Provider) Works() map[string]operation.Work {
	none := func(context.Context, *operation.Run) []operation.Step { return nil }
	works := map[string]operation.Work{
		workGallery:          {Steps: none, Finish: settle[catalog.Gallery]},
		share.Work:           {Steps: none, Finish: settle[catalog.Gallery]},
		workGalleryDelete:    {Steps: none, Finish: remove[catalog.Gallery]},
		workDefinition:       {Steps: none, Finish: settle[catalog.Definition]},
		workDefinitionDelete: {Steps: none, Finish: remove[catalog.Definition]},
		workVersion:          {Steps: p.publisher.Steps, Finish: p.publisher.Published},
		workVersionDelete:    {Steps: operation.Alone, Finish: p.withdrawn},
		workVersionRestore:   {Steps: none, Finish: restored},
	}
	maps.Copy(works, p.apps.Works())
	return works
}

func settle[T any](tx store.Tx, r *operation.Run, failure *arm.Error) error {
	res, err := control.Find[T](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	res.SetState(arm.Succeeded)
	if failure != nil {
		res.SetState(arm.Failed)
	}
	return control.Save(tx, res)
}

func remove[T any](tx store.Tx, r *operation.Run, failure *arm.Error) error {
	if failure != nil {
		return settle[T](tx, r, failure)
	}
	id, err := arm.ParseID(r.Resource)
	if err != nil {
		return err
	}
	return control.Remove(tx, id)
}

// gone takes the absence of the resource for the end of the work.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (p *Provider) putGallery(_ context.Context, w *control.Write[catalog.Gallery]) error {
	props := &w.New.Properties
	var old *catalog.Gallery
	if w.Old != nil {
		old = &w.Old.Properties
	}
	props.Settle(old, w.ID, w.Version)
	if err := share.Settle(w); err != nil {
		return err
	}
	if w.Old == nil {
		taken, err := control.Select[catalog.Gallery](w.Tx, store.Query{Kind: control.Kind(GalleryType), All: []string{catalog.UniqueTerm(props.Identifier.UniqueName)}, Limit: 1})
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			return arm.Errorf(409, "Conflict", "The gallery name '%s' must be unique within the subscription: it is taken by '%s'.", w.ID.Name(), taken[0].ID).At("galleryName")
		}
		if err := p.room(w.Tx, w.ID, w.New.Location); err != nil {
			return err
		}
	}
	return w.Begin(workGallery, nil)
}

func (p *Provider) deleteGallery(_ context.Context, w *control.Write[catalog.Gallery]) error {
	if err := share.Deletable(&w.Old.Properties); err != nil {
		return err
	}
	if err := catalog.Childless(w.Tx, DefinitionType, w.ID.Key()+"/images/"); err != nil {
		return err
	}
	if err := catalog.Childless(w.Tx, application.Type, w.ID.Key()+"/applications/"); err != nil {
		return err
	}
	if err := catalog.Childless(w.Tx, catalog.GraveType, w.ID.Key()+"/softdeletedartifacttypes/"); err != nil {
		return err
	}
	return w.Begin(workGalleryDelete, nil)
}

// viewGallery shows the sharing only to who asks for it.
func viewGallery(_ context.Context, r *control.Read[catalog.Gallery]) error { return share.View(r) }
