package walk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// full is set by make test: then what is missing is a failure, else it is named and skipped.
func full() bool { return os.Getenv("VITRINE_FULL") == "1" }

func have(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// built makes the program under test once, whichever test comes first: they are parallel, and a file that is half written must not be started.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "vitrine")
	out, err := exec.Command("go", "build", "-o", path, "vitrine/cmd/vitrine").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, err
})

func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// server is a running vitrine with a data folder of its own.
type server struct {
	t    *testing.T
	bin  string
	data string
	home string
	cmd  *exec.Cmd
	log  *os.File
	done chan error
	args []string
	boot time.Duration // how long a guest may take to answer
}

// start runs a server on free ports; the test's end stops it, its machines and its networks.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, bin: program(t), data: filepath.Join(dir, "data"), home: filepath.Join(dir, "home"), args: args, boot: bootLimit}
	for _, d := range []string{s.home, filepath.Join(s.home, ".ssh")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.log, err = os.Create(filepath.Join(dir, "server.log")); err != nil {
		t.Fatal(err)
	}
	s.run()
	t.Cleanup(func() {
		s.stop()
		s.endStrays()
		if t.Failed() {
			s.tail()
		}
		s.log.Close()
	})
	return s
}

// reportTo makes a subtest the one that fails; the returned function ends that.
func (s *server) reportTo(t *testing.T) (back func()) {
	outer := s.t
	s.t = t
	return func() { s.t = outer }
}

// run starts the process and waits until it says that it is ready.
func (s *server) run() {
	s.t.Helper()
	ready := filepath.Join(filepath.Dir(s.data), "ready.json")
	_ = os.Remove(ready)
	s.cmd = exec.Command(s.bin, append([]string{"serve", "--data", s.data, "--listen", "127.0.0.1:0", "--ready-file", ready, "--accel", "tcg"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan error, 1)
	go func(c *exec.Cmd, done chan error) { done <- c.Wait() }(s.cmd, s.done)
	s.await("the server to be ready", bootLimit, func() bool {
		select {
		case err := <-s.done:
			s.tail()
			s.t.Fatalf("the server ended: %v", err)
		default:
		}
		_, err := os.Stat(ready)
		return err == nil
	})
}

// stopLimit is how long a server may take to end. Its own limits, for what it waits for one after the other, are well below a minute.
const stopLimit = 3 * time.Minute

// stop ends the server as an init system would; kill as a power cut would.
func (s *server) stop() { s.end(syscall.SIGTERM) }
func (s *server) kill() { s.end(syscall.SIGKILL) }

func (s *server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.done:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		<-s.done
		s.t.Errorf("the server did not stop within %s of SIGTERM", stopLimit)
	}
	s.cmd = nil
}

// strays lists the processes that belong to this data folder: supervisors, netstacks, QEMUs.
func (s *server) strays() map[int]string {
	found := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil || pid == os.Getpid() {
			continue
		}
		raw, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		line := strings.ReplaceAll(string(raw), "\x00", " ")
		if err == nil && strings.Contains(line, s.data) && (s.cmd == nil || pid != s.cmd.Process.Pid) {
			found[pid] = line
		}
	}
	return found
}

// endStrays ends what outlives the server by design, so that a test leaves nothing.
func (s *server) endStrays() {
	for round := 0; round < 50; round++ {
		all := s.strays()
		if len(all) == 0 {
			return
		}
		for pid := range all {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Errorf("processes are left: %v", s.strays())
}

func (s *server) tail() {
	raw, err := os.ReadFile(s.log.Name())
	if err != nil {
		return
	}
	var words []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); !strings.Contains(line, "msg=request") || strings.Contains(line, "status=5") {
			words = append(words, line[:min(len(line), 400)])
		}
	}
	s.t.Logf("the server's last words:\n%s", strings.Join(words[max(0, len(words)-25):], "\n"))
}

// await polls a condition; limits are generous, since neighbours may have the processor.
func (s *server) await(what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	s.awaitEvery(50*time.Millisecond, what, limit, ok)
}

func (s *server) awaitEvery(pause time.Duration, what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited %s in vain for %s", limit, what)
		}
	}
}

// result is what a command left.
type result struct {
	out, err string
	code     int
}

// exec runs a command in the server's environment.
func (s *server) exec(env []string, name string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr, c.Env = &out, &errOut, append(s.environ(), env...)
	err := c.Run()
	r := result{out: out.String(), err: errOut.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		s.t.Fatalf("%s: %v", name, err)
	}
	return r
}

func (s *server) environ() []string {
	where, err := client.ReadServer(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	return harness.Environ(where, s.home)
}

// vitrine runs our own command line and decodes its JSON.
func (s *server) vitrine(out any, args ...string) {
	s.t.Helper()
	args = append([]string{"--data", s.data}, args...)
	if out != nil {
		args = append(args, "-o", "json")
	}
	r := s.exec(nil, s.bin, args...)
	if r.code != 0 {
		s.t.Fatalf("vitrine %s: exit %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(r.out), out); err != nil {
			s.t.Fatalf("vitrine %s: %v\n%s", strings.Join(args, " "), err, r.out)
		}
	}
}

// az runs the real az.
func (s *server) az(args ...string) result {
	s.t.Helper()
	return s.exec(nil, harness.Az(s.t), args...)
}

// azOK runs az, wants success and decodes its JSON.
func (s *server) azOK(out any, args ...string) {
	s.t.Helper()
	r := s.az(args...)
	if r.code != 0 {
		s.t.Fatalf("az %s: exit %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(r.out), out); err != nil {
		s.t.Fatalf("az %s: %v\n%s", strings.Join(args, " "), err, r.out)
	}
}

// freeSSH tells whether port 22 of a loopback address can be bound: a listener on 0.0.0.0:22 would answer in a guest's place. It asks
// once: two tests that asked at the same moment would find each other's listener.
var freeSSH = sync.OnceValue(func() bool {
	l, err := net.Listen("tcp", "127.64.255.254:22")
	if err != nil {
		return false
	}
	l.Close()
	return true
})
