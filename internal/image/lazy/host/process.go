package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
	"vitrine/internal/image"
	"vitrine/internal/image/nbd"
	"vitrine/internal/proc"
)

// Process says what the serving process is.
type Process struct {
	Dir     string // for its lock and log
	Sockets string // a private folder
	Bases   string // where bases stand: image.Bases
	Buckets func(region string) (*blob.Bucket, error)
	Place   string // where these are, as Config.Place
	Regions []string
	Log     *slog.Logger // nil: nothing is said
}

const (
	maxClients = 512
	tickTime   = time.Second
	softMemory = 256 << 20
	// waitTime is how long a client that asks for an export, and a read that needs a key, wait for the server to declare it.
	waitTime = 30 * time.Second
)

// process is the life of one.
type process struct {
	Process
	set  *exports
	keys *keys
	heir bool
	life context.Context

	orders  sync.Mutex // one declaration, or end, at a time
	mu      sync.Mutex
	ending  bool
	clients map[net.Conn]struct{}
	quiet   time.Time // since when there is none
	over    chan struct{}
}

// Serve is the process: until ctx ends, SIGTERM comes, its folder is taken away, or the server says that it is not needed. When
// another process serves, it fails at once.
func Serve(ctx context.Context, c Process) error {
	release, err := proc.Hold(lockFile(c.Dir))
	if err != nil {
		return err
	}
	defer release()
	// It holds keys: no core file, and no other process of this user reads its memory.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("bases: %w", err)
	}
	// Each chunk is garbage a moment after it was read, and little else is: with the default, every fortieth would wait for a collection.
	debug.SetGCPercent(800)
	debug.SetMemoryLimit(softMemory)
	_, left := os.Stat(identityFile(c.Dir))
	self, err := proc.Identify(os.Getpid())
	if err != nil {
		return err
	}
	if err := proc.WriteState(identityFile(c.Dir), self); err != nil {
		return err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	p := &process{Process: c, heir: left == nil, keys: newKeys(), clients: map[net.Conn]struct{}{}, quiet: time.Now(), over: make(chan struct{}), life: ctx}
	outpost, err := image.NewOutpost(image.OutpostConfig{Buckets: c.Buckets, Regions: c.Regions, Log: c.Log, Keys: p.keys.find})
	if err != nil {
		return err
	}
	p.set = newExports(c.Bases, outpost, c.Log)
	err = p.serve(ctx, end)
	return errors.Join(err, p.set.close(), outpost.Close())
}

func listen(path string) (net.Listener, error) {
	l, err := proc.Listen(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // the folder is private already
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (p *process) serve(ctx context.Context, end func()) error {
	data, err := listen(nbdSocket(p.Sockets))
	if err != nil {
		return err
	}
	control, err := listen(controlSocket(p.Sockets))
	if err != nil {
		return errors.Join(err, data.Close())
	}
	var calls, guests sync.WaitGroup
	calls.Go(func() { proc.Serve(control, &calls, p.handle) })
	guests.Go(func() { p.accept(data, &guests) })
	p.linger(ctx)
	p.Log.Info("bases are not served any more")
	err = errors.Join(data.Close(), control.Close())
	end()
	p.hangUp()
	p.set.halt()
	guests.Wait()
	calls.Wait()
	return err
}

// linger returns at the end.
func (p *process) linger(ctx context.Context) {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.over:
			_ = os.Remove(identityFile(p.Dir))
			return
		case <-tick.C:
			p.set.tend()
			if _, err := os.Stat(lockFile(p.Dir)); os.IsNotExist(err) { // no process outlives the data it belongs to
				return
			}
		}
	}
}

func (p *process) accept(l net.Listener, guests *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors; clients wait in the backlog
			<-time.After(100 * time.Millisecond)
			continue
		}
		if !p.come(conn) {
			conn.Close()
			continue
		}
		guests.Go(func() {
			defer p.leave(conn)
			p.guest(conn)
		})
	}
}

func (p *process) come(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending || len(p.clients) >= maxClients {
		return false
	}
	p.clients[conn] = struct{}{}
	return true
}

func (p *process) leave(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, conn)
	p.quiet = time.Now()
}

func (p *process) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	for conn := range p.clients {
		conn.Close()
	}
}

// guest serves one client until it leaves.
func (p *process) guest(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // for the handshake
	var done func()
	err := nbd.ServeNamed(conn, func(name string) (nbd.Export, error) {
		_ = conn.SetDeadline(time.Time{})
		if done != nil {
			done()
		}
		e, release, err := p.set.use(p.life, name)
		if err != nil {
			p.Log.Warn("a client asks for what is not served", "export", name, "error", err)
		}
		done = release
		return e, err
	})
	if done != nil {
		done()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) && p.life.Err() == nil {
		p.Log.Warn("a client was told of a failure, or failed", "error", err)
	}
}

// handle is one request on the control socket.
func (p *process) handle(c *proc.Call) {
	var q request
	if json.Unmarshal(c.Request, &q) != nil {
		return
	}
	r := response{Version: controlVersion, Heir: p.heir}
	var err error
	switch q.Op {
	case "declare":
		err = p.declare(q)
	case "status":
	case "end":
		err = p.stop()
	default:
		err = fmt.Errorf("this process (protocol %d) does not know %q", controlVersion, q.Op)
	}
	if err != nil {
		r.Error = err.Error()
	}
	r.Exports, r.Faults = p.set.status(q.Seen)
	p.mu.Lock()
	if len(p.clients) == 0 {
		r.Idle = max(time.Since(p.quiet), 1)
	}
	p.mu.Unlock()
	_ = c.Reply(r)
}

// declare is what the server wants.
func (p *process) declare(q request) error {
	p.orders.Lock()
	defer p.orders.Unlock()
	p.mu.Lock()
	ending := p.ending
	p.mu.Unlock()
	if ending {
		return errors.New("this process is ending")
	}
	if q.Place != p.Place {
		return fmt.Errorf("this process reads chunks in %q", p.Place)
	}
	gone, err := p.keys.set(q.Keys)
	if err != nil {
		return err
	}
	for _, domain := range gone {
		p.set.outpost.Forget(domain)
	}
	p.set.shift.SetRate(q.Rate)
	p.set.declare(p.life, q.Exports)
	return nil
}

// stop ends the process unless somebody needs it.
func (p *process) stop() error {
	p.orders.Lock()
	defer p.orders.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) > 0 || p.set.busy() {
		return errors.New("bases are in use")
	}
	if !p.ending {
		p.ending = true
		close(p.over)
	}
	return nil
}
