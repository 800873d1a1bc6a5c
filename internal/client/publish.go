package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client/pages"
	"vitrine/internal/image/format"
	"vitrine/internal/image/pace"
)

// diskDoc is what we read of a managed disk.
type diskDoc struct {
	Tags       map[string]string `json:"tags"`
	Properties struct {
		DiskState    string `json:"diskState"`
		UniqueID     string `json:"uniqueId"`
		CreationData struct {
			UploadSizeBytes int64 `json:"uploadSizeBytes"`
			Gallery         struct {
				ID string `json:"id"`
			} `json:"galleryImageReference"`
		} `json:"creationData"`
	} `json:"properties"`
}

// disk leaves the temporary disk with the file's content.
func (im *Import) disk(ctx context.Context) error {
	id := im.diskID().String()
	var d diskDoc
	err := im.ARM.Get(ctx, id, VersionDisks, &d)
	if err == nil && strings.EqualFold(d.Properties.DiskState, "Unattached") {
		im.Report.Say("The upload of an earlier run was complete.")
		im.sum = d.Tags[diskTag]
		return nil
	}
	if err != nil && !Missing(err) {
		return err
	}
	disk, size, err := im.from.Disk(ctx)
	if err != nil {
		return err
	}
	if d.Properties.DiskState == "" {
		body := map[string]any{"location": im.region, "sku": map[string]any{"name": "Standard_LRS"}, "properties": map[string]any{
			"osType": im.OSType, "hyperVGeneration": im.Generation,
			"creationData": map[string]any{"createOption": "Upload", "uploadSizeBytes": size + format.FooterSize}}}
		if err := im.ARM.Do(ctx, http.MethodPut, id, VersionDisks, body, nil); err != nil {
			return fmt.Errorf("temporary disk: %w", err)
		}
	}
	return im.upload(ctx, id, disk, size)
}

func (im *Import) upload(ctx context.Context, id string, disk io.ReaderAt, size int64) error {
	var grant struct {
		AccessSAS string `json:"accessSAS"`
	}
	err := im.ARM.Do(ctx, http.MethodPost, id+"/beginGetAccess", VersionDisks,
		map[string]any{"access": "Write", "durationInSeconds": int(accessTime / time.Second)}, &grant)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if grant.AccessSAS == "" {
		return errors.New("upload: the server gave no signed URL")
	}
	blob := pages.Blob{URL: grant.AccessSAS, HTTP: im.HTTP, Source: im.identity, Progress: func(done, total int64) { im.Report.Bytes("Uploading", done, total) }}
	if err := blob.UploadVHD(ctx, disk, size); err != nil {
		return err
	}
	if err := im.from.Unchanged(); err != nil {
		return err
	}
	im.sum = blob.Sum.String()
	if err := im.ARM.Do(ctx, http.MethodPatch, id, VersionDisks, map[string]any{"tags": map[string]string{diskTag: im.sum}}, nil); err != nil {
		return fmt.Errorf("temporary disk: %w", err)
	}
	im.Report.Say("Checking and storing what was uploaded.")
	if err := im.ARM.Do(ctx, http.MethodPost, id+"/endGetAccess", VersionDisks, struct{}{}, nil); err != nil {
		return fmt.Errorf("end of the upload: %w", err)
	}
	return nil
}

// replication is replicationStatus of an image version.
type replication struct {
	AggregatedState string `json:"aggregatedState"`
	Summary         []struct {
		Region   string `json:"region"`
		State    string `json:"state"`
		Progress int    `json:"progress"`
	} `json:"summary"`
}

func (r *replication) String() string {
	var words []string
	for _, s := range r.Summary {
		words = append(words, fmt.Sprintf("%s %s %d %%", s.Region, strings.ToLower(s.State), s.Progress))
	}
	return strings.Join(words, ", ")
}

// publish makes the image version and waits until it is in every region.
func (im *Import) publish(ctx context.Context, doc *versionDoc) error {
	var regions []map[string]any
	for _, name := range im.targets(im.region) {
		regions = append(regions, map[string]any{"name": name, "regionalReplicaCount": im.Replicas})
	}
	id := im.Version.String()
	tags := map[string]string{sourceTag: im.identity}
	if im.sum != "" {
		tags[diskTag] = im.sum
	}
	body := map[string]any{"location": im.region, "tags": tags, "properties": map[string]any{
		"publishingProfile": map[string]any{"targetRegions": regions, "replicaCount": im.Replicas},
		"storageProfile":    map[string]any{"osDiskImage": map[string]any{"source": map[string]any{"id": im.diskID().String()}}}}}
	p, err := im.ARM.Begin(ctx, http.MethodPut, id, VersionGalleries, body)
	if err != nil {
		return fmt.Errorf("image version: %w", err)
	}
	for {
		done, err := p.Poll(ctx)
		if err != nil {
			return fmt.Errorf("image version: %w", err)
		}
		if done {
			break
		}
		if err := im.replicated(ctx, id); err != nil {
			return err
		}
		if err := pace.Sleep(ctx, p.Interval()); err != nil {
			return err
		}
	}
	return im.ARM.Get(ctx, id+"?$expand=ReplicationStatus", VersionGalleries, doc)
}

// settle waits for a version that an earlier run of this import began to make.
func (im *Import) settle(ctx context.Context, doc *versionDoc) error {
	for {
		switch doc.Properties.ProvisioningState {
		case arm.Succeeded, arm.Failed, arm.Canceled:
			return nil
		}
		if err := pace.Sleep(ctx, time.Second); err != nil {
			return err
		}
		*doc = versionDoc{}
		if err := im.ARM.Get(ctx, im.Version.String()+"?$expand=ReplicationStatus", VersionGalleries, doc); err != nil {
			return err
		}
		if r := doc.Properties.ReplicationStatus; r != nil {
			im.Report.Status("Replicating: " + r.String())
		}
	}
}

// replicated shows how far the regions are.
func (im *Import) replicated(ctx context.Context, id string) error {
	var doc versionDoc
	if err := im.ARM.Get(ctx, id+"?$expand=ReplicationStatus", VersionGalleries, &doc); err != nil {
		return err
	}
	if r := doc.Properties.ReplicationStatus; r != nil {
		im.Report.Status("Replicating: " + r.String())
	}
	return nil
}

// targets are the regions to replicate to, the home region first, each once.
func (im *Import) targets(home string) []string {
	var list []string
	seen := map[string]bool{}
	for _, region := range append([]string{home}, im.Targets...) {
		if l, ok := arm.LocationOf(region); ok && !seen[l.Name] {
			seen[l.Name] = true
			list = append(list, l.Name)
		}
	}
	return list
}
