package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client/source"
)

const (
	sourceTag = "vitrine-source" // tag of an image version: digest of the file it was imported from
	diskTag   = "vitrine-disk"   // tag of an image version, and of the disk meanwhile: digest of the raw disk, see pages.Sum
	// accessTime is for how long a signed URL is asked: a day, the usual limit of az.
	accessTime = 24 * time.Hour
)

// Import publishes a disk file as an image version. What is done already, by an earlier run that was cut off, is not
// done again: the disk that carries the bytes is named after the version and the file's content.
type Import struct {
	ARM     *ARM
	HTTP    *http.Client // for the upload by a signed URL
	Source  source.Config
	Version arm.ID
	Targets []string // regions beside the home region
	// Location is where things are made; empty: where what holds them is, else the first of Targets, else eastus.
	Location string
	Replicas int // in each region
	// Definition is the body of the image definition to make when it, or what holds it, is missing; nil: that is an error.
	Definition map[string]any
	// OSType and Generation are of the disk, as in the definition.
	OSType, Generation string
	Report             Report

	from     *source.Source
	identity string // digest of the source
	sum      string // digest of the raw disk; empty when it is not known
	region   string
}

// ErrNoParent says that what is to hold an image version is missing, and was not to be made.
var ErrNoParent = errors.New("there is nothing to hold the image version")

// Report is told how an import goes on.
type Report interface {
	source.Report
	Status(state string) // a state that changes
}

// Imported is an image version that is there.
type Imported struct {
	ID      string   `json:"id"`
	State   string   `json:"provisioningState"`
	Regions []string `json:"targetRegions"`
	SizeGB  int      `json:"sizeInGB"`
	Source  string   `json:"source"`         // digest of the file
	Disk    string   `json:"disk,omitempty"` // digest of the raw disk, see pages.Sum
}

// versionDoc is what we read of an image version.
type versionDoc struct {
	ID         string            `json:"id"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties struct {
		ProvisioningState string `json:"provisioningState"`
		PublishingProfile struct {
			TargetRegions []struct {
				Name string `json:"name"`
			} `json:"targetRegions"`
		} `json:"publishingProfile"`
		StorageProfile struct {
			OSDiskImage struct {
				SizeInGB int `json:"sizeInGB"`
			} `json:"osDiskImage"`
		} `json:"storageProfile"`
		ReplicationStatus *replication `json:"replicationStatus"`
	} `json:"properties"`
}

// Run does what is not done yet.
func (im *Import) Run(ctx context.Context) (Imported, error) {
	doc, err := im.run(ctx)
	if err != nil {
		return Imported{}, err
	}
	p := doc.Properties
	out := Imported{ID: doc.ID, State: p.ProvisioningState, SizeGB: p.StorageProfile.OSDiskImage.SizeInGB, Source: im.identity, Disk: doc.Tags[diskTag]}
	for _, r := range p.PublishingProfile.TargetRegions {
		out.Regions = append(out.Regions, r.Name)
	}
	return out, nil
}

func (im *Import) run(ctx context.Context) (doc versionDoc, err error) {
	if im.from, err = source.Open(ctx, im.Source); err != nil {
		return doc, err
	}
	defer im.from.Close()
	im.identity = im.from.Identity()
	done, err := im.existing(ctx, &doc)
	if err != nil || done {
		if done {
			im.from.Done()
		}
		return doc, errors.Join(err, im.removeDisk(ctx, done))
	}
	if err := im.from.Fit(ctx); err != nil { // before anything is made for it
		return doc, err
	}
	if err := im.parents(ctx); err != nil {
		return doc, err
	}
	if err := im.disk(ctx); err != nil {
		return doc, err
	}
	if err := im.publish(ctx, &doc); err != nil {
		return doc, err
	}
	im.from.Done()
	return doc, im.removeDisk(ctx, true)
}

// existing looks whether the version is there: made of this very file, it is the result; else it is in the way.
func (im *Import) existing(ctx context.Context, doc *versionDoc) (bool, error) {
	err := im.ARM.Get(ctx, im.Version.String(), VersionGalleries, doc)
	if Missing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	same, err := im.from.Is(ctx, doc.Tags[sourceTag])
	if err != nil {
		return false, err
	}
	if same {
		if err := im.settle(ctx, doc); err != nil {
			return false, err
		}
	}
	switch state := doc.Properties.ProvisioningState; {
	case state == arm.Succeeded && same:
		im.Report.Say("The image version is there already, made of this very file.")
		return true, nil
	case state == arm.Failed:
		return false, nil // to be made again
	default:
		return false, fmt.Errorf("the image version %s exists (%s) and was not made of this file: an image version does not change; choose another version number, or delete it first", im.Version, state)
	}
}

// parents looks for what holds the version, and makes it when asked to.
func (im *Import) parents(ctx context.Context) error {
	definition := im.Version.Parent()
	gallery := definition.Parent()
	group := gallery.Group()
	for _, p := range []struct {
		what, version string
		id            arm.ID
		body          func() map[string]any
	}{
		{"resource group", VersionGroups, group, func() map[string]any { return map[string]any{} }},
		{"gallery", VersionGalleries, gallery, func() map[string]any { return map[string]any{"properties": map[string]any{}} }},
		{"image definition", VersionGalleries, definition, func() map[string]any { return im.Definition }},
	} {
		var found struct{ Location string }
		err := im.ARM.Get(ctx, p.id.String(), p.version, &found)
		if Missing(err) && im.Definition != nil {
			body := p.body()
			body["location"] = im.home()
			im.Report.Say(fmt.Sprintf("Creating the %s %s.", p.what, p.id.Name()))
			err = im.ARM.Do(ctx, http.MethodPut, p.id.String(), p.version, body, &found)
		}
		if Missing(err) {
			return fmt.Errorf("%w: the %s %s", ErrNoParent, p.what, p.id)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", p.what, p.id.Name(), err)
		}
		if l, ok := arm.LocationOf(found.Location); ok && (p.what != "resource group" || im.region == "") {
			im.region = l.Name
		}
	}
	return nil
}

// home is where a thing is made: where the user says, else where its holder is, else in the first target region.
func (im *Import) home() string {
	for _, name := range append([]string{im.Location, im.region}, append(im.Targets, "eastus")...) {
		if l, ok := arm.LocationOf(name); ok {
			return l.Name
		}
	}
	return ""
}

// diskID names the temporary disk after what it is for, so that a run that was cut off finds it again.
func (im *Import) diskID() arm.ID {
	sum := sha256.Sum256([]byte(im.Version.Key() + "\n" + im.identity))
	return im.Version.Group().Child("Microsoft.Compute/disks", "vitrine-import-"+hex.EncodeToString(sum[:8]))
}

// removeDisk deletes the temporary disk, if it is there.
func (im *Import) removeDisk(ctx context.Context, finished bool) error {
	if !finished {
		return nil
	}
	err := im.ARM.Do(ctx, http.MethodDelete, im.diskID().String(), VersionDisks, nil, nil)
	if Missing(err) {
		return nil
	}
	return err
}
