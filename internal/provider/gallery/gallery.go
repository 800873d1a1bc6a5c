package gallery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// DiskSource is what a managed disk gives to a version.
type DiskSource struct {
	Ref          image.Ref // empty ID: the disk is empty
	Location     string
	SizeGB       int
	OSType       string // empty: the disk does not say
	Generation   string
	Architecture string
}

// Config is what the provider needs.
type Config struct {
	Images *image.Store
	// Source tells what a managed disk holds. store.ErrNotFound; an *arm.Error when it cannot be read now.
	Source func(tx store.Tx, disk arm.ID) (DiskSource, error)
	Now    func() time.Time // nil: time.Now
}

// Provider serves galleries, definitions and versions.
type Provider struct {
	Config
	store *store.Store
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
	p := &Provider{Config: cfg, store: c.Store()}
	control.Register(c, control.Spec[Gallery]{
		Type: GalleryType, Versions: versions, Noun: "gallery", Tracked: true, Async: async, Patch: true,
		Name: galleryName, Validate: validateGallery, Put: p.putGallery, Delete: p.deleteGallery, View: viewGallery,
		Actions: []control.Action[Gallery]{{Name: "share", Do: func(context.Context, *control.Act[Gallery]) error {
			return unsupported("", "Sharing a gallery with groups or the community (the action 'share')")
		}}},
	})
	control.Register(c, control.Spec[Definition]{
		Type: DefinitionType, Versions: versions, Noun: "galleryImage", Tracked: true, Async: async, Patch: true,
		Name: definitionName, Validate: validateDefinition, Put: p.putDefinition, Delete: p.deleteDefinition,
	})
	control.Register(c, control.Spec[Version]{
		Type: VersionType, Versions: versions, Noun: "galleryImageVersion", Tracked: true, Async: async, Patch: true,
		Name: versionName, Validate: validateVersion, Links: links, Put: p.putVersion, Delete: p.deleteVersion, View: p.viewVersion,
	})
	return p
}

const (
	workGallery          = "galleries/write"
	workGalleryDelete    = "galleries/delete"
	workDefinition       = "galleries/images/write"
	workDefinitionDelete = "galleries/images/delete"
	workVersion          = "galleries/images/versions/create"
	workVersionDelete    = "galleries/images/versions/delete"
)

// Works are the long-running parts.
func (p *Provider) Works() map[string]operation.Work {
	none := func(context.Context, *operation.Run) []operation.Step { return nil }
	return map[string]operation.Work{
		workGallery:          {Steps: none, Finish: settle[Gallery]},
		workGalleryDelete:    {Steps: none, Finish: remove[Gallery]},
		workDefinition:       {Steps: none, Finish: settle[Definition]},
		workDefinitionDelete: {Steps: none, Finish: remove[Definition]},
		workVersion:          {Steps: p.publish, Finish: p.published},
		workVersionDelete:    {Steps: none, Finish: p.withdrawn},
	}
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

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

func unsupported(target, what string) *arm.Error {
	return arm.Errorf(400, "NotSupported", "%s is not supported by this installation yet.", what).At(target)
}

func present(raw json.RawMessage) bool {
	switch strings.TrimSpace(string(raw)) {
	case "", "null", "[]", "{}":
		return false
	}
	return true
}

var galleryNames = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$`)

// galleryName: no dashes, unlike the names below (gallery.md 19).
func galleryName(n string) *arm.Error {
	if galleryNames.MatchString(n) {
		return nil
	}
	return invalid("galleryName", "The entity name 'galleryName' is invalid according to its validation rule: ^[^_\\W][\\w._]{0,79}(?<![-.])$. Gallery name may contain only alphanumeric characters, underscores and periods, must start and end with an alphanumeric character, and may have at most 80 characters.")
}

func validateGallery(r *galleryResource) []*arm.Error {
	var faults []*arm.Error
	p := &r.Properties
	if s := p.SharingProfile; s != nil && s.Permissions != "" && s.Permissions != "Private" {
		faults = append(faults, unsupported("gallery.properties.sharingProfile.permissions", "The sharing permission '"+s.Permissions+"' of a gallery"))
	}
	if s := p.SoftDeletePolicy; s != nil && s.Enabled {
		faults = append(faults, unsupported("gallery.properties.softDeletePolicy", "Soft delete"))
	}
	if present(r.Identity) && !strings.Contains(string(r.Identity), `"None"`) {
		faults = append(faults, unsupported("identity", "A managed identity of a gallery"))
	}
	return faults
}

func (p *Provider) putGallery(_ context.Context, w *control.Write[Gallery]) error {
	props := &w.New.Properties
	props.Identifier = &UniqueName{strings.ToLower(w.ID.Subscription) + "-" + strings.ToUpper(w.ID.Name())}
	if w.Old == nil {
		taken, err := w.Tx.List(store.Query{Kind: control.Kind(GalleryType), All: []string{uniqueTerm(props.Identifier.UniqueName)}, Limit: 1})
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			return arm.Errorf(409, "Conflict", "The gallery name '%s' must be unique within the subscription: it is taken by '%s'.", w.ID.Name(), taken[0].Key).At("galleryName")
		}
	}
	return w.Begin(workGallery, nil)
}

func (p *Provider) deleteGallery(_ context.Context, w *control.Write[Gallery]) error {
	if err := childless(w.Tx, w.ID, DefinitionType, "images"); err != nil {
		return err
	}
	return w.Begin(workGalleryDelete, nil)
}

// childless refuses the deletion of what still holds others.
func childless(tx store.Tx, id arm.ID, kind, collection string) error {
	inner, err := tx.List(store.Query{Kind: control.Kind(kind), Prefix: id.Key() + "/" + collection + "/", Limit: 3})
	if err != nil || len(inner) == 0 {
		return err
	}
	var names []string
	for _, d := range inner {
		var r struct{ ID string }
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return fmt.Errorf("%s: %w", d.Key, err)
		}
		names = append(names, r.ID)
	}
	return arm.Errorf(409, "CannotDeleteResource",
		"Can not delete resource before nested resources are deleted. Some existing nested resource IDs include: '%s'. Please delete all nested resources before deleting this resource.", strings.Join(names, "', '"))
}

// viewGallery shows the sharing mode only to who asks for it.
func viewGallery(_ context.Context, r *control.Read[Gallery]) error {
	p := &r.Resource.Properties
	asked := strings.EqualFold(r.Query.Get("$select"), "Permissions") || strings.EqualFold(r.Query.Get("$expand"), "SharingProfile/Groups")
	if asked && p.SharingProfile == nil {
		p.SharingProfile = &SharingProfile{Permissions: "Private"}
	}
	return nil
}

// alive refuses a child of what is being deleted.
func alive(parent interface{ State() string }, id arm.ID) error {
	if parent.State() == arm.Deleting {
		return arm.Errorf(409, "Conflict", "The resource '%s' is being deleted.", id)
	}
	return nil
}
