package proc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(script string) Spec { return Spec{Path: "/bin/sh", Args: []string{"-c", script}} }

func TestRun(t *testing.T) {
	ctx := t.Context()
	t.Run("captures both streams", func(t *testing.T) {
		r, err := Run(ctx, sh("echo out; echo err >&2"))
		if err != nil || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" {
			t.Fatalf("%+v, %v", r, err)
		}
	})
	t.Run("failure carries code and last words", func(t *testing.T) {
		r, err := Run(ctx, sh("echo why >&2; exit 7"))
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 7 || exit.Stderr != "why" || r.ExitCode != 7 {
			t.Fatalf("%+v, %v", r, err)
		}
	})
	t.Run("output is bounded", func(t *testing.T) {
		s := sh("head -c 100000 /dev/zero; echo done >&2")
		s.Limit = 1000
		r, err := Run(ctx, s)
		if err != nil || len(r.Stdout) != 1000 || !r.Truncated {
			t.Fatalf("%d bytes, truncated %v, %v", len(r.Stdout), r.Truncated, err)
		}
	})
	t.Run("the end of the context kills the whole group", func(t *testing.T) {
		pidFile := filepath.Join(t.TempDir(), "pid")
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			_, err := Run(ctx, sh("sleep 1000 & echo $! >"+pidFile+".new; mv "+pidFile+".new "+pidFile+"; wait"))
			done <- err
		}()
		grandchild := identityFrom(t, pidFile)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		waitGone(t, grandchild)
	})
	t.Run("no such program", func(t *testing.T) {
		if _, err := Run(ctx, Spec{Path: "/no/such"}); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	})
}

func TestDetached(t *testing.T) {
	out := filepath.Join(t.TempDir(), "log")
	id, err := Start(Detached{Path: "/bin/sh", Args: []string{"-c", "echo hello; exec sleep 1000"}, Output: out})
	if err != nil {
		t.Fatal(err)
	}
	if !Alive(id) {
		t.Fatal("not alive")
	}
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); time.Now().Before(deadline); <-tick {
		if b, _ := os.ReadFile(out); string(b) == "hello\n" {
			break
		}
	}
	if sid, err := syscallGetsid(id.PID); err != nil || sid != id.PID {
		t.Errorf("session %d, %v; want its own", sid, err)
	}
	stranger := Identity{PID: id.PID, Start: id.Start + 1, Boot: id.Boot}
	if Alive(stranger) {
		t.Error("a PID with another start time passes for the process")
	}
	if err := Signal(stranger, syscall.SIGKILL); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("signal to a stranger: %v", err)
	}
	if Alive(Identity{PID: id.PID, Start: id.Start, Boot: "another"}) {
		t.Error("a process of another boot passes for this one")
	}
	if err := End(t.Context(), stranger, time.Second); err != nil {
		t.Error(err)
	}
	if !Alive(id) {
		t.Fatal("the stranger's signal hit")
	}
	if err := End(t.Context(), id, time.Minute); err != nil || Alive(id) {
		t.Fatalf("end: %v", err)
	}
	if b, _ := os.ReadFile(out); string(b) != "hello\n" {
		t.Errorf("output %q", b)
	}
	if err := End(t.Context(), id, 0); err != nil {
		t.Errorf("second end: %v", err)
	}
}

func TestEndKillsTheStubborn(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "pid")
	id, err := Start(Detached{Path: "/bin/sh", Args: []string{"-c",
		"trap '' TERM; echo $$ >" + ready + ".new; mv " + ready + ".new " + ready + "; while :; do read x </dev/zero; done"}})
	if err != nil {
		t.Fatal(err)
	}
	identityFrom(t, ready)
	if err := End(t.Context(), id, 50*time.Millisecond); err != nil || Alive(id) {
		t.Fatalf("%v, alive %v", err, Alive(id))
	}
}

// TestBoundDiesWithParent starts this test binary as a parent that binds a child, kills the parent, and looks for the child.
func TestBoundDiesWithParent(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	parent, err := Start(Detached{Path: Self(), Args: []string{"bind", pidFile}})
	if err != nil {
		t.Fatal(err)
	}
	child := identityFrom(t, pidFile)
	if err := Signal(parent, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, child)
}

func TestBoundReportsEnd(t *testing.T) {
	c, err := StartBound(Bound{Path: "/bin/sh", Args: []string{"-c", "exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if c.Err() == nil || !strings.Contains(c.Err().Error(), "3") {
		t.Fatalf("%v", c.Err())
	}
}

func TestLookPath(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if p, err := LookPath("sh", "/nowhere", "/bin"); err != nil || p != "/bin/sh" {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := LookPath("no-such-program", "/bin"); err == nil {
		t.Error("found")
	}
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "hold" {
		holdAndStart(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "bind" {
		c, err := StartBound(Bound{Path: "/bin/sleep", Args: []string{"1000"}})
		if err != nil {
			os.Exit(1)
		}
		_ = os.WriteFile(os.Args[2]+".new", []byte(strconv.Itoa(c.PID)), 0o600)
		_ = os.Rename(os.Args[2]+".new", os.Args[2])
		<-c.Done()
		return
	}
	os.Exit(m.Run())
}

func identityFrom(t *testing.T, file string) Identity {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); time.Now().Before(deadline); <-tick {
		if b, err := os.ReadFile(file); err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			id, err := Identify(pid)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
	}
	t.Fatal("the process did not report in time")
	return Identity{}
}

func waitGone(t *testing.T, id Identity) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := Wait(ctx, id); err != nil {
		t.Fatalf("process %d lives on: %v", id.PID, err)
	}
}

func syscallGetsid(pid int) (int, error) {
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sid), nil
}
