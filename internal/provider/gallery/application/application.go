package application

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/control/throttle"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Bytes are those of a blob, which stay as they are until it is closed.
type Bytes interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Blobs are those of storage accounts. A URL that is not of one is refused by name; nothing else is ever asked.
type Blobs interface {
	// Opens tells whether a URL by itself lets its bearer read a blob: by a signature, or since the blob is public.
	Opens(ctx context.Context, uri string) (bool, error)
	// Account tells whose a URL without query is, be there a blob or not. store.ErrNotFound; *arm.Error.
	Account(tx store.Tx, uri string) (account arm.ID, location string, err error)
	// BlobSize tells the bytes of the blob at a URL without query, in the account whose it was when it was decided that it may
	// be read. store.ErrNotFound; *arm.Error.
	BlobSize(tx store.Tx, account arm.ID, uri string) (int64, error)
	// OpenBlob opens it. store.ErrNotFound, also when the name is another account's since; *arm.Error.
	OpenBlob(ctx context.Context, account arm.ID, uri string) (Bytes, error)
}

// Config is what the provider needs.
type Config struct {
	Images   *image.Store
	Blobs    Blobs                                               // nil: no storage accounts here
	Room     func(tx store.Tx, id arm.ID, location string) error // refuses one more than there may be
	Versions []arm.Version                                       // the api-versions of galleries
}

// Provider serves applications and their versions.
type Provider struct {
	Config
	rbac *rbac.Engine
}

// Register adds the types to the table.
func Register(c *control.Control, cfg Config) *Provider {
	p := &Provider{Config: cfg, rbac: c.RBAC()}
	control.Register(c, control.Spec[Application]{
		Type: Type, Versions: cfg.Versions, Noun: "galleryApplication", Tracked: true, AsWritten: true, Authored: catalog.Authored, Patch: true, // synchronous, as recorded
		Name: applicationName, Validate: validateApplication, Put: p.put, Delete: remove, Dialect: applicationDialect, Rates: rates("Application", 150, 750),
	})
	control.Register(c, control.Spec[Version]{
		Type: VersionType, Versions: cfg.Versions, Noun: "galleryApplicationVersion", Tracked: true, AsWritten: true, Authored: catalog.Authored, Patch: true, Preempt: true,
		Async: control.Async{Create: 201, Update: 200, Family: "capsOperations"}, // recorded
		Name:  versionName, Fetch: p.fetch, Validate: validateVersion, Put: p.putVersion, Delete: deleteVersion, View: viewVersion,
		Dialect: versionDialect, Rates: rates("ApplicationVersion", 375, 1200),
	})
	return p
}

// rates are those of image definitions and versions; Azure's own for applications are not recorded.
func rates(what string, short, long int) map[string]throttle.Limit {
	return map[string]throttle.Limit{
		"write": {Name: "CreateUpdateGallery" + what, Short: short, Long: long}, "read": {Name: "GetGallery" + what, Short: 2000, Long: 10000},
		"delete": {Name: "DeleteGallery" + what, Short: 50, Long: 300}, "list": {Name: "ListGallery" + what + "s", Short: 600, Long: 3000},
	}
}

const (
	workVersion       = "galleries/applications/versions/create"
	workVersionDelete = "galleries/applications/versions/delete"
)

// Works are the long-running parts.
func (p *Provider) Works() map[string]operation.Work {
	return map[string]operation.Work{
		workVersion:       {Steps: p.steps, Finish: published},
		workVersionDelete: {Steps: operation.Alone, Finish: p.withdrawn},
	}
}

func (p *Provider) put(_ context.Context, w *control.Write[Application]) error {
	if err := inGallery(w.Tx, w.ID.Parent(), w.ID, w.Body); err != nil {
		return err
	}
	props, was := &w.New.Properties, ""
	if w.Old != nil {
		was = w.Old.Properties.EndOfLifeDate
		if w.Version.Date() < sinceCustomActions {
			props.CustomActions = w.Old.Properties.CustomActions
		}
	}
	if err := catalog.Future(ofApplication+"endOfLifeDate", was, props.EndOfLifeDate, w.Now); err != nil {
		return err
	}
	if w.Old == nil {
		return p.Room(w.Tx, w.ID, w.New.Location)
	}
	return nil
}

// inGallery wants the gallery not to be on its way out, and a body that names its resource to name this one.
func inGallery(tx store.Tx, gallery, id arm.ID, body []byte) error {
	var sent struct{ Name *string }
	if json.Unmarshal(body, &sent) == nil && sent.Name != nil && !strings.EqualFold(*sent.Name, id.Name()) {
		return catalog.Invalid("name", "Entity name '%.140s' doesn't match the name in the request URL, '%s'.", *sent.Name, id.Name())
	}
	shop, err := control.Get[catalog.Gallery](tx, gallery)
	if err != nil {
		return err
	}
	return catalog.Alive(shop, gallery)
}

func remove(_ context.Context, w *control.Write[Application]) error {
	return catalog.Childless(w.Tx, VersionType, w.ID.Key()+"/versions/")
}

// putVersion publishes a new version, or changes where and how an old one is published.
func (p *Provider) putVersion(_ context.Context, w *control.Write[Version]) error {
	if err := inGallery(w.Tx, w.ID.Parent().Parent(), w.ID, w.Body); err != nil {
		return err
	}
	var old *Version
	if w.Old != nil {
		old = &w.Old.Properties
	}
	if err := settle(w.New, old, w.Version, w.Now); err != nil {
		return err
	}
	if w.Old == nil {
		if err := p.Room(w.Tx, w.ID, w.New.Location); err != nil {
			return err
		}
	}
	if err := p.take(w); err != nil {
		return err
	}
	if err := p.regions(w); err != nil {
		return err
	}
	tenant, err := control.TenantOf(w.Tx, w.ID.Subscription)
	if err != nil {
		return err
	}
	return w.Begin(workVersion, input{Domain: strings.ToLower(tenant)})
}

// deleteVersion deletes for good: soft delete is for image versions.
func deleteVersion(_ context.Context, w *control.Write[Version]) error {
	return w.Begin(workVersionDelete, nil)
}

// viewVersion adds the replication status for who asks for it.
func viewVersion(_ context.Context, r *control.Read[Version]) error {
	v := &r.Resource.Properties
	v.ReplicationStatus = nil
	if strings.EqualFold(r.Query.Get("$expand"), "ReplicationStatus") && v.Publishing != nil {
		v.ReplicationStatus = catalog.Told(v.Publishing.TargetRegions, v.Regions)
	}
	return nil
}

// regions brings the record of regions in line with the target regions: new ones begin, removed ones are unpinned. Unlike an
// image version, one that does not speak of safety lets them go: az cannot set its safetyProfile.
func (p *Provider) regions(w *control.Write[Version]) error {
	props := &w.New.Properties
	next := catalog.Aim(props.Publishing.TargetRegions, props.Regions)
	for name, had := range props.Regions {
		if next[name] != nil {
			continue
		}
		if s := props.Safety; had.State == catalog.Completed && s != nil && s.AllowDeletion != nil && !*s.AllowDeletion {
			return arm.Errorf(409, "OperationNotAllowed", "Removing the replicated region '%s' from the gallery application version is not allowed. Set 'safetyProfile.allowDeletionOfReplicatedLocations' to true first.", name).At(ofPublishing + "targetRegions")
		}
		if err := p.unpin(w.Tx, w.New, name); err != nil {
			return err
		}
	}
	props.Regions = next
	return nil
}

func (p *Provider) unpin(tx store.Tx, v *VersionResource, region string) error {
	for _, c := range v.Properties.Content {
		if c.Ref == nil {
			continue
		}
		if err := p.Images.Unpin(tx, *c.Ref, region, v.ID); err != nil {
			return err
		}
	}
	return nil
}

// withdrawn ends a deletion: every pin goes, and with the last one that holds them the bytes, by the collection.
func (p *Provider) withdrawn(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	v, err := control.Find[Version](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	if failure != nil {
		v.SetState(arm.Failed)
		return control.Save(tx, v)
	}
	for region := range v.Properties.Regions {
		if err := p.unpin(tx, v, region); err != nil {
			return err
		}
	}
	if err := p.unpin(tx, v, v.Location); err != nil {
		return err
	}
	return control.Remove(tx, v.ParsedID())
}

// gone takes the absence of the resource for the end of the work.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
