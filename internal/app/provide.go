package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"vitrine/internal/directory"
	"vitrine/internal/operation"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/provider/resources"
	"vitrine/internal/store"
)

// rooms are the providers and back-ends that need more than registering.
type rooms struct {
	blobs http.Handler
	dial  func(ctx context.Context, host, port string) (net.Conn, error)
}

func (r *rooms) run(ctx context.Context, group *sync.WaitGroup) {}

func (r *rooms) close() {}

// provide registers every provider and plugs one into another.
func (a *App) provide(ctx context.Context) (map[string]operation.Work, error) {
	works := map[string]operation.Work{}
	add := func(more map[string]operation.Work) {
		for name, w := range more {
			works[name] = w
		}
	}
	add(resources.Register(a.control).Works())
	authorization.Register(a.control, principals{a.directory})
	a.rooms.blobs = http.NotFoundHandler()
	return works, nil
}

// principals shows the directory to provider/authorization.
type principals struct{ d *directory.Directory }

// PrincipalType implements authorization.Principals.
func (p principals) PrincipalType(tx store.Tx, tenant, objectID string) (string, error) {
	_, err := p.d.PrincipalByObjectIn(tx, tenant, objectID)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return "", store.ErrNotFound
	}
	return "ServicePrincipal", err
}
