package app

import (
	"context"
	"net/http"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/dataplane/account"
	"vitrine/internal/image"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// accounts makes the door of storage accounts. Its bodies are larger than ARM's, and streamed.
func (a *App) accounts() http.Handler {
	h := elsewhere()
	if a.host {
		who := authn.New(authn.Config{Tokens: a.tokens, Directory: a.directory, API: token.Storage, Now: a.cfg.Now})
		h = account.New(account.Config{Accounts: a.rooms.accounts, Blobs: a.rooms.content, Store: a.store, RBAC: a.control.RBAC(),
			Authn: who, Now: a.cfg.Now})
	}
	return web.Serve(web.Config{Log: a.cfg.Log, MaxBody: account.MaxBody}, h)
}

// imports shows the VHDs in storage accounts to the providers of disks and of managed images.
type imports struct{ *rooms }

// Account implements disk.Blobs and managed.Blobs.
func (i imports) Account(tx store.Tx, uri string) (arm.ID, string, error) {
	return i.accounts.Account(tx, uri)
}

// Open implements disk.Blobs.
func (i imports) Open(ctx context.Context, account arm.ID, uri string) (disk.Blob, error) {
	u, err := i.accounts.OpenVHD(ctx, account, uri)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// Freeze implements managed.Blobs.
func (i imports) Freeze(ctx context.Context, account arm.ID, uri string) (image.Ref, error) {
	return i.accounts.FreezeVHD(ctx, account, uri)
}
