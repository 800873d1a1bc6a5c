package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// supervisor holds one running machine.
type supervisor struct {
	launch Launch
	dir    string
	self   proc.Identity
	child  *proc.Child
	words  *tailBuffer
	qmp    *monitor
	jobs   jobs

	mu     sync.Mutex
	status vm.Status
	asked  string // what we did to end it, empty: nothing
	cause  string // the reason in QEMU's SHUTDOWN event
	ended  chan struct{}
}

// Supervise is the supervisor's life: it starts the machine described in dir, and returns when the machine has ended
// and that is written down. When another supervisor holds dir it returns at once.
func Supervise(ctx context.Context, dir string) error {
	release, err := proc.Hold(lockFile(dir))
	if err != nil {
		return err
	}
	defer release()
	s := &supervisor{dir: dir, words: &tailBuffer{limit: 4096}, ended: make(chan struct{})}
	if err := proc.ReadState(filepath.Join(dir, "launch.json"), &s.launch); err != nil {
		return err
	}
	if s.self, err = proc.Identify(os.Getpid()); err != nil {
		return err
	}
	s.launch.removeSockets()
	defer s.launch.removeSockets()
	// A host that goes down says so by SIGTERM; the guest gets a moment to write its disks.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return s.run(ctx)
}

func (s *supervisor) run(ctx context.Context) error {
	serial, err := openRotated(filepath.Join(s.dir, "serial.log"))
	if err != nil {
		return err
	}
	defer serial.Close()
	s.status = vm.Status{ID: s.launch.Machine.ID, State: vm.Running, Since: time.Now().UTC(), Accel: s.launch.Accel}
	if err := s.record(false); err != nil { // from here on it can be found, also by who must kill it
		return err
	}
	if err := s.begin(ctx, serial); err != nil {
		s.finish(false, err.Error())
		return err
	}
	ln, err := proc.Listen(s.launch.controlSocket())
	if err == nil {
		err = s.record(true)
	}
	if err != nil {
		_ = proc.Signal(s.child.Identity, syscall.SIGKILL)
		<-s.child.Done()
		s.finish(false, err.Error())
		return err
	}
	var conns sync.WaitGroup
	conns.Go(func() { proc.Serve(ln, &conns, s.handle) })
	told := make(chan struct{})
	go func() {
		defer close(told)
		s.follow()
	}()
	select {
	case <-s.child.Done():
	case <-ctx.Done():
		s.powerOff(context.WithoutCancel(ctx), 20*time.Second)
	}
	<-s.child.Done()
	within(time.Second, func() { <-told }) // the reason of the end may still be on its way
	s.qmp.close()
	s.finish(true, "")
	close(s.ended)
	ln.Close()
	// Those who wait for the end hear of it; one who has connected and says nothing is not waited for.
	within(time.Second, conns.Wait)
	return nil
}

// within waits for f, but not longer than limit.
func within(limit time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// environment is QEMU's, not ours: a guest may take QEMU over, and ours may have the credentials of an object store.
var environment = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}

// begin starts QEMU and shakes hands with it.
func (s *supervisor) begin(ctx context.Context, serial io.Writer) error {
	l := s.launch
	if l.Vars != "" {
		if err := copyOnce(l.VarsTemplate, l.Vars); err != nil {
			return err
		}
	}
	var err error
	s.child, err = proc.StartBound(proc.Bound{Path: l.Binary, Args: Args(l), Dir: s.dir, Env: environment, Stdout: serial, Stderr: s.words})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.qmp, err = dialMonitor(ctx, l.qmpSocket()); err == nil {
			return nil
		}
		select {
		case <-s.child.Done():
			return fmt.Errorf("qemu ended: %w", s.child.Err())
		case <-ctx.Done():
			_ = proc.Signal(s.child.Identity, syscall.SIGKILL)
			<-s.child.Done()
			return fmt.Errorf("qemu did not answer on its monitor: %w", err)
		case <-tick.C:
		}
	}
}

// follow listens to QEMU for the ends of jobs and the reason of its own. "guest-shutdown" is the guest's own doing or its answer to the
// power button, "host-qmp-quit" and "host-signal" are somebody's on the host.
func (s *supervisor) follow() {
	for e := range s.qmp.events {
		if e.Name != "SHUTDOWN" {
			s.jobs.hear(e)
			continue
		}
		var d struct{ Reason string }
		if json.Unmarshal(e.Data, &d) == nil {
			s.mu.Lock()
			s.cause = d.Reason
			s.mu.Unlock()
		}
	}
}

// finish writes down how it ended.
func (s *supervisor) finish(started bool, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := vm.Status{ID: s.launch.Machine.ID, State: vm.Stopped, Since: time.Now().UTC(), LastWords: s.words.String()}
	switch {
	case problem != "":
		st.State, st.Reason = vm.Crashed, problem
	case s.cause == "guest-shutdown":
		st.Reason = "powered off by the guest"
	case s.asked != "":
		st.Reason = s.asked
	case s.child.Err() != nil:
		st.State, st.Reason = vm.Crashed, "qemu: "+s.child.Err().Error()
	default:
		st.State, st.Reason = vm.Crashed, "qemu ended by itself, "+s.cause
	}
	s.status = st
	_ = s.recordLocked(started)
}

func (s *supervisor) record(started bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recordLocked(started)
}

func (s *supervisor) recordLocked(started bool) error {
	r := record{Version: controlVersion, Attempt: s.launch.Attempt, Started: started, Supervisor: s.self, Status: s.status}
	if s.child != nil {
		r.QEMU = s.child.Identity
	}
	return proc.WriteState(filepath.Join(s.dir, "status.json"), r)
}

// handle is one request on the control socket.
func (s *supervisor) handle(c *proc.Call) {
	var q request
	if json.Unmarshal(c.Request, &q) != nil {
		return
	}
	ctx, stop := c.HungUp()
	defer stop()
	_ = c.Reply(s.answer(ctx, q))
}

func (s *supervisor) answer(ctx context.Context, q request) response {
	var err error
	switch q.Op {
	case "status":
	case "wait":
		select {
		case <-s.ended:
		case <-ctx.Done():
		}
	case "poweroff":
		s.powerOff(ctx, q.Grace)
	case "kill":
		s.pullPlug(ctx)
	case "backup":
		err = s.backup(ctx, q.Disk, q.Target)
	case "reset":
		err = s.qmp.execute(ctx, "system_reset", nil)
	default:
		err = fmt.Errorf("this supervisor (protocol %d) does not know %q", controlVersion, q.Op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := response{Version: controlVersion, Status: s.status}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// powerOff presses the power button, again every few seconds because a guest that still boots does not see it, and
// pulls the plug in the end.
func (s *supervisor) powerOff(ctx context.Context, grace time.Duration) {
	s.setAsked("powered off on request; the guest did not answer the power button")
	end := time.NewTimer(grace)
	defer end.Stop()
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		if err := s.qmp.execute(ctx, "system_powerdown", nil); err != nil && !errors.Is(err, errMonitorClosed) {
			break
		}
		select {
		case <-s.child.Done():
			return
		case <-end.C:
			s.pullPlug(ctx)
			return
		case <-again.C:
		}
	}
	s.pullPlug(ctx)
}

func (s *supervisor) pullPlug(ctx context.Context) {
	s.setAsked("powered off hard")
	// quit lets QEMU finish what it has begun to write; a QEMU that does not answer is killed.
	quit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.qmp.execute(quit, "quit", nil); err == nil {
		select {
		case <-s.child.Done():
			return
		case <-quit.Done():
		}
	}
	_ = proc.Signal(s.child.Identity, syscall.SIGKILL)
	<-s.child.Done()
}

func (s *supervisor) setAsked(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == "" {
		s.asked = what
	}
}
