package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"vitrine/internal/seal"
)

// Config is what an Edge is made of. Dir, Sealer and Doors are required.
type Config struct {
	// Dir holds the certificate authority; it is made when it does not exist.
	Dir    string
	Sealer *seal.Sealer
	Doors  []Door
	// AllowHosts are further hosts that clients may reach through the proxy, as raw tunnels: a host name or an IP address,
	// with port 443 or the one given ("pypi.org", "10.0.0.7:8443", "[2001:db8::1]:443"). A name that leads to a private
	// address is refused; name the address if that is meant.
	AllowHosts []string
	// ExtraDomains are the operator's own names that the authority may vouch for beside those of Doors.
	ExtraDomains []string
	// MaxConns bounds the connections at a time. For one more, one whose client has long been awaited is closed; when all
	// are at work it waits. 0 means 4096.
	MaxConns int
	Log      *slog.Logger     // nil: no log
	Now      func() time.Time // nil: time.Now
}

// An Edge serves the doors on one listener.
type Edge struct {
	cfg     Config
	routes  *routes
	domains []string
	allow   map[target]bool
	leaves  *leaves
	tls     *tls.Config
	http    *http.Server
	dialer  *net.Dialer

	feed   *feed         // connections ready for the HTTP server
	warned atomic.Int64  // when the log was told last that the table is full
	freed  chan struct{} // has an element when a connection was closed

	mu     sync.Mutex
	conns  map[*conn]struct{}
	ln     net.Listener
	closed bool

	served   sync.WaitGroup // goroutines that own a connection
	stopping chan struct{}  // closed when Shutdown begins
	drained  chan struct{}  // closed when Shutdown ends
}

// New checks cfg and loads or makes the certificate authority. An authority that was made for other domains or is about
// to expire is used all the same; the log and NeedsRenewal say so.
func New(cfg Config) (*Edge, error) {
	if cfg.Sealer == nil || cfg.Dir == "" || len(cfg.Doors) == 0 {
		return nil, errors.New("edge: Dir, Sealer and Doors are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 4096
	}
	e := &Edge{
		cfg: cfg, dialer: &net.Dialer{Timeout: dialTimeout},
		feed: newFeed(), freed: make(chan struct{}, 1), conns: map[*conn]struct{}{},
		stopping: make(chan struct{}), drained: make(chan struct{}),
	}
	if err := e.prepare(); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	e.tls = e.tlsConfig()
	e.http = e.newServer()
	return e, nil
}

func (e *Edge) prepare() error {
	for _, d := range e.cfg.Doors {
		if d.Handler == nil {
			return fmt.Errorf("door %s has no handler", d.Name)
		}
	}
	var err error
	if e.routes, err = newRoutes(e.cfg.Doors); err != nil {
		return err
	}
	if e.domains, err = Domains(e.cfg.Doors, e.cfg.ExtraDomains); err != nil {
		return err
	}
	if e.allow, err = parseAllow(e.cfg.AllowHosts, e.routes); err != nil {
		return err
	}
	ca, err := LoadOrCreateCA(e.cfg.Dir, e.cfg.Sealer, e.domains, e.cfg.Now())
	if err != nil {
		return err
	}
	e.leaves = newLeaves(ca, e.cfg.Now)
	if err := e.NeedsRenewal(); err != nil {
		e.cfg.Log.Warn("certificate authority does not fit the configuration", "reason", err)
	}
	return nil
}

// CACertPEM returns the certificate that clients must trust.
func (e *Edge) CACertPEM() []byte { return e.leaves.authority().CertPEM() }

// NeedsRenewal returns nil, or a *RenewalError that says why the authority should be renewed.
func (e *Edge) NeedsRenewal() error {
	return e.leaves.authority().NeedsRenewal(e.domains, e.cfg.Now())
}

// Renew replaces the authority while the server runs. Connections that are open stay; the bundle must be written again.
func (e *Edge) Renew() error {
	ca, err := RenewCA(e.cfg.Dir, e.cfg.Sealer, e.domains, e.cfg.Now())
	if err != nil {
		return err
	}
	e.leaves.reset(ca)
	e.cfg.Log.Info("certificate authority renewed", "domains", e.domains, "notAfter", ca.NotAfter())
	return nil
}

// Serve accepts connections on ln, which it closes in the end, until ctx ends or Shutdown is called; then it waits for
// the requests under way, after the end of ctx for at most shutdownGrace, and returns nil. It serves one listener, once.
func (e *Edge) Serve(ctx context.Context, ln net.Listener) error {
	if err := e.begin(ln); err != nil {
		ln.Close()
		return err
	}
	e.served.Go(func() { _ = e.http.Serve(e.feed) }) // ends with http.ErrServerClosed, and only then
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := e.Shutdown(grace); err != nil {
			e.cfg.Log.Warn("requests were cut off at shutdown", "error", err)
		}
	})
	defer stop()
	err := e.accept(ln)
	e.served.Done()
	if err != nil { // the listener broke: nothing new can come, what is under way may end
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		return errors.Join(fmt.Errorf("edge: accept: %w", err), e.Shutdown(grace))
	}
	<-e.drained
	return nil
}

func (e *Edge) begin(ln net.Listener) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.ln != nil {
		return errors.New("edge: it serves already, or was shut down")
	}
	e.ln = ln
	e.served.Add(1) // the accept loop
	return nil
}

// enter counts a goroutine that Shutdown must wait for; false when it is too late.
func (e *Edge) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.served.Add(1)
	return true
}

// Shutdown stops accepting, ends tunnels and idle connections at once and waits for the requests under way. When ctx
// ends first they are cut off and its error is returned. Calls after the first wait for the first.
func (e *Edge) Shutdown(ctx context.Context) error {
	if !e.beginStop() {
		select {
		case <-e.drained:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(e.drained)
	err := e.http.Shutdown(ctx) // closes feed and idle connections
	if err != nil {
		e.http.Close()
		e.closeConns(func(*conn) bool { return true })
	}
	e.served.Wait()
	return err
}

// beginStop reports whether this call is the one that stops.
func (e *Edge) beginStop() bool {
	e.mu.Lock()
	first := !e.closed
	ln := e.ln
	e.closed = true
	e.mu.Unlock()
	if !first {
		return false
	}
	close(e.stopping)
	if ln != nil {
		ln.Close()
	}
	e.closeConns(func(c *conn) bool { return !c.busy.Load() })
	return true
}

func (e *Edge) closeConns(which func(*conn) bool) {
	e.mu.Lock()
	var chosen []*conn
	for c := range e.conns {
		if which(c) {
			chosen = append(chosen, c)
		}
	}
	e.mu.Unlock()
	for _, c := range chosen {
		c.Close()
	}
}
