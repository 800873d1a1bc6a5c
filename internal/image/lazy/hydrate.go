package lazy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/image/pace"
)

const (
	idleTime  = 10 * time.Millisecond // no guest has waited for so long when the background goes on
	restTime  = 500 * time.Millisecond
	aheadMost = 16               // entries that are fetched ahead of a guest before the row goes on
	retryTime = 20 * time.Second // after a round that could not fetch or keep everything, then twice as long each time
	retryMost = 10 * time.Minute
)

// Shift is when the background may work: below a rate, and while no guest waits. All bases of a host share one. Nil: always.
type Shift struct {
	mu      sync.Mutex
	line    *pace.Limiter
	rate    int64
	waiting int
	last    time.Time // when a guest last stopped waiting
}

// SetRate bounds the background to so many bytes a second; 0: no limit; negative: it rests.
func (s *Shift) SetRate(rate int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rate != s.rate || s.line == nil {
		s.rate, s.line = rate, pace.New(rate)
	}
}

func (s *Shift) enter() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
}

func (s *Shift) leave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	s.last = time.Now()
}

// turn returns when n bytes may be fetched.
func (s *Shift) turn(ctx context.Context, n int64) error {
	if s == nil {
		return ctx.Err()
	}
	line, rests := s.state()
	for ; rests; line, rests = s.state() {
		if err := pace.Sleep(ctx, restTime); err != nil {
			return err
		}
	}
	if err := line.Wait(ctx, n); err != nil {
		return err
	}
	for {
		s.mu.Lock()
		rest := idleTime - time.Since(s.last)
		if s.waiting > 0 {
			rest = idleTime
		}
		s.mu.Unlock()
		if rest <= 0 {
			return ctx.Err()
		}
		if err := pace.Sleep(ctx, rest); err != nil {
			return err
		}
	}
}

func (s *Shift) state() (line *pace.Limiter, rests bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line, s.rate < 0
}

// Hydrate fetches what nobody has asked for yet, and in the end makes the file the disk. It returns nil when that is done, and
// tries again for as long as it is not; one call at a time.
func (b *Base) Hydrate(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(b.life, stop)()
	ended := make(chan error, 1)
	go func() {
		// The guests' emulators are what this host is for: the background has a thread of its own with a third of their weight. Not
		// less, as a guest may come to wait for what it has just begun. Never unlocked, the thread ends with the goroutine.
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 5)
		ended <- b.hydrate(ctx)
	}()
	return <-ended
}

func (b *Base) hydrate(ctx context.Context) error {
	for wait := retryTime; ; wait = min(2*wait, retryMost) {
		whole, err := b.round(ctx)
		if err == nil && whole {
			if err = b.finish(); err == nil {
				return nil
			}
			b.Log.Warn("a base cannot be finished yet", "base", b.Path, "error", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := pace.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// errFull ends a round: what is fetched cannot be kept.
var errFull = errors.New("lazy: no room")

// round looks at every entry once: those behind what a guest has just waited for first, the others in order.
func (b *Base) round(ctx context.Context) (whole bool, err error) {
	whole = true
	fetch := func(i int) error {
		if err := b.Shift.turn(ctx, int64(b.Entries[i].Length)); err != nil {
			return err
		}
		h, err := b.bring(i, false)
		if h != nil {
			h.release()
		}
		switch {
		case errors.Is(err, context.Canceled):
			return err
		case err != nil: // it is among the faults; the others are fetched all the same
			whole = false
		case !b.has(i):
			return errFull
		}
		return nil
	}
	seen := 0
	for i := range b.Entries {
		for last := b.latest(); last != seen; {
			seen = last
			for k := last; k < min(last+aheadMost, len(b.Entries)) && b.latest() == last; k++ {
				if !b.has(k) {
					if err := fetch(k); err != nil {
						return false, err
					}
				}
			}
			last = b.latest()
		}
		if b.has(i) {
			continue
		}
		if err := fetch(i); err != nil {
			return false, err
		}
	}
	return whole, nil
}

func (b *Base) has(i int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.marks.has(i)
}

func (b *Base) latest() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// finish gives the file its name. What has it open goes on with it.
func (b *Base) finish() error {
	if err := b.Save(); err != nil {
		return err
	}
	b.saving.Lock()
	defer b.saving.Unlock()
	part, marks := Partial(b.Path)
	if !b.Whole() { // else an attempt before this one has failed behind the renaming
		if !b.isAt(part) {
			return errors.New("lazy: " + part + " is gone, or another file by now")
		}
		if err := b.part.Sync(); err != nil {
			return err
		}
		if err := os.Rename(part, b.Path); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Chmod(b.Path, 0o400), syncDir(filepath.Dir(b.Path))); err != nil {
		return err
	}
	b.mu.Lock()
	b.done = true
	b.mu.Unlock()
	return removeFile(marks) // a server that saw the rename may have been faster: RemovePartial
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
