package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/lazy"
	"vitrine/internal/image/nbd"
	"vitrine/internal/image/pace"
)

const (
	openLimit  = 10 * time.Second // for the manifests of a declaration: the server waits for it, and replaces a process that is silent
	openers    = 16               // manifests that are read at once
	againTime  = 20 * time.Second // before one that cannot be served is tried again
	patience   = 2 * time.Minute  // with what is no damage: a key or a disk that cannot be had for a while
	sameFault  = 5 * time.Second  // a damaged chunk is not looked at again before
	maxFaults  = 1000             // that the server has not heard of
	maxReserve = 64 << 20         // what is left free for others on the file system; on a small one a twentieth of it
)

// exports are the bases that are served.
type exports struct {
	bases   string
	outpost *image.Outpost
	log     *slog.Logger
	shift   lazy.Shift
	tasks   sync.WaitGroup

	mu      sync.Mutex
	open    map[string]*served
	changed chan struct{} // closed by the next declaration
	bad     map[string]badChunk
	faults  []fault
	number  uint64
}

// served is one of them: a base that is being filled, or a whole file.
type served struct {
	name     string
	base     *lazy.Base // nil: a whole file
	file     *wholeFile
	size     int64
	problem  string        // why it cannot be served; then there is nothing else
	tried    time.Time     // of one with a problem
	hydrated chan struct{} // closed when the background has ended

	clients int
	dropped bool // it is out of the map; the last client closes it
}

type badChunk struct {
	err error
	at  time.Time
}

func newExports(bases string, outpost *image.Outpost, log *slog.Logger) *exports {
	return &exports{bases: bases, outpost: outpost, log: log, open: map[string]*served{}, changed: make(chan struct{}), bad: map[string]badChunk{}}
}

// use gives a client its export, which release gives back. It waits for one that the server has not declared yet.
func (x *exports) use(ctx context.Context, name string) (nbd.Export, func(), error) {
	path, ok := baseFile(x.bases, name)
	if !ok {
		return nbd.Export{}, nil, errors.New("it is not the name of a base")
	}
	limit := time.NewTimer(waitTime)
	defer limit.Stop()
	for {
		x.mu.Lock()
		s := x.open[name]
		if s == nil || s.problem != "" {
			s = x.whole(name, path)
		}
		if s != nil {
			s.clients++
			x.mu.Unlock()
			return nbd.Export{Size: s.size, Reader: s}, func() { x.release(s) }, nil
		}
		changed := x.changed
		x.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nbd.Export{}, nil, ctx.Err()
		case <-limit.C:
			return nbd.Export{}, nil, errors.New("the server does not declare it")
		}
	}
}

// whole serves a base that has become whole; nil: it has not. x is locked.
func (x *exports) whole(name, path string) *served {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil
	}
	s := &served{name: name, file: &wholeFile{File: f}, size: st.Size()}
	x.open[name] = s
	return s
}

// wholeFile is read until it is taken away.
type wholeFile struct {
	*os.File
	gone atomic.Bool
}

// ReadAt implements io.ReaderAt.
func (s *served) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case s.base != nil:
		return s.base.ReadAt(p, off)
	case s.file.gone.Load():
		return 0, lazy.ErrGone
	}
	return s.file.ReadAt(p, off)
}

// ReadParts implements nbd.PartReader.
func (s *served) ReadParts(p []byte, off int64) ([][]byte, func(), error) {
	if s.base != nil {
		return s.base.ReadParts(p, off)
	}
	n, err := s.ReadAt(p, off)
	if n == len(p) {
		err = nil
	}
	return [][]byte{p[:n]}, func() {}, err
}

func (x *exports) release(s *served) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s.clients--
	x.retire(s)
}

// retire closes what nobody reads any more, or will before it is opened again. x is locked.
func (x *exports) retire(s *served) {
	if s.problem != "" || s.clients > 0 || s.base != nil && !s.dropped && !s.base.Status().Done {
		return
	}
	if x.open[s.name] == s {
		delete(x.open, s.name)
	}
	base, file := s.base, s.file
	s.base, s.file = nil, nil
	x.tasks.Go(func() {
		var err error
		if base != nil {
			<-s.hydrated
			err = base.Close()
		} else {
			err = file.Close()
		}
		if err != nil {
			x.log.Warn("close", "export", s.name, "error", err)
		}
	})
}

// declare opens what is to be served and drops what is not any more.
func (x *exports) declare(ctx context.Context, list []export) {
	limit, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	var opening errgroup.Group
	opening.SetLimit(openers)
	wanted := map[string]struct{}{}
	for _, e := range list {
		wanted[e.name()] = struct{}{}
		x.mu.Lock()
		s := x.open[e.name()]
		x.mu.Unlock()
		if s != nil && (s.problem == "" || time.Since(s.tried) < againTime) {
			continue
		}
		opening.Go(func() error {
			s, err := x.begin(ctx, limit, e)
			if err != nil {
				x.log.Warn("a base cannot be served", "export", e.name(), "error", err)
				s = &served{name: e.name(), problem: err.Error(), tried: time.Now()}
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.open[s.name] = s
			return nil
		})
	}
	_ = opening.Wait() // each has its problem
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, s := range x.open {
		_, ok := wanted[name]
		if ok || s.base != nil && s.base.Whole() || s.file != nil { // one that has just become whole is not named, and read on
			continue
		}
		x.log.Info("a base is not served any more", "export", name)
		if s.base != nil {
			s.base.Forget()
		}
		s.dropped = true
		delete(x.open, name)
		x.retire(s)
	}
	close(x.changed)
	x.changed = make(chan struct{})
}

// begin opens a base that is not whole, until limit ends, and fills it, until ctx does.
func (x *exports) begin(ctx, limit context.Context, e export) (*served, error) {
	path, ok := baseFile(x.bases, e.name())
	if !ok {
		return nil, errors.New("it is not the name of a base")
	}
	reader, err := x.outpost.Open(limit, e.Region, e.Ref)
	if err != nil {
		return nil, err
	}
	id, err := digest.ParseHex(e.Ref.ID)
	if err != nil {
		return nil, err
	}
	b, err := lazy.Open(lazy.Config{Path: path, ID: id, Size: reader.Size(), Entries: reader.All(), Fetch: x.fetching(reader, e),
		Room: room(x.bases), Shift: &x.shift, Log: x.log})
	if err != nil {
		return nil, err
	}
	s := &served{name: e.name(), base: b, size: reader.Size(), hydrated: make(chan struct{})}
	go func() {
		defer close(s.hydrated)
		if b.Hydrate(ctx) == nil {
			x.log.Info("a base is whole", "export", s.name)
		}
	}()
	return s, nil
}

// fetching reads chunks of a disk. What is no damage may pass, and a guest would rather wait than see its disk fail.
func (x *exports) fetching(r *image.Reader, e export) func(context.Context, chunk.Entry, []byte) ([]byte, error) {
	return func(ctx context.Context, entry chunk.Entry, dst []byte) ([]byte, error) {
		object := e.Region + "/" + chunk.Object(e.Ref.Domain, entry.ID)
		if err := x.known(object); err != nil {
			return nil, err
		}
		end, wait := time.Now().Add(patience), 100*time.Millisecond
		for {
			plain, err := r.Fetch(ctx, entry, dst)
			if err == nil {
				return plain, nil
			}
			if bad, ok := errors.AsType[*image.CorruptError](err); ok {
				x.note(e, bad, object)
				return nil, err
			}
			if ctx.Err() != nil || time.Now().After(end) {
				return nil, err
			}
			x.log.Warn("a chunk cannot be read now", "export", e.name(), "offset", entry.Offset, "error", err)
			if err := pace.Sleep(ctx, wait); err != nil {
				return nil, err
			}
			wait = min(2*wait, 5*time.Second)
		}
	}
}

// known gives the fault of a chunk that was found damaged a moment ago, so that a guest that insists costs nothing.
func (x *exports) known(object string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	b, ok := x.bad[object]
	if ok && time.Since(b.at) < sameFault {
		return b.err
	}
	delete(x.bad, object)
	return nil
}

// note keeps a fault for the server to tell.
func (x *exports) note(e export, c *image.CorruptError, object string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bad[object] = badChunk{c, time.Now()}
	x.number++
	x.faults = append(x.faults, fault{x.number, e.Region, e.Ref, c.Key, c.Offset, fmt.Sprint(c.Err)})
	if len(x.faults) > maxFaults {
		x.faults = x.faults[1:]
	}
}

// room refuses before the file system is quite full: what is left is for whoever must write to free some.
func room(dir string) func(int) error {
	return func(n int) error {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return err
		}
		free, reserve := st.Bavail*uint64(st.Bsize), min(maxReserve, st.Blocks*uint64(st.Bsize)/20)
		if free < reserve+uint64(n) {
			return fmt.Errorf("%w: %d bytes are free in %s, of which %d are kept back", blob.ErrFull, free, dir, reserve)
		}
		return nil
	}
}

// tend drops what was taken away under us, as a collection or shredding by the server does, and closes what is not used.
func (x *exports) tend() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.open {
		switch {
		case s.base != nil && !s.base.Stands():
			s.base.Forget()
			s.dropped = true
			delete(x.open, s.name)
		case s.file != nil && links(s.file.File) == 0:
			s.file.gone.Store(true)
			delete(x.open, s.name)
		}
		x.retire(s)
	}
	for object, b := range x.bad {
		if time.Since(b.at) > sameFault {
			delete(x.bad, object)
		}
	}
}

func links(f *os.File) uint64 {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	return uint64(st.Nlink)
}

// busy says whether anything is not whole.
func (x *exports) busy() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.open {
		if s.base != nil && !s.base.Status().Done {
			return true
		}
	}
	return false
}

// status tells how far everything is, and which faults came after one.
func (x *exports) status(seen uint64) (map[string]State, []fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := map[string]State{}
	for name, s := range x.open {
		st := State{Clients: s.clients, Problem: s.problem}
		if s.base != nil {
			b := s.base.Status()
			st.Bytes, st.Kept, st.Done, st.Full, st.Damaged = b.Bytes, b.Kept, b.Done, b.Full, len(b.Faults)
		} else if s.file != nil {
			st.Done = true
		}
		list[name] = st
	}
	for i, f := range x.faults {
		if f.Number > seen {
			return list, x.faults[i:min(len(x.faults), i+100)]
		}
	}
	return list, nil
}

// halt lets reads that wait fail: the process ends.
func (x *exports) halt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.open {
		if s.base != nil {
			s.base.Stop()
		}
	}
}

// close closes everything; nobody reads any more.
func (x *exports) close() error {
	x.mu.Lock()
	for _, s := range x.open {
		s.dropped = true
		x.retire(s)
	}
	x.mu.Unlock()
	x.tasks.Wait()
	return nil
}

var _ io.ReaderAt = (*served)(nil)
