package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/client"
)

// diskDoc is what we read of a managed disk.
type diskDoc struct {
	Properties struct {
		DiskState    string `json:"diskState"`
		CreationData struct {
			UploadSizeBytes int64 `json:"uploadSizeBytes"`
		} `json:"creationData"`
	} `json:"properties"`
}

const vhdFooter = 512 // bytes

// disk leaves the temporary disk with the file's content.
func (im *importing) disk(ctx context.Context) error {
	id := im.diskID().String()
	var d diskDoc
	err := im.arm.Get(ctx, id, versionDisks, &d)
	if err == nil && sameState(d.Properties.DiskState, "Unattached") {
		im.bar.say("The upload of an earlier run was complete.")
		return nil
	}
	if err != nil && !missing(err) {
		return err
	}
	c, err := im.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if d.Properties.DiskState == "" {
		body := map[string]any{"location": im.region, "sku": map[string]any{"name": "Standard_LRS"}, "properties": map[string]any{
			"osType": im.osType, "hyperVGeneration": im.generation,
			"creationData": map[string]any{"createOption": "Upload", "uploadSizeBytes": c.size + vhdFooter}}}
		if err := im.arm.Do(ctx, http.MethodPut, id, versionDisks, body, nil); err != nil {
			return fmt.Errorf("temporary disk: %w", err)
		}
	}
	return im.upload(ctx, id, c)
}

func (im *importing) upload(ctx context.Context, id string, c *content) error {
	var grant struct {
		AccessSAS string `json:"accessSAS"`
	}
	err := im.arm.Do(ctx, http.MethodPost, id+"/beginGetAccess", versionDisks,
		map[string]any{"access": "Write", "durationInSeconds": int(accessTime / time.Second)}, &grant)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if grant.AccessSAS == "" {
		return errors.New("upload: the server gave no signed URL")
	}
	blob := client.PageBlob{URL: grant.AccessSAS, HTTP: im.http, Source: im.identity, Progress: im.bar.bytes("Uploading")}
	if err := blob.UploadVHD(ctx, c, c.size); err != nil {
		return err
	}
	im.bar.end()
	im.bar.say("Checking and storing what was uploaded.")
	if err := im.arm.Do(ctx, http.MethodPost, id+"/endGetAccess", versionDisks, struct{}{}, nil); err != nil {
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
func (im *importing) publish(ctx context.Context, doc *versionDoc) error {
	var regions []map[string]any
	for _, name := range im.targets(im.region) {
		regions = append(regions, map[string]any{"name": name, "regionalReplicaCount": im.replicas})
	}
	id := im.version.String()
	body := map[string]any{"location": im.region, "tags": map[string]string{sourceTag: im.identity}, "properties": map[string]any{
		"publishingProfile": map[string]any{"targetRegions": regions, "replicaCount": im.replicas},
		"storageProfile":    map[string]any{"osDiskImage": map[string]any{"source": map[string]any{"id": im.diskID().String()}}}}}
	p, err := im.arm.Begin(ctx, http.MethodPut, id, versionGalleries, body)
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
		if err := wait(ctx, p.Interval()); err != nil {
			return err
		}
	}
	return im.arm.Get(ctx, id+"?$expand=ReplicationStatus", versionGalleries, doc)
}

// replicated shows how far the regions are.
func (im *importing) replicated(ctx context.Context, id string) error {
	var doc versionDoc
	if err := im.arm.Get(ctx, id+"?$expand=ReplicationStatus", versionGalleries, &doc); err != nil {
		return err
	}
	if r := doc.Properties.ReplicationStatus; r != nil {
		im.bar.status("Replicating: " + r.String())
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
