package app

import (
	"net/http"

	"vitrine/internal/authn"
	"vitrine/internal/dataplane/account"
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
