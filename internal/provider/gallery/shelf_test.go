package gallery_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/gallery/application"
	"vitrine/internal/store"
)

// file is a blob that a package may be.
type file struct {
	content []byte
	size    int64 // if it is not that of content
	public  bool
}

const (
	appA      = galleryA + "/applications/app"
	appVerA   = appA + "/versions/1.0.0"
	app       = `{"location":"eastus","properties":{"supportedOSType":"linux"}}`
	zipURI    = "https://acct.blob.core.windows.net/packages/app.zip"
	confURI   = "https://acct.blob.core.windows.net/packages/app.conf"
	bigURI    = "https://acct.blob.core.windows.net/packages/big"
	emptyURI  = "https://acct.blob.core.windows.net/packages/empty"
	publicURI = "https://theirs.blob.core.windows.net/public/app"
	theirURI  = "https://theirs.blob.core.windows.net/packages/app"
	signature = "?sp=r&sv=2021-06-08&sr=b&sig=good"
	onApp     = "galleryApplicationVersion.properties.publishingProfile."
)

// Opens implements gallery.Files: a signature is good, or the blob is public.
func (w *world) Opens(_ context.Context, uri string) (bool, error) {
	u, err := url.Parse(uri)
	bare, _, _ := strings.Cut(uri, "?")
	return err == nil && (u.Query().Get("sig") == "good" || w.files[bare].public), nil
}

// Account implements gallery.Files.
func (w *world) Account(_ store.Tx, uri string) (arm.ID, string, error) {
	u, err := url.Parse(uri)
	if err != nil || !strings.HasSuffix(u.Host, ".blob.core.windows.net") {
		return arm.ID{}, "", arm.Errorf(400, "InvalidParameter", "The source blob URI '%s' is invalid: its host is no storage account of this installation.", uri).At("uri")
	}
	text := map[string]string{"acct": acctA, "theirs": groupB + "/providers/Microsoft.Storage/storageAccounts/theirs"}[strings.Split(u.Host, ".")[0]]
	if text == "" {
		return arm.ID{}, "", store.ErrNotFound
	}
	id, err := arm.ParseID(text)
	return id, "eastus", err
}

// BlobSize implements gallery.Files.
func (w *world) BlobSize(_ store.Tx, _ arm.ID, uri string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, ok := w.files[uri]
	if !ok {
		return 0, store.ErrNotFound
	}
	return max(f.size, int64(len(f.content))), nil
}

type openFile struct{ *bytes.Reader }

func (openFile) Close() error { return nil }

// OpenBlob implements gallery.Files: nothing is there of an account that had the name before.
func (w *world) OpenBlob(_ context.Context, account arm.ID, uri string) (application.Bytes, error) {
	if now, _, err := w.Account(nil, uri); err != nil || now.Key() != account.Key() {
		return nil, store.ErrNotFound
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f, ok := w.files[uri]
	if !ok {
		return nil, store.ErrNotFound
	}
	return openFile{bytes.NewReader(f.content)}, nil
}

// shelf makes a gallery with an application, and blobs for its versions.
func (w *world) shelf() {
	w.Helper()
	w.files[zipURI], w.files[confURI] = file{content: noise(300<<10+17, "zip")}, file{content: []byte("a=b")}
	w.files[bigURI], w.files[emptyURI] = file{content: []byte("x"), size: 2<<30 + 1}, file{}
	w.files[publicURI], w.files[theirURI] = file{content: noise(1000, "public"), public: true}, file{content: noise(1000, "theirs")}
	w.done(inA, "PUT", galleryA, `{"location":"eastus"}`)
	r, err := w.do(inA, "PUT", appA, app)
	w.must(err)
	if r.Status != 201 || r.Header.Get("Azure-AsyncOperation") != "" || bytes.Contains(r.Body, []byte("provisioningState")) {
		w.Fatalf("an application is made at once, without provisioningState: %d %v %s", r.Status, r.Header, r.Body)
	}
}

// appVersion is a version's body with further members of its publishing profile and, after them, of its properties.
func appVersion(link, publishing, more string) string {
	return fmt.Sprintf(`{"location":"East US","properties":{"publishingProfile":{"source":{"mediaLink":%q},"manageActions":{"install":"i","remove":"r"}%s}%s}}`, link, publishing, more)
}

func errOf(_ *control.Response, err error) error { return err }

// packed reads the files of the version back from a region.
func (w *world) packed(region string) (files [][]byte) {
	w.Helper()
	var refs []image.Ref
	w.must(w.view(func(tx store.Tx) error {
		v, err := control.Find[application.Version](tx, appVerA)
		if err == nil {
			for _, c := range v.Properties.Content {
				refs = append(refs, *c.Ref)
			}
		}
		return err
	}))
	for _, ref := range refs {
		r, err := w.images.Open(context.Background(), region, ref)
		w.must(err)
		all, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		w.must(err)
		files = append(files, all)
	}
	return files
}

func codeOf(err error) string {
	if e, ok := err.(*arm.Error); ok {
		return e.Code
	}
	return ""
}

func (w *world) absentVersion(path string) {
	w.Helper()
	_, err := w.do(inA, "GET", path, "")
	w.refuse(err, 404, "ResourceNotFound", "", "")
}
