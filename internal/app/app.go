package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/edge"
	"vitrine/internal/graph"
	"vitrine/internal/login"
	"vitrine/internal/operation"
	"vitrine/internal/operator"
	"vitrine/internal/proc"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
	"vitrine/internal/token"
	"vitrine/internal/vm"
	"vitrine/internal/web"
)

// workers is how many operations one server works on at a time. Most of them wait for a process or a disk.
const workers = 8

// App is one server.
type App struct {
	cfg       Config
	unlock    func()
	sealer    *seal.Sealer
	store     *store.Store
	directory *directory.Directory
	tokens    *token.Service
	control   *control.Control
	audit     *audit.Log
	engine    *operation.Engine
	rooms     rooms
	host      bool // whether machines and bytes are here; see electHost
	edge      *edge.Edge
	proxy     net.Listener
	socket    net.Listener
	server    client.Server
}

// New opens everything and listens; nothing is answered before Run. After an error nothing is left open.
func New(ctx context.Context, cfg Config) (_ *App, err error) {
	if proc.IsHelper() {
		return nil, errors.New("this process was started as a helper of a server; it must not be one itself")
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if a.unlock, err = lock(ctx, cfg.Data); err != nil {
		return nil, err
	}
	if a.sealer, err = seal.Load(cfg.KeyFile); err != nil {
		return nil, err
	}
	if err := a.openStore(); err != nil {
		return nil, err
	}
	if err := a.electHost(ctx); err != nil {
		return nil, err
	}
	if err := a.engines(ctx); err != nil {
		return nil, err
	}
	if err := a.doors(); err != nil {
		return nil, err
	}
	return a, nil
}

// lockWait is for a server that was killed a moment ago and whose lock the kernel has not released yet.
const lockWait = 3 * time.Second

// lock makes this process the one server of the data folder.
func lock(ctx context.Context, data string) (func(), error) {
	unlock, err := proc.HoldWithin(ctx, filepath.Join(data, "lock"), lockWait)
	if !errors.Is(err, proc.ErrHeld) {
		return unlock, err
	}
	who := "another server"
	if s, unread := client.ReadServer(data); unread == nil && s.PID > 0 {
		who = fmt.Sprintf("another server (the last one to start had process ID %d)", s.PID)
	}
	return nil, fmt.Errorf("the data folder %s is in use by %s; stop that one first (SIGTERM), or name another folder with --data: %w", data, who, err)
}

func (a *App) openStore() error {
	open := func() (store.Driver, error) { return sqlstore.OpenSQLite(filepath.Join(a.cfg.Data, "vitrine.db")) }
	if a.cfg.Database != "" {
		open = func() (store.Driver, error) { return sqlstore.OpenPostgres(a.cfg.Database) }
	}
	driver, err := open()
	if err != nil {
		return err
	}
	a.store = store.New(driver)
	return nil
}

// engines makes what decides, and plugs the providers together.
func (a *App) engines(ctx context.Context) error {
	a.directory = directory.New(a.store)
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	owner := fmt.Sprintf("%s/%d", host, os.Getpid())
	a.audit = audit.New(audit.Config{Store: a.store, Sealer: a.sealer, Owner: owner, Keep: a.cfg.AuditKeep, Log: a.cfg.Log, Now: a.cfg.Now})
	a.tokens = token.New(token.Config{Store: a.store, Sealer: a.sealer, Now: a.cfg.Now})
	var kick func()
	a.control = control.New(control.Config{Store: a.store, RBAC: rbac.New(control.TenantOf, rbac.Groups(a.directory.MemberOf), rbac.Members(principals{a.directory}.members)), Kick: func() { kick() }, Open: a.sealer.Open, Audit: a.audit, Now: a.cfg.Now, Log: a.cfg.Log, Throttle: a.meter()})
	works, err := a.provide(ctx)
	if err != nil {
		return err
	}
	if a.cfg.Database == "" { // by the data folder's lock we are alone, so whoever holds an operation is dead
		if err := operation.Recover(ctx, a.store); err != nil {
			return err
		}
	}
	a.engine = operation.New(a.store, owner, works, a.cfg.Log)
	a.engine.Starting, a.engine.Ended = a.control.Starting, a.control.Ended
	kick = a.engine.Kick
	return nil
}

// doors opens the listeners and says which host leads where.
func (a *App) doors() error {
	a.cfg.Log.Info("opening", "data", a.cfg.Data)
	issuers, err := allowed("allow-issuer", a.cfg.Issuers)
	if err != nil {
		return err
	}
	who := authn.New(authn.Config{Tokens: a.tokens, Directory: a.directory, Now: a.cfg.Now})
	serve := func(h http.Handler) http.Handler { return web.Serve(web.Config{Log: a.cfg.Log}, h) }
	doors := []edge.Door{
		{Name: "login", Hosts: login.Hosts(), Handler: serve(login.New(login.Config{Store: a.store, Audit: a.audit, Directory: a.directory, Tokens: a.tokens, Log: a.cfg.Log, Now: a.cfg.Now,
			Fetcher: web.NewFetcher(web.FetchConfig{Origins: issuers}), Passwords: a.cfg.Passwords}))},
		{Name: "arm", Hosts: []string{"management.azure.com", "management.core.windows.net"}, Handler: serve(a.control.Handler(who))},
		{Name: "graph", Hosts: graph.Hosts(), Handler: serve(a.graph())},
		{Name: "disk", Hosts: []string{".blob.storage.azure.net"}, Handler: serve(a.rooms.blobs)},
		{Name: "account", Hosts: []string{".blob.core.windows.net"}, Handler: a.accounts()},
	}
	a.edge, err = edge.New(edge.Config{Dir: filepath.Join(a.cfg.Data, "ca"), Sealer: a.sealer, Doors: doors, AllowHosts: a.cfg.AllowHosts,
		ExtraDomains: a.cfg.Domains, Log: a.cfg.Log, Now: a.cfg.Now})
	if err != nil {
		return err
	}
	if a.proxy, err = net.Listen("tcp", a.cfg.Listen); err != nil {
		return err
	}
	sockets, err := vm.SocketDir(a.cfg.Data)
	if err != nil {
		return err
	}
	path := filepath.Join(sockets, "operator.sock")
	if a.socket, err = operator.Listen(path); err != nil {
		return err
	}
	a.server = client.Server{Proxy: "http://" + a.proxy.Addr().String(), Bundle: filepath.Join(a.cfg.Data, "bundle.pem"),
		CA: filepath.Join(a.cfg.Data, "ca", "ca.pem"), Operator: path, PID: os.Getpid(), Version: a.cfg.Version}
	return a.edge.WriteBundle(a.server.Bundle)
}

func (a *App) renew() error {
	if err := a.edge.Renew(); err != nil {
		return err
	}
	return a.edge.WriteBundle(a.server.Bundle)
}

// Server tells where the doors are.
func (a *App) Server() client.Server { return a.server }

// Run serves until ctx ends, then lets requests finish. Machines go on without it.
func (a *App) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	failed := make(chan error, 3)
	group.Go(func() { failed <- a.edge.Serve(ctx, a.proxy) })
	group.Go(func() { failed <- a.operate(ctx) })
	if err := a.announce(); err != nil { // before what tends, whose first rounds would be waited for
		failed <- err
	}
	group.Go(func() { a.audit.Run(ctx) })
	group.Go(func() { a.every(ctx, time.Hour, "signing keys", a.tokens.Tend) })
	if a.host {
		group.Go(func() { a.every(ctx, time.Hour, "deleted directory objects", a.directory.Sweep) })
		a.tend(ctx, &group)
	}
	debug.FreeOSMemory() // what only the start needed
	err := <-failed      // the first end: a failure, or nil since ctx ended
	stop()
	group.Wait()
	a.leaveBases(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// operate serves the operator's socket.
func (a *App) operate(ctx context.Context) error {
	h := operator.New(operator.Config{Store: a.store, Directory: a.directory, Tokens: a.tokens, Control: a.control, Server: a.server,
		Renew: a.renew, Dial: a.rooms.dial, Serial: a.rooms.runtime.SerialLog, Collect: a.collectOlder, Images: stored{a}, Audit: a.audit, Log: a.cfg.Log, Now: a.cfg.Now})
	s := web.Server(web.Serve(web.Config{Log: a.cfg.Log}, h), a.cfg.Log)
	s.ConnContext = operator.WithPeer
	done := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(grace); err != nil {
			_ = s.Close() // streams into machines have no end of their own
		}
	})
	defer done()
	if err := s.Serve(a.socket); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// announce tells where and that the server answers: the data folder, and the ready file.
func (a *App) announce() error {
	for _, path := range []string{filepath.Join(a.cfg.Data, client.ServerFile), a.cfg.ReadyFile} {
		if path == "" {
			continue
		}
		if err := proc.WritePassing(path, a.server); err != nil {
			return err
		}
	}
	a.cfg.Log.Info("ready", "proxy", a.server.Proxy, "operator", a.server.Operator)
	return nil
}

// every runs f now and at intervals until ctx ends.
func (a *App) every(ctx context.Context, interval time.Duration, what string, f func(context.Context) error) {
	timer := time.NewTicker(interval)
	defer timer.Stop()
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Log.Error(what, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// Close releases what New opened. It may be called twice.
func (a *App) Close() {
	for _, l := range []net.Listener{a.proxy, a.socket} {
		if l != nil {
			_ = l.Close() // Run has closed it already, in the ordinary course
		}
	}
	if err := a.rooms.close(); err != nil {
		a.cfg.Log.Error("image store", "error", err)
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.cfg.Log.Error("store", "error", err)
		}
		a.store = nil
	}
	if a.unlock != nil {
		a.unlock()
		a.unlock = nil
	}
}
