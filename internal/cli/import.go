package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/image/format"
)

const (
	sourceTag = "vitrine-source" // tag of an image version: digest of the file it was imported from
	wholeSize = 1 << 20          // Azure takes disks in whole MiB
)

// importing is one run of image import.
type importing struct {
	importSpec
	arm      *client.ARM
	http     *http.Client
	bar      *progress
	identity string // digest of the file
	region   string
}

// imported is what image import prints.
type imported struct {
	ID      string   `json:"id"`
	State   string   `json:"provisioningState"`
	Regions []string `json:"targetRegions"`
	SizeGB  int      `json:"sizeInGB"`
	Source  string   `json:"source"`
}

// versionDoc is what we read of an image version.
type versionDoc struct {
	ID         string            `json:"id"`
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

func (e *env) importImage(ctx context.Context, s importSpec) error {
	server, err := e.server()
	if err != nil {
		return err
	}
	im := &importing{importSpec: s, bar: newProgress(e.err, s.quiet)}
	if im.http, err = server.HTTP(); err != nil {
		return err
	}
	if im.arm, err = e.arm(ctx, s.who, s.version.Subscription); err != nil {
		return err
	}
	doc, err := im.run(ctx)
	im.bar.end()
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(e.err, "vitrine: interrupted. What was uploaded is kept; the same command goes on from there.")
		return ExitCode(130)
	}
	if err != nil {
		return err
	}
	out := imported{ID: doc.ID, State: doc.Properties.ProvisioningState, SizeGB: doc.Properties.StorageProfile.OSDiskImage.SizeInGB, Source: im.identity}
	for _, r := range doc.Properties.PublishingProfile.TargetRegions {
		out.Regions = append(out.Regions, r.Name)
	}
	return e.print(out)
}

// run does what is not done yet.
func (im *importing) run(ctx context.Context) (doc versionDoc, err error) {
	if im.identity, err = digestFile(ctx, im.file); err != nil {
		return doc, err
	}
	done, err := im.existing(ctx, &doc)
	if err != nil || done {
		return doc, errors.Join(err, im.removeDisk(ctx, done))
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
	return doc, im.removeDisk(ctx, true)
}

// existing looks whether the version is there: made of this very file, it is the result; else it is in the way.
func (im *importing) existing(ctx context.Context, doc *versionDoc) (bool, error) {
	err := im.arm.Get(ctx, im.version.String(), versionGalleries, doc)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	same := doc.Tags[sourceTag] == im.identity
	switch state := doc.Properties.ProvisioningState; {
	case state == arm.Succeeded && same:
		im.bar.say("The image version is there already, made of this very file.")
		return true, nil
	case state == arm.Failed, same:
		return false, nil // to be made again, or to be waited for
	default:
		return false, fmt.Errorf("the image version %s exists (%s) and was not made of this file: an image version does not change; choose another version number, or delete it first", im.version, state)
	}
}

// digestFile names the content of a file.
func digestFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", errors.Join(fmt.Errorf("%s is not a regular file", path), err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, readerOf(ctx, f)); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// contextReader ends a long read when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func readerOf(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// content is the raw disk of a file.
type content struct {
	io.ReaderAt
	size  int64 // in whole MiB; what is beyond the file reads as zeros
	close func()
}

// open gives the file as a raw disk, converted in a temporary folder unless it is raw already.
func (im *importing) open(ctx context.Context) (*content, error) {
	f, err := os.Open(im.file)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	info, err := format.Sniff(f, st.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s cannot be imported: %w", im.file, err)
	}
	if info.Kind == format.Raw || info.Kind == format.FixedVHD {
		return padded(f, info.Size, func() { f.Close() }), nil
	}
	f.Close()
	im.bar.say("Converting %s from %s to raw.", filepath.Base(im.file), info.Kind)
	dir, err := os.MkdirTemp("", "vitrine-import-")
	if err != nil {
		return nil, err
	}
	raw := filepath.Join(dir, "disk.raw")
	if info, err = format.Convert(ctx, im.file, raw, format.Limits{}); err == nil {
		f, err = os.Open(raw)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("convert %s: %w", im.file, err)
	}
	return padded(f, info.Size, func() { f.Close(); os.RemoveAll(dir) }), nil
}

func padded(r io.ReaderAt, size int64, close func()) *content {
	return &content{ReaderAt: zeroTail{r, size}, size: (size + wholeSize - 1) / wholeSize * wholeSize, close: close}
}

// zeroTail reads zeros where r has ended.
type zeroTail struct {
	r    io.ReaderAt
	size int64
}

// ReadAt implements io.ReaderAt.
func (z zeroTail) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < z.size {
		want := p[:min(int64(len(p)), z.size-off)]
		got, err := z.r.ReadAt(want, off)
		if got < len(want) {
			return got, err
		}
		n = got
	}
	clear(p[n:])
	return len(p), nil
}

// parents looks for what holds the version, and makes it when asked to.
func (im *importing) parents(ctx context.Context) error {
	definition := im.version.Parent()
	gallery := definition.Parent()
	group := gallery.Group()
	for _, p := range []struct {
		what, version string
		id            arm.ID
		body          func() map[string]any
	}{
		{"resource group", versionGroups, group, func() map[string]any { return map[string]any{} }},
		{"gallery", versionGalleries, gallery, func() map[string]any { return map[string]any{"properties": map[string]any{}} }},
		{"image definition", versionGalleries, definition, im.definition},
	} {
		var found struct{ Location string }
		err := im.arm.Get(ctx, p.id.String(), p.version, &found)
		if missing(err) && im.create {
			body := p.body()
			body["location"] = im.home()
			im.bar.say("Creating the %s %s.", p.what, p.id.Name())
			err = im.arm.Do(ctx, http.MethodPut, p.id.String(), p.version, body, &found)
		}
		if missing(err) {
			return fmt.Errorf("there is no %s %s; with --create it is made: %w", p.what, p.id, err)
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
func (im *importing) home() string {
	for _, name := range append([]string{im.location, im.region}, append(im.regions, "eastus")...) {
		if l, ok := arm.LocationOf(name); ok {
			return l.Name
		}
	}
	return ""
}

func (im *importing) definition() map[string]any {
	return map[string]any{"properties": map[string]any{
		"osType": im.osType, "osState": im.osState, "hyperVGeneration": im.generation, "architecture": im.cpu,
		"identifier": map[string]any{"publisher": im.publisher, "offer": im.offer, "sku": im.sku}}}
}

// diskID names the temporary disk after what it is for, so that a run that was cut off finds it again.
func (im *importing) diskID() arm.ID {
	sum := sha256.Sum256([]byte(im.version.Key() + "\n" + im.identity))
	return im.version.Group().Child("Microsoft.Compute/disks", "vitrine-import-"+hex.EncodeToString(sum[:8]))
}

// removeDisk deletes the temporary disk, if it is there.
func (im *importing) removeDisk(ctx context.Context, finished bool) error {
	if !finished {
		return nil
	}
	err := im.arm.Do(ctx, http.MethodDelete, im.diskID().String(), versionDisks, nil, nil)
	if missing(err) {
		return nil
	}
	return err
}

// accessTime is for how long a signed URL is asked: a day, the usual limit of az.
const accessTime = 24 * time.Hour

func sameState(a, b string) bool { return strings.EqualFold(a, b) }
