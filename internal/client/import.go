package client

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
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/image/format"
)

const (
	sourceTag = "vitrine-source" // tag of an image version: digest of the file it was imported from
	wholeSize = 1 << 20          // Azure takes disks in whole MiB
	// accessTime is for how long a signed URL is asked: a day, the usual limit of az.
	accessTime = 24 * time.Hour
)

// Import publishes a disk file as an image version. What is done already, by an earlier run that was cut off, is not
// done again: the disk that carries the bytes is named after the version and the file's content.
type Import struct {
	ARM     *ARM
	HTTP    *http.Client // for the upload by a signed URL
	File    string
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

	identity string // digest of the file
	region   string
}

// ErrNoParent says that what is to hold an image version is missing, and was not to be made.
var ErrNoParent = errors.New("there is nothing to hold the image version")

// Report is told how an import goes on.
type Report interface {
	Say(line string)                      // something begins or is done
	Status(state string)                  // a state that changes
	Bytes(what string, done, total int64) // an amount that grows
}

// Imported is an image version that is there.
type Imported struct {
	ID      string   `json:"id"`
	State   string   `json:"provisioningState"`
	Regions []string `json:"targetRegions"`
	SizeGB  int      `json:"sizeInGB"`
	Source  string   `json:"source"` // digest of the file
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

// Run does what is not done yet.
func (im *Import) Run(ctx context.Context) (Imported, error) {
	doc, err := im.run(ctx)
	if err != nil {
		return Imported{}, err
	}
	p := doc.Properties
	out := Imported{ID: doc.ID, State: p.ProvisioningState, SizeGB: p.StorageProfile.OSDiskImage.SizeInGB, Source: im.identity}
	for _, r := range p.PublishingProfile.TargetRegions {
		out.Regions = append(out.Regions, r.Name)
	}
	return out, nil
}

func (im *Import) run(ctx context.Context) (doc versionDoc, err error) {
	if im.identity, err = digestFile(ctx, im.File); err != nil {
		return doc, err
	}
	done, err := im.existing(ctx, &doc)
	if err != nil || done {
		return doc, errors.Join(err, im.removeDisk(ctx, done))
	}
	if err := im.fit(); err != nil { // before anything is made for it
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
	same := doc.Tags[sourceTag] == im.identity
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

// digestFile names the content of a file.
func digestFile(ctx context.Context, path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
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

// openFile opens a regular file alone: to open a pipe waits for its other end, which no signal cuts short.
func openFile(path string) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; pipes and devices cannot be imported: copy what they hold to a file first", path)
	}
	return os.Open(path)
}

// fit refuses a file that is no disk.
func (im *Import) fit() error {
	f, err := openFile(im.File)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = im.sniff(f)
	return err
}

func (im *Import) sniff(f *os.File) (format.Info, error) {
	st, err := f.Stat()
	if err != nil {
		return format.Info{}, err
	}
	info, err := format.Sniff(f, st.Size())
	return info, unfit(im.File, err)
}

// unfit words what is wrong with a file for whoever sent it.
func unfit(file string, err error) error {
	bad, ok := format.As(err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s cannot be imported: %s", file, remedy(bad))
}

func remedy(bad *format.Error) string {
	switch bad.Reason {
	case format.AbsurdSize:
		return "a disk is a whole number of sectors of 512 bytes, not empty and at most 64 TiB large. Was it copied as a whole, and is it unpacked? " +
			"A raw disk that lacks a part of its last sector is filled up by: truncate --size=%512 FILE"
	case format.Truncated:
		return "it ends too early (" + bad.Text + "). Copy it again."
	case format.Damaged, format.SizeMismatch, format.NoFooter:
		return "it is damaged (" + bad.Text + "). Copy it again, or make it anew by qemu-img convert."
	case format.BackingFile:
		return "it does not hold the whole disk (" + bad.Text + "). Make one file of all by: qemu-img convert -O qcow2 FILE WHOLE.qcow2"
	case format.Unsupported, format.NotFixed:
		return "it has a form that is not supported (" + bad.Text + "). Convert it by: qemu-img convert -O raw FILE DISK.raw"
	}
	return bad.Text + ". Check the file by: qemu-img info FILE"
}

// open gives the file as a raw disk, converted in a temporary folder unless it is raw already.
func (im *Import) open(ctx context.Context) (*content, error) {
	f, err := openFile(im.File)
	if err != nil {
		return nil, err
	}
	info, err := im.sniff(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.Kind == format.Raw || info.Kind == format.FixedVHD {
		return padded(f, info.Size, func() { f.Close() }), nil
	}
	f.Close()
	im.Report.Say(fmt.Sprintf("Converting %s from %s to raw.", filepath.Base(im.File), info.Kind))
	dir, err := os.MkdirTemp("", "vitrine-import-")
	if err != nil {
		return nil, err
	}
	raw := filepath.Join(dir, "disk.raw")
	if info, err = format.Convert(ctx, im.File, raw, format.Limits{}); err == nil {
		f, err = os.Open(raw)
	}
	os.RemoveAll(dir) // the open file stays readable, and a kill from here on leaves nothing behind
	if err != nil {
		return nil, fmt.Errorf("convert: %w", unfit(im.File, err))
	}
	return padded(f, info.Size, func() { f.Close() }), nil
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
