// Package operator is the door of whoever runs the installation: a Unix socket in the data folder, guarded by its
// permissions, with the acts for which no tenant's token could exist yet.
//
// It owns those acts and writes each to the log with the user ID of who did it. It has no right of its own in Azure
// Resource Manager: what is an ARM request (a role assignment) goes through control as the tenant's first principal.
//
//	vitrine tenant create ─▶ socket ─▶ act ─▶ directory, control ─▶ log
package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/store"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// Config is what the door works with.
type Config struct {
	Store     *store.Store
	Directory *directory.Directory
	Tokens    *token.Service
	Control   *control.Control
	Server    client.Server                                                  // what /v1/status answers
	Renew     func() error                                                   // a new CA for the present list of hosts
	Dial      func(ctx context.Context, host, port string) (net.Conn, error) // a stream into a virtual network
	Serial    func(ctx context.Context, vmID string) ([]byte, error)         // the end of a machine's serial log; nil: there are no machines
	Collect   func(ctx context.Context, grace time.Duration) (client.Collected, error)
	Images    Images     // stored bytes; nil: there are none here
	Audit     *audit.Log // nil: none is kept
	Log       *slog.Logger
	Now       func() time.Time
}

type door struct{ Config }

// New returns the handler of the socket.
func New(c Config) http.Handler {
	d := &door{c}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/tenants", act(d, "tenant create", d.createTenant))
	mux.Handle("GET /v1/tenants", d.handle(d.listTenants))
	mux.Handle("POST /v1/tenants/quota", act(d, "tenant quota", d.setQuota))
	mux.Handle("GET /v1/tenants/quotas", d.handle(d.quotas))
	mux.Handle("POST /v1/subscriptions", act(d, "subscription create", d.createSubscription))
	mux.Handle("POST /v1/applications", act(d, "app create", d.createApp))
	mux.Handle("POST /v1/users", act(d, "user create", d.createUser))
	mux.Handle("POST /v1/consents", act(d, "app consent", d.consent))
	mux.Handle("POST /v1/roleassignments", act(d, "role assign", d.assign))
	mux.Handle("POST /v1/why", act(d, "why", d.why))
	mux.Handle("POST /v1/whocan", act(d, "who-can", d.whoCan))
	mux.Handle("POST /v1/denyassignments", act(d, "role deny", d.deny))
	mux.Handle("POST /v1/denyassignments/remove", act(d, "role undeny", d.undeny))
	mux.Handle("POST /v1/tokens", act(d, "token issue", d.issue))
	mux.Handle("POST /v1/ca/renew", act(d, "ca renew", func(context.Context, struct{}) (any, error) { return struct{}{}, d.Renew() }))
	mux.Handle("POST /v1/collect", act(d, "image collect", d.collect))
	d.images(mux)
	mux.Handle("POST /v1/audit/list", auditor(d, d.auditList))
	mux.Handle("POST /v1/audit/verify", auditor(d, d.auditVerify))
	mux.Handle("GET /v1/audit/export", web.Handler(control.Hide, d.auditExport))
	mux.Handle("GET /v1/operations", d.handle(d.operations))
	mux.Handle("GET /v1/status", d.handle(func(*http.Request) (any, error) { return d.Server, nil }))
	mux.Handle("GET /v1/serial", d.handle(d.serial))
	mux.Handle("POST "+client.ConnectPath, web.Handler(control.Hide, d.connect))
	return mux
}

// Listen makes the socket, with mode 0600. One that a dead server left is replaced; the data folder's lock keeps two
// servers from doing this to each other.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	return l, err
}

type peerKey struct{}

// WithPeer is the ConnContext of the socket's server: it notes who is on the other end.
func WithPeer(ctx context.Context, c net.Conn) context.Context {
	uid := "unknown"
	if u, ok := c.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { // no peer: the log says unknown
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					uid = strconv.Itoa(int(cred.Uid))
				}
			})
		}
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func (d *door) handle(f func(*http.Request) (any, error)) http.Handler {
	return web.Handler(control.Hide, func(w http.ResponseWriter, r *http.Request) error {
		v, err := f(r)
		if err != nil {
			return visible(err)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		web.Write(w, http.StatusOK, "application/json; charset=utf-8", raw)
		return nil
	})
}

// act reads a request, does it and logs it, whatever came of it. Answers hold secrets and are not logged.
func act[T any](d *door, name string, f func(context.Context, T) (any, error)) http.Handler {
	return d.handle(func(r *http.Request) (any, error) {
		var in T
		raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, arm.Errorf(400, "InvalidRequestContent", "The request is not what %s takes: %s.", name, err)
		}
		if err := d.began(r, name); err != nil { // an act that cannot be told is not done
			return nil, err
		}
		out, err := f(r.Context(), in)
		d.ended(r, name, out, err)
		d.Log.Info("operator", "act", name, "uid", r.Context().Value(peerKey{}), "request", fmt.Sprintf("%+v", in), "error", err)
		return out, err
	})
}

// visible words what the engines answer.
func visible(err error) error {
	for cause, say := range map[error]struct {
		status int
		code   string
	}{
		directory.ErrTenantNotFound:      {404, "TenantNotFound"},
		directory.ErrApplicationNotFound: {404, "ApplicationNotFound"},
		directory.ErrPrincipalNotFound:   {404, "PrincipalNotFound"},
		directory.ErrUserNotFound:        {404, "UserNotFound"},
		directory.ErrExists:              {409, "AlreadyExists"},
		directory.ErrSingleTenant:        {400, "ApplicationIsSingleTenant"},
		directory.ErrInvalid:             {400, "InvalidParameter"},
	} {
		if errors.Is(err, cause) {
			return arm.Errorf(say.status, say.code, "%s", err)
		}
	}
	return err
}
