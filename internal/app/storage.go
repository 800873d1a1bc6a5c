package app

import (
	"context"
	"net/http"
	"sync"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/dataplane/account"
	"vitrine/internal/image"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/gallery"
	"vitrine/internal/store"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// accounts makes the door of storage accounts. Its bodies are larger than ARM's, and streamed.
func (a *App) accounts() http.Handler {
	h := elsewhere()
	if a.host {
		h = account.New(a.door())
	}
	return web.Serve(web.Config{Log: a.cfg.Log, MaxBody: account.MaxBody}, h)
}

func (a *App) door() account.Config {
	who := authn.New(authn.Config{Tokens: a.tokens, Directory: a.directory, API: token.Storage, Now: a.cfg.Now})
	return account.Config{Accounts: a.rooms.accounts, Blobs: a.rooms.content, Store: a.store, RBAC: a.control.RBAC(), Authn: who, Now: a.cfg.Now}
}

// files shows blobs of any kind to provider/gallery.
type files struct {
	*rooms
	opens func() func(context.Context, string) (bool, error)
}

func (a *App) files() files {
	return files{&a.rooms, sync.OnceValue(func() func(context.Context, string) (bool, error) { return account.Opens(a.door()) })}
}

// Opens implements gallery.Files.
func (f files) Opens(ctx context.Context, uri string) (bool, error) { return f.opens()(ctx, uri) }

// Account implements gallery.Files.
func (f files) Account(tx store.Tx, uri string) (arm.ID, string, error) {
	return f.accounts.Account(tx, uri)
}

// BlobSize implements gallery.Files.
func (f files) BlobSize(tx store.Tx, account arm.ID, uri string) (int64, error) {
	return f.accounts.BlobSize(tx, account, uri)
}

// OpenBlob implements gallery.Files.
func (f files) OpenBlob(ctx context.Context, account arm.ID, uri string) (gallery.FileBytes, error) {
	return f.accounts.OpenBlob(ctx, account, uri)
}

// vhds shows the VHDs in storage accounts to the providers of disks, managed images and image versions.
type vhds struct{ *rooms }

// Account implements disk.Blobs and managed.Blobs.
func (v vhds) Account(tx store.Tx, uri string) (arm.ID, string, error) {
	return v.accounts.Account(tx, uri)
}

// Blob implements gallery.Blobs.
func (v vhds) Blob(tx store.Tx, account arm.ID, uri string) (gallery.Blob, error) {
	d, err := v.accounts.VHD(tx, account, uri)
	return gallery.Blob{Location: d.Location, SizeGB: int((d.Size + 1<<30 - 1) >> 30)}, err
}

// Size implements managed.Blobs.
func (v vhds) Size(tx store.Tx, account arm.ID, uri string) (int64, error) {
	d, err := v.accounts.VHD(tx, account, uri)
	return d.Size, err
}

// Open implements disk.Blobs.
func (v vhds) Open(ctx context.Context, account arm.ID, uri string) (disk.Blob, error) {
	u, err := v.accounts.OpenVHD(ctx, account, uri)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// Freeze implements managed.Blobs and gallery.Blobs.
func (v vhds) Freeze(ctx context.Context, account arm.ID, uri string) (image.Ref, error) {
	return v.accounts.FreezeVHD(ctx, account, uri)
}
