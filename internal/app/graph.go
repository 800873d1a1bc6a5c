package app

import (
	"net/http"

	"vitrine/internal/authn"
	"vitrine/internal/graph"
	"vitrine/internal/token"
)

// graph makes the door of Microsoft Graph. Its tokens are for its own audience alone.
func (a *App) graph() http.Handler {
	who := authn.New(authn.Config{Tokens: a.tokens, Directory: a.directory, API: token.Graph, Now: a.cfg.Now})
	return graph.New(graph.Config{Store: a.store, Directory: a.directory, Authn: who, Audit: a.audit, Log: a.cfg.Log, Now: a.cfg.Now})
}
