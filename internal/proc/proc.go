// Package proc is the one way to start, watch and end another process.
//
// It owns two kinds: Run, a tool that is waited for and whose output is captured within bounds, and Start, a process
// that outlives this one in a session of its own. What is remembered of the second kind is an Identity, a PID together
// with the time at which that process began, so that a PID used again by a stranger is never signalled; Hold is how
// such a process knows that it is the only one of its kind, WriteState how it leaves an account of itself, and Serve
// and Ask how the two talk afterwards. It knows nothing of what the processes do.
//
//	Run(ctx, Spec)  ─▶ Result{Stdout, Stderr, ExitCode}
//	Start(Detached) ─▶ Identity ─▶ (a file, a restart) ─▶ Alive, Signal, Wait, End
//	                   Hold, Listen, Serve ◀─ a line of JSON each way ─▶ Ask
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Spec is a tool to run.
type Spec struct {
	Path  string   // program, looked up in PATH when it has no slash
	Args  []string // without the program's own name
	Dir   string
	Env   []string // whole environment; nil: ours
	Stdin io.Reader
	Files []*os.File // inherited as 3, 4, …; the caller closes its own ends
	// Stdout takes what the tool prints instead of Result.Stdout; nil: it is kept within Limit.
	Stdout io.Writer
	Limit  int // bytes kept of stdout, and of stderr; zero: 1 MiB. What is beyond is dropped, see Result.Truncated
}

// Result is what a tool said.
type Result struct {
	Stdout, Stderr []byte
	ExitCode       int
	Truncated      bool
}

// ExitError says that a tool ran and failed.
type ExitError struct {
	Path   string
	Code   int
	Reason string // the system's words: "exit status 1", "signal: killed"
	Stderr string // its last 2 KiB
}

func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("%s: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s: %s: %s", e.Path, e.Reason, e.Stderr)
}

// Run runs a tool and waits for it. When ctx ends first, the tool and all that it started are killed and the error is
// ctx's. A tool that fails gives an *ExitError, and the Result all the same.
func Run(ctx context.Context, s Spec) (Result, error) {
	limit := s.Limit
	if limit == 0 {
		limit = 1 << 20
	}
	stdout, stderr := &bounded{limit: limit}, &bounded{limit: limit}
	cmd := exec.CommandContext(ctx, s.Path, s.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Dir, s.Env, s.Stdin, stdout, stderr
	if s.Stdout != nil {
		cmd.Stdout = s.Stdout
	}
	cmd.ExtraFiles = s.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	r := Result{Stdout: stdout.buf.Bytes(), Stderr: stderr.buf.Bytes(), Truncated: stdout.dropped || stderr.dropped}
	if cmd.ProcessState != nil {
		r.ExitCode = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return r, fmt.Errorf("%s: %w", s.Path, context.Cause(ctx))
	case errors.As(err, &exit):
		return r, &ExitError{Path: s.Path, Code: r.ExitCode, Reason: exit.String(), Stderr: tail(r.Stderr, 2048)}
	}
	return r, fmt.Errorf("%s: %w", s.Path, err)
}

// LookPath finds a program in PATH and then among dirs (a service's PATH often lacks /usr/sbin).
func LookPath(name string, dirs ...string) (string, error) {
	p, err := exec.LookPath(name)
	if err == nil {
		return p, nil
	}
	for _, d := range dirs {
		if p, e := exec.LookPath(d + "/" + name); e == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %q is not installed: %w", name, err)
}

// Self is the path by which this process can start its own program again: by name, so that process lists read well, or,
// when the file was taken away, through /proc.
func Self() string {
	p, err := os.Executable()
	if err == nil {
		_, err = os.Stat(p)
	}
	if err != nil {
		return "/proc/self/exe"
	}
	return p
}

func tail(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?")
}

// bounded keeps the first bytes and swallows the rest, so that the writer never blocks nor fills our memory.
type bounded struct {
	buf     bytes.Buffer
	limit   int
	dropped bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.limit - b.buf.Len(); len(p) > room {
		b.dropped = true
		b.buf.Write(p[:room])
		return len(p), nil
	}
	return b.buf.Write(p)
}

// openOutput opens the file that takes a detached process's output.
func openOutput(path string) (*os.File, error) {
	if path == "" {
		path = os.DevNull
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}
