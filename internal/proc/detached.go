package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Detached is a process that is to outlive its parent.
type Detached struct {
	Path   string
	Args   []string
	Dir    string
	Env    []string // nil: ours
	Output string   // file to which stdout and stderr are appended; empty: nowhere
}

// Identity names one process for ever: PIDs are used again, a PID with its start time and boot is not.
type Identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`  // the kernel's boot_id, because ticks begin again with every boot
}

// helperVariable marks the processes that a server starts of its own program.
const helperVariable = "VITRINE_HELPER"

// HelperEnv is our environment with a mark, for a process of our own program that must never be a server itself.
func HelperEnv() []string { return append(os.Environ(), helperVariable+"=1") }

// IsHelper says whether this process was started with HelperEnv. Where the program is a test binary, such a process would run the
// tests, start a server and helpers of it, and so on without end; whoever makes a server asks first.
func IsHelper() bool { return os.Getenv(helperVariable) != "" }

// Start starts a process in a session of its own, with no descriptor of ours but its output file.
func Start(d Detached) (Identity, error) {
	out, err := openOutput(d.Output)
	if err != nil {
		return Identity{}, err
	}
	defer out.Close()
	cmd := exec.Command(d.Path, d.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = d.Dir, d.Env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Identity{}, fmt.Errorf("%s: %w", d.Path, err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		// A zombie still has its stat until it is waited for, so this cannot be a process that merely ended early.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return Identity{}, err
	}
	go func() { _ = cmd.Wait() }() // reap it, should it end while we live
	return id, nil
}

// Child is a process that must not outlive the one that started it.
type Child struct {
	Identity
	done chan struct{}
	err  error
}

// Bound is a process that must not outlive the one that starts it.
type Bound struct {
	Path           string
	Args           []string
	Dir            string
	Env            []string  // nil: ours
	Stdout, Stderr io.Writer // nil: nowhere
}

// StartBound starts a process that the kernel kills when this one ends, however it ends.
func StartBound(b Bound) (*Child, error) {
	cmd := exec.Command(b.Path, b.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = b.Dir, b.Env, b.Stdout, b.Stderr
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c := &Child{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal is sent when the parent *thread* ends; a locked goroutine keeps that thread until the
		// child has been waited for. Never unlocked: the runtime discards the thread with the goroutine.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("%s: %w", b.Path, err)
			return
		}
		id, err := Identify(cmd.Process.Pid)
		c.Identity = id
		if err != nil {
			_ = cmd.Process.Kill()
		}
		started <- err
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// Done is closed when the child has ended; Err then says how (nil: exit status 0).
func (c *Child) Done() <-chan struct{} { return c.done }

// Err is how the child ended. It may be called after Done is closed.
func (c *Child) Err() error { return c.err }

// Identify reads who a PID is now.
func Identify(pid int) (Identity, error) {
	start, err := startTime(pid)
	if err != nil {
		return Identity{}, err
	}
	boot, err := bootID()
	return Identity{PID: pid, Start: start, Boot: boot}, err
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// startTime reads field 22. The second field is a name in parentheses that may hold anything, so fields are counted
// after the last ")" (proc(5)).
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	if i < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("proc: /proc/%d/stat has an unknown form", pid)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// Alive says whether the process still runs. A zombie does not; its files and locks are free.
func Alive(id Identity) bool {
	fd, err := open(id)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// Signal sends a signal to that very process. That it is gone already is fs.ErrNotExist.
func Signal(id Identity, sig syscall.Signal) error {
	fd, err := open(id)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		return fmt.Errorf("proc: signal %d: %w", id.PID, gone(err))
	}
	return nil
}

// open answers a descriptor of the process: once it is open and the start time agrees, it can mean no other.
func open(id Identity) (int, error) {
	if id.PID <= 0 {
		return -1, fs.ErrNotExist
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return -1, fmt.Errorf("proc: process %d: %w", id.PID, gone(err))
	}
	now, err := Identify(id.PID)
	if err != nil || now != id || ended(fd) {
		unix.Close(fd)
		return -1, fmt.Errorf("proc: process %d: %w", id.PID, fs.ErrNotExist)
	}
	return fd, nil
}

// ended asks the kernel whether the last thread is gone: /proc shows a zombie as soon as the first one is, while the
// others still hold files and locks.
func ended(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return fs.ErrNotExist
	}
	return err
}

// Wait returns nil when the process, ours or not, has ended.
func Wait(ctx context.Context, id Identity) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for Alive(id) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// End asks the process to end by SIGTERM, kills it when it has not after grace (zero: at once), and returns when it is
// gone. That it was gone already is a success.
func End(ctx context.Context, id Identity, grace time.Duration) error {
	if grace > 0 {
		if err := Signal(id, syscall.SIGTERM); err != nil {
			return ignoreGone(err)
		}
		soft, cancel := context.WithTimeout(ctx, grace)
		err := Wait(soft, id)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	if err := Signal(id, syscall.SIGKILL); err != nil {
		return ignoreGone(err)
	}
	return Wait(ctx, id)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
