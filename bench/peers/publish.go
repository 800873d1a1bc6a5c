package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"vitrine/internal/image/extent"
	"vitrine/internal/image/format"
)

// mark makes the content of a disk that of a round: nothing of it lies ready anywhere.
func mark(raw string, round int) error {
	f, err := os.OpenFile(raw, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "round %03d", round), 1<<20)
	return errors.Join(err, f.Close())
}

// publish makes an image version of a raw disk, and what is to hold it.
func (o *ours) publish(ctx context.Context, raw, image string, patch int) (string, error) {
	gallery := o.compute("galleries/g")
	definition := gallery + "/images/" + image
	id := fmt.Sprintf("%s/versions/1.0.%d", definition, patch)
	disk, err := o.sent(ctx, raw, fmt.Sprintf("%s-%d", image, patch))
	if err != nil {
		return id, err
	}
	for _, r := range []struct {
		id         string
		properties map[string]any
	}{
		{gallery, map[string]any{}},
		{definition, map[string]any{"osType": "Linux", "osState": "Specialized", "hyperVGeneration": "V2", "identifier": map[string]any{"publisher": "bench", "offer": image, "sku": "1"}}},
		{id, map[string]any{"publishingProfile": map[string]any{"targetRegions": []any{map[string]any{"name": home}}},
			"storageProfile": map[string]any{"osDiskImage": map[string]any{"source": map[string]any{"id": disk}}}}},
	} {
		if _, err := o.arm.Begin(ctx, http.MethodPut, r.id, versionGallery, map[string]any{"location": home, "properties": r.properties}); err != nil {
			return id, fmt.Errorf("%s: %w", r.id, err)
		}
		if err := o.succeeded(ctx, r.id, versionGallery); err != nil {
			return id, err
		}
	}
	return id, o.arm.Do(ctx, http.MethodDelete, disk, versionDisk, nil, nil)
}

// copied makes another version of an image, from its first one.
func (o *ours) copied(ctx context.Context, version, image string, patch int) error {
	id := fmt.Sprintf("%s/images/%s/versions/1.0.%d", o.compute("galleries/g"), image, patch)
	properties := map[string]any{"publishingProfile": map[string]any{"targetRegions": []any{map[string]any{"name": home}}},
		"storageProfile": map[string]any{"source": map[string]any{"id": version}}}
	if _, err := o.arm.Begin(ctx, http.MethodPut, id, versionGallery, map[string]any{"location": home, "properties": properties}); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	return o.succeeded(ctx, id, versionGallery)
}

// sent is a disk with a raw disk's content, by a signed URL. Only what is data is read and sent.
func (o *ours) sent(ctx context.Context, raw, name string) (string, error) {
	f, err := os.Open(raw)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	id, target, err := o.uploadDisk(ctx, name, st.Size()+format.FooterSize)
	if err != nil {
		return id, err
	}
	stretches, _, err := beginning(f, st.Size(), 0)
	if err != nil {
		return id, err
	}
	ranges := make(chan extent.Range)
	go feed(ctx, ranges, stretches)
	var failed error
	buffer := make([]byte, 4<<20)
	for r := range ranges {
		if failed == nil {
			_, failed = f.ReadAt(buffer[:r.End-r.Start], r.Start)
		}
		if failed == nil {
			failed = o.putPages(ctx, target, buffer[:r.End-r.Start], r.Start)
		}
	}
	footer := format.VHDFooter(st.Size())
	if err := errors.Join(failed, o.putPages(ctx, target, footer[:], st.Size())); err != nil {
		return id, err
	}
	return id, o.endAccess(ctx, id)
}
