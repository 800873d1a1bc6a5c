package proc

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld says that another process holds the lock file.
var ErrHeld = errors.New("proc: held by another process")

// Hold takes a lock file for this process, until release or its end, however it ends. It is how a process that must be
// the only one of its kind knows that it is.
func Hold(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// An "open file description" lock: it ends with the descriptor and, unlike flock, can be looked at (see Held).
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, ErrHeld
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// HoldWithin takes a lock file like Hold, and asks again for at most wait while another process holds it: a process that
// was killed keeps its locks until the kernel has given back its memory, and one it was just starting does until its exec.
func HoldWithin(ctx context.Context, path string, wait time.Duration) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		release, err = Hold(path)
		if !errors.Is(err, ErrHeld) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// Held says whether some process holds the lock file. It only looks, and takes nothing.
func Held(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &whole) == nil && whole.Type != unix.F_UNLCK
}
