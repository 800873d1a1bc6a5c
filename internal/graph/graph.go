package graph

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"vitrine/internal/graph/rest"
)

// Hosts are the names under which this door answers.
func Hosts() []string { return []string{"graph.microsoft.com"} }

// Config says what the door works with.
type Config = rest.Config

type door struct{ Config }

// New returns the door. It expects to run within web.Serve.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &door{cfg}
	return rest.New(cfg, slices.Concat(d.applicationRoutes(), d.principalRoutes(), d.userRoutes(), d.groupRoutes(), d.objectRoutes(), d.roleRoutes(),
		d.deletedRoutes(), d.grantRoutes(), d.appRoleRoutes()))
}
