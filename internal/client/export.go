package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client/pages"
	"vitrine/internal/image/format"
)

// Export writes the disk of an image version to a file or a stream, the way that any client of Azure takes: a temporary disk made
// from the version, which copies no byte, a signed URL to read it, and its pages. A file that was cut off is gone on with.
type Export struct {
	ARM     *ARM
	HTTP    *http.Client // for the download by a signed URL
	Version arm.ID
	Group   arm.ID    // resource group of the temporary disk; zero: the version's
	File    string    // empty: Out
	Replace bool      // File may be there
	Out     io.Writer // a stream
	Format  string    // raw, vhd or qcow2
	Report  Report
	Workers int // requests at once; 0: 4

	disk arm.ID
}

// Exported is a file that is whole.
type Exported struct {
	Version  string `json:"version"`
	File     string `json:"file"` // "-": a stream
	Format   string `json:"format"`
	DiskSize int64  `json:"diskSize"` // bytes
	FileSize int64  `json:"fileSize"` // bytes, holes included
	Received int64  `json:"received"` // bytes that this run received
	Disk     string `json:"disk"`     // digest of the raw disk, see pages.Sum
	// Verified is what that was compared with: "import" is the digest that the import of this version left, "transfer" the checksums
	// of its parts alone, for a version that was not made by an import.
	Verified string `json:"verified"`
}

// Run writes it.
func (ex *Export) Run(ctx context.Context) (out Exported, err error) {
	var doc versionDoc
	if err := ex.ARM.Get(ctx, ex.Version.String(), VersionGalleries, &doc); err != nil {
		return out, err
	}
	if doc.Properties.ProvisioningState != arm.Succeeded {
		return out, fmt.Errorf("the image version %s is in provisioning state %s", ex.Version, doc.Properties.ProvisioningState)
	}
	if err := ex.name(); err != nil {
		return out, err
	}
	unique, err := ex.make(ctx, doc)
	if err != nil {
		return out, err
	}
	out, err = ex.fetch(ctx, unique, doc)
	// The disk of a file that was cut off stays: it says, by its identity, that what is there belongs to the rest.
	return out, errors.Join(err, ex.leave(ctx, err == nil || ex.File == ""))
}

// name gives the temporary disk the name that the same command gives it again.
func (ex *Export) name() error {
	salt := rand.Text()
	if ex.File != "" {
		path, err := filepath.Abs(ex.File)
		if err != nil {
			return err
		}
		salt = path
	}
	group := ex.Group
	if group.ResourceGroup == "" {
		group = ex.Version.Group()
	}
	sum := sha256.Sum256([]byte(ex.Version.Key() + "\n" + salt))
	ex.disk = group.Child("Microsoft.Compute/disks", "vitrine-export-"+hex.EncodeToString(sum[:8]))
	return nil
}

// make leaves the temporary disk, and gives its identity.
func (ex *Export) make(ctx context.Context, doc versionDoc) (string, error) {
	var d diskDoc
	id := ex.disk.String()
	err := ex.ARM.Get(ctx, id, VersionDisks, &d)
	if err == nil && strings.EqualFold(d.Properties.CreationData.Gallery.ID, ex.Version.String()) && !strings.HasPrefix(d.Properties.DiskState, "Attached") {
		return d.Properties.UniqueID, nil
	}
	if err == nil {
		return "", fmt.Errorf("%s is in the way: it is no disk of an export of this version", id)
	}
	if !Missing(err) {
		return "", err
	}
	body := map[string]any{"location": doc.Location, "sku": map[string]any{"name": "Standard_LRS"}, "properties": map[string]any{
		"creationData": map[string]any{"createOption": "FromImage", "galleryImageReference": map[string]any{"id": ex.Version.String()}}}}
	if err := ex.ARM.Do(ctx, http.MethodPut, id, VersionDisks, body, &d); err != nil {
		return "", fmt.Errorf("temporary disk: %w", err)
	}
	return d.Properties.UniqueID, nil
}

// leave ends the access, and removes the disk when nobody needs it again; also when the user has interrupted.
func (ex *Export) leave(ctx context.Context, remove bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	id := ex.disk.String()
	err := ex.ARM.Do(ctx, http.MethodPost, id+"/endGetAccess", VersionDisks, struct{}{}, nil)
	if err == nil && remove {
		err = ex.ARM.Do(ctx, http.MethodDelete, id, VersionDisks, nil, nil)
	}
	if err == nil || Missing(err) {
		return nil
	}
	return fmt.Errorf("the temporary disk %s is left: %w", id, err)
}

func (ex *Export) fetch(ctx context.Context, unique string, doc versionDoc) (out Exported, err error) {
	var grant struct {
		AccessSAS string `json:"accessSAS"`
	}
	if err := ex.ARM.Do(ctx, http.MethodPost, ex.disk.String()+"/beginGetAccess", VersionDisks,
		map[string]any{"access": "Read", "durationInSeconds": int(accessTime / time.Second)}, &grant); err != nil {
		return out, fmt.Errorf("download: %w", err)
	}
	blob := &pages.Blob{URL: grant.AccessSAS, HTTP: ex.HTTP, Workers: ex.Workers, Progress: func(done, total int64) { ex.Report.Bytes("Downloading", done, total) }}
	spans, size, err := blob.Content(ctx)
	if err != nil {
		return out, fmt.Errorf("download: %w", err)
	}
	plan, err := ex.plan(size, spans)
	if err != nil {
		return out, err
	}
	to := pages.Stream(ex.Out, plan.Size)
	if ex.File != "" {
		if to, err = pages.OpenFile(ex.File, ex.Replace, plan, pages.Note{Version: ex.Version.Key(), Disk: unique, Format: ex.Format, Size: size, File: plan.Size}); err != nil {
			return out, err
		}
	}
	defer to.Abandon()
	came, err := blob.Download(ctx, spans, plan, to)
	if err != nil {
		return out, fmt.Errorf("download: %w", err)
	}
	out = Exported{Version: ex.Version.String(), File: ex.File, Format: ex.Format, DiskSize: size, FileSize: plan.Size, Received: came,
		Disk: blob.Sum.String(), Verified: "transfer"}
	if out.File == "" {
		out.File = "-"
	}
	if want := doc.Tags[diskTag]; want != "" {
		if want != out.Disk {
			return out, errors.Join(fmt.Errorf("the disk that came has the digest %s; the import of this version left %s (tag %s)", out.Disk, want, diskTag), to.Discard())
		}
		out.Verified = "import"
	}
	return out, to.Finish()
}

// plan is the form of the file.
func (ex *Export) plan(size int64, spans []format.Span) (*format.Plan, error) {
	switch ex.Format {
	case "raw":
		return format.PlanRaw(size), nil
	case "vhd":
		return format.PlanFixedVHD(size), nil
	case "qcow2":
		return format.PlanQCOW2(size, spans)
	}
	return nil, fmt.Errorf("there is no format %q", ex.Format)
}
