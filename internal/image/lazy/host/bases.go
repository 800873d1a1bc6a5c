package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"vitrine/internal/image"
	"vitrine/internal/image/lazy"
	"vitrine/internal/proc"
	"vitrine/internal/store"
)

// Config is what a server needs to have bases served.
type Config struct {
	Images  *image.Store
	Dir     string   // for the process's lock and log
	Sockets string   // a private folder
	Self    []string // argv prefix of the process; "--dir DIR" is added
	Place   string   // where its buckets are; a process that has others is replaced
	Rate    int64    // bytes a second that are fetched in the background; 0: no limit; negative: none
	Log     *slog.Logger

	heir time.Duration // of tests; 0: heirTime
}

const (
	startLimit = 30 * time.Second
	askLimit   = 30 * time.Second
	lookTime   = 2 * time.Second
	// heirTime is how long a process whose predecessor was killed waits for that one's clients: longer than the pauses, of at most
	// 16 s, between two attempts of a QEMU to connect again.
	heirTime = 25 * time.Second
	// grantTime is for how long a machine may be about to connect to what Base gave.
	grantTime = 3 * time.Minute
)

// Bases has bases served, by one process for the data folder. It keeps nothing in memory that a new one would miss.
type Bases struct {
	cfg Config

	mu      sync.Mutex // one order at a time
	granted map[string]grant
	seen    uint64
	full    bool
}

type grant struct {
	export
	at time.Time
}

// Open makes one; Run looks after the process.
func Open(c Config) (*Bases, error) {
	if len(c.Self) == 0 {
		return nil, errors.New("bases: Config.Self is empty")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.heir == 0 {
		c.heir = heirTime
	}
	return &Bases{cfg: c, granted: map[string]grant{}}, os.MkdirAll(c.Dir, 0o700)
}

// Base gives what an overlay of the disk stands on, without waiting for any of its bytes: the file, when it is whole, else where it is
// served meanwhile. The manifest must be pinned in the region.
func (b *Bases) Base(ctx context.Context, region string, ref image.Ref) (image.Base, error) {
	if _, err := b.cfg.Images.Open(ctx, region, ref); err != nil { // mends the manifest too, which the process cannot
		return image.Base{}, err
	}
	e := export{region, ref}
	base := image.Base{Path: filepath.Join(image.Bases(b.cfg.Images.Dir), image.BaseFile(region, ref))}
	if isWhole(base.Path, ref.Size) {
		return base, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := lazy.Create(base.Path, ref.Size); err != nil {
		return image.Base{}, fmt.Errorf("base of %s: %w", ref, err)
	}
	if isWhole(base.Path, ref.Size) { // just now: what was made is not needed, and nobody was told of it
		return base, lazy.RemovePartial(base.Path)
	}
	b.granted[e.name()] = grant{e, time.Now()}
	r, err := b.order(ctx)
	if isWhole(base.Path, ref.Size) { // by now
		return base, nil
	}
	if err != nil {
		return image.Base{}, fmt.Errorf("base of %s: %w", ref, err)
	}
	switch s, ok := r.Exports[e.name()]; {
	case !ok:
		return image.Base{}, fmt.Errorf("base of %s: %w in %s, or nothing pins it", ref, image.ErrNotFound, region)
	case s.Problem != "":
		return image.Base{}, fmt.Errorf("base of %s: %s", ref, s.Problem)
	}
	base.Socket, base.Export = nbdSocket(b.cfg.Sockets), e.name()
	return base, nil
}

func isWhole(path string, size int64) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode().IsRegular() && st.Size() == size
}

// Status tells how far the bases are that are not whole, or still read by machines that began when they were not.
func (b *Bases) Status(ctx context.Context) (map[string]State, error) {
	if !proc.Held(lockFile(b.cfg.Dir)) {
		return map[string]State{}, nil
	}
	r, err := b.ask(ctx, request{Op: "status", Seen: ^uint64(0)})
	return r.Exports, err
}

// Run makes sure that there is a process as long as one is needed, tells it what is to be served and tells what it has found, until
// ctx ends. The process goes on.
func (b *Bases) Run(ctx context.Context) {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for {
		if err := b.look(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Log.Error("bases of machines", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look is one round. A process that left its account and no lock was killed: guests may be waiting for it, whole bases or not.
func (b *Bases) look(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, err := b.wanted(ctx)
	if err != nil {
		return err
	}
	_, left := os.Stat(identityFile(b.cfg.Dir))
	held := proc.Held(lockFile(b.cfg.Dir))
	if !held && len(list) == 0 && left != nil {
		return nil
	}
	if !held && left == nil {
		b.cfg.Log.Warn("the process that serves bases was killed; it is started again")
	}
	r, err := b.order(ctx)
	if err != nil {
		return err
	}
	b.tell(ctx, r)
	if len(list) > 0 || r.Idle == 0 || r.Heir && r.Idle < b.cfg.heir {
		return nil
	}
	expected, err := b.expected(ctx)
	if err != nil || expected {
		return err
	}
	_, err = b.ask(ctx, request{Op: "end"})
	return err
}

// wanted lists the bases that are not whole and that something pins.
func (b *Bases) wanted(ctx context.Context) ([]export, error) {
	root := image.Bases(b.cfg.Images.Dir)
	paths, err := filepath.Glob(filepath.Join(root, "*", "*", "*.raw.part"))
	if err != nil {
		return nil, err
	}
	var list []export
	for _, part := range paths {
		name, err := filepath.Rel(root, strings.TrimSuffix(part, ".raw.part"))
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(part)
		if _, ok := baseFile(root, name); !ok || err != nil {
			continue // nothing of ours; or whole, or collected, since
		}
		parts := strings.Split(name, "/")
		e := export{parts[0], image.Ref{Domain: parts[1], ID: parts[2], Size: st.Size()}}
		pinned, err := b.pinned(ctx, e)
		if err != nil {
			return nil, err
		}
		if pinned {
			list = append(list, e)
		}
	}
	return list, nil
}

func (b *Bases) pinned(ctx context.Context, e export) (pinned bool, err error) {
	err = b.cfg.Images.Store.View(ctx, func(tx store.Tx) error {
		holders, err := b.cfg.Images.Pins(tx, e.Ref, e.Region)
		pinned = len(holders) > 0
		return err
	})
	return pinned, err
}

// expected says whether a machine may be about to connect.
func (b *Bases) expected(ctx context.Context) (bool, error) {
	for name, g := range b.granted {
		pinned, err := b.pinned(ctx, g.export)
		if err != nil {
			return false, err
		}
		if pinned && time.Since(g.at) < grantTime {
			return true, nil
		}
		delete(b.granted, name)
	}
	return false, nil
}

// order declares what is to be served, to a process that is started if need be.
func (b *Bases) order(ctx context.Context) (response, error) {
	list, err := b.wanted(ctx)
	if err != nil {
		return response{}, err
	}
	q := request{Op: "declare", Exports: list, Keys: map[string]map[string][]byte{}, Rate: b.cfg.Rate, Place: b.cfg.Place, Seen: b.seen}
	for _, e := range list {
		if b.cfg.Images.Keys() == nil || q.Keys[e.Ref.Domain] != nil {
			continue
		}
		if q.Keys[e.Ref.Domain], err = b.cfg.Images.Keys().Secrets(ctx, e.Ref.Domain); err != nil {
			return response{}, err
		}
	}
	if proc.Held(lockFile(b.cfg.Dir)) {
		r, err := b.ask(ctx, q)
		if err == nil && r.Version == controlVersion {
			return r, nil
		}
		if ctx.Err() != nil {
			return r, err
		}
		b.cfg.Log.Warn("the process that serves bases is replaced", "version", r.Version, "error", err)
		if err := b.end(ctx); err != nil {
			return r, err
		}
	}
	return b.start(ctx, q)
}

// End ends the process, whatever it is filling. Nobody may be reading by it, and Run must have ended. The next one is no heir.
func (b *Bases) End(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !proc.Held(lockFile(b.cfg.Dir)) {
		return nil
	}
	if err := b.end(ctx); err != nil {
		return err
	}
	if err := os.Remove(identityFile(b.cfg.Dir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// end ends the process, by its own will or without. Guests wait for the next one.
func (b *Bases) end(ctx context.Context) error {
	var process proc.Identity
	err := proc.ReadState(identityFile(b.cfg.Dir), &process)
	if err == nil {
		err = proc.End(ctx, process, 3*time.Second)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	release, err := proc.HoldWithin(ctx, lockFile(b.cfg.Dir), 10*time.Second) // one that was about to end anyway takes its time
	if err == nil {
		release()
	}
	return err
}

func (b *Bases) start(ctx context.Context, q request) (response, error) {
	log := filepath.Join(b.cfg.Dir, "nbd.log")
	if err := os.Remove(log); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return response{}, err
	}
	b.seen, q.Seen = 0, 0
	process, err := proc.Start(proc.Detached{Path: b.cfg.Self[0], Args: append(slices.Clone(b.cfg.Self[1:]), "--dir", b.cfg.Dir),
		Env: proc.HelperEnv(), Dir: b.cfg.Dir, Output: log})
	if err != nil {
		return response{}, fmt.Errorf("the process that serves bases: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := !proc.Alive(process)
		r, err := b.ask(ctx, q)
		if err == nil {
			return r, nil
		}
		if ended {
			said, _ := os.ReadFile(log)
			return r, fmt.Errorf("the process that serves bases ended: %s", bytes.TrimSpace(said))
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("the process that serves bases does not answer: %w", err)
		case <-tick.C:
		}
	}
}

func (b *Bases) ask(ctx context.Context, q request) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var r response
	if err := proc.Ask(ctx, controlSocket(b.cfg.Sockets), q, &r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// tell puts into the log, with who needs it, what the process has found damaged, and that there is no room.
func (b *Bases) tell(ctx context.Context, r response) {
	for _, f := range r.Faults {
		b.seen = f.Number
		err := b.cfg.Images.TellDamage(ctx, f.Ref, &image.CorruptError{Region: f.Region, Key: f.Object, Offset: f.Offset, Err: errors.New(f.Text)})
		if bad, ok := errors.AsType[*image.CorruptError](err); !ok || bad.Key != f.Object {
			b.cfg.Log.Error("damage cannot be told whole", "error", err)
		}
	}
	full := false
	for _, s := range r.Exports {
		full = full || s.Full
	}
	if full && !b.full {
		b.cfg.Log.Warn("there is no room to keep what machines read of their images; they read it from the store each time")
	}
	b.full = full
}
