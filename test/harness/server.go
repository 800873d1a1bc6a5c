package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/client"
)

// Need skips a test for want of something, or with VITRINE_FULL=1, where everything must be there, fails it.
func Need(t *testing.T, there bool, what string) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("VITRINE_FULL") != "":
		t.Fatalf("VITRINE_FULL is set, but %s", what)
	default:
		t.Skipf("not tested: %s", what)
	}
}

// Az is the judge: az 2.74 of its own root, by scripts/az, or whatever VITRINE_AZ names. One that happens to be on PATH is not
// asked: Debian 12's does not match its own SDK.
func Az(t *testing.T) string {
	t.Helper()
	path := os.Getenv("VITRINE_AZ")
	Need(t, path != "", "VITRINE_AZ names no az (make test sets it)")
	return path
}

// Older is Debian 12's az 2.45, where it is the one on PATH: other systems have another one, or none.
func Older(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("az")
	if err != nil {
		t.Skip("not tested: no az is on PATH")
	}
	out, err := exec.Command(path, "version", "--query", `"azure-cli"`, "-o", "tsv").Output()
	if version := strings.TrimSpace(string(out)); err != nil || version != "2.45.0" {
		t.Skipf("not tested: the az on PATH is not Debian 12's 2.45.0 but %q (%v)", version, err)
	}
	return path
}

// Guest is the image that machines boot: the tiny one that make guest builds, or whatever VITRINE_GUEST names.
func Guest(t *testing.T) string {
	t.Helper()
	path := os.Getenv("VITRINE_GUEST")
	if path == "" {
		path = filepath.Join("..", "..", "build", "guest", "tiny.qcow2")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(abs)
	Need(t, err == nil, "the guest image is missing (make guest)")
	return abs
}

// Build makes the program.
func Build(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("go", "build", "-o", path, "vitrine/cmd/vitrine").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// Server is a running vitrine with a data folder of its own.
type Server struct {
	t         *testing.T
	bin, data string
	dir       string
	where     client.Server
	launch    func() *exec.Cmd
	stop      func() // ends it and waits
	kill      func() // at once, and waits
}

// Config is how a server is started.
type Config struct {
	Args []string // of "serve", beyond data folder and address
	Env  []string // beyond this process's own
}

// Start builds the program and runs it on a free port until the test ends.
func Start(t *testing.T, cfg Config) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{t: t, dir: dir, bin: filepath.Join(dir, "vitrine"), data: filepath.Join(dir, "data")}
	Build(t, s.bin)
	ready, log := filepath.Join(dir, "ready"), filepath.Join(dir, "log")
	sink, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	s.launch = func() *exec.Cmd {
		serve := exec.Command(s.bin, append([]string{"serve", "--data", s.data, "--listen", "127.0.0.1:0", "--accel", "tcg", "--ready-file", ready}, cfg.Args...)...)
		serve.Stdout, serve.Stderr, serve.Env = sink, sink, append(os.Environ(), cfg.Env...)
		return serve
	}
	t.Cleanup(func() {
		s.stop()
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
		if raw, err := os.ReadFile(log); t.Failed() && err == nil {
			t.Logf("the server's last words:\n%s", raw[max(0, len(raw)-4000):])
		}
	})
	s.begin(ready)
	return s
}

// begin starts the program and waits until it answers.
func (s *Server) begin(ready string) {
	s.t.Helper()
	s.stop = func() {}
	serve := s.launch()
	if err := serve.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	s.stop = func() {
		s.stop = func() {}
		if err := serve.Process.Signal(syscall.SIGTERM); err == nil {
			if err := <-ended; err != nil {
				s.t.Errorf("the server's end: %v", err)
			}
		}
	}
	s.kill = func() {
		s.stop = func() {}
		_ = serve.Process.Kill() // it may have ended
		_ = <-ended              // killed, as was asked
	}
	s.await(ready, ended)
	var err error
	if s.where, err = client.ReadServer(s.data); err != nil {
		s.t.Fatal(err)
	}
}

// Restart ends the server and starts it again on the same data.
func (s *Server) Restart() {
	s.t.Helper()
	s.stop()
	s.again()
}

// Kill ends the server with SIGKILL; between may look at what it left, then it is started again on the same data.
func (s *Server) Kill(between func()) {
	s.t.Helper()
	s.kill()
	between()
	s.again()
}

func (s *Server) again() {
	s.t.Helper()
	ready := filepath.Join(s.dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	s.begin(ready)
}

// Refused starts the program once more with other arguments of "serve", after the server has been ended, and returns what it says when it
// does not want to; then the server is started again.
func (s *Server) Refused(args ...string) string {
	s.t.Helper()
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.bin, append([]string{"serve", "--data", s.data, "--listen", "127.0.0.1:0"}, args...)...).CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); !exited || ctx.Err() != nil {
		s.t.Errorf("serve %v: %v\n%s", args, err, out)
	}
	s.Restart()
	return string(out)
}

func (s *Server) await(ready string, ended chan error) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Minute)
	for {
		if _, err := os.Stat(ready); err == nil {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			s.t.Fatalf("the server ended: %v", err)
		case <-tick.C:
		case <-deadline:
			s.t.Fatal("the server does not get ready")
		}
	}
}

// Where is how clients reach the server.
func (s *Server) Where() client.Server { return s.where }

// Data is the server's data folder.
func (s *Server) Data() string { return s.data }

// Result is what a command left.
type Result struct {
	Out, Err string
	Code     int
}

// commandLimit is how long a command may take where az runs many times at once, and machines boot. Alone none takes half a minute.
const commandLimit = 8 * time.Minute

// run runs a command.
func run(t *testing.T, env []string, name string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr, c.Env = &out, &errOut, env
	err := c.Run()
	r := Result{Out: out.String(), Err: errOut.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.Code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// Vitrine runs our own command line and decodes its JSON.
func (s *Server) Vitrine(t *testing.T, out any, args ...string) {
	t.Helper()
	r := run(t, s.environ(s.dir), s.bin, append(append([]string{"--data", s.data}, args...), "-o", "json")...)
	if r.Code != 0 {
		t.Fatalf("vitrine %s: exit %d\n%s", strings.Join(args, " "), r.Code, r.Err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(r.Out), out); err != nil {
		t.Fatalf("vitrine %s: %v\n%s", strings.Join(args, " "), err, r.Out)
	}
}

func (s *Server) environ(home string) []string { return Environ(s.where, home) }

// Environ leads a client with this home to a server.
func Environ(where client.Server, home string) []string {
	env := []string{"HOME=" + home, "AZURE_CONFIG_DIR=" + filepath.Join(home, ".azure"), "PYTHONWARNINGS=ignore", "LC_ALL=C.UTF-8",
		"HTTPS_PROXY=" + where.Proxy, "https_proxy=" + where.Proxy, "NO_PROXY=127.0.0.1,localhost", "REQUESTS_CA_BUNDLE=" + where.Bundle,
		"SSL_CERT_FILE=" + where.Bundle, "AZURE_CORE_COLLECT_TELEMETRY=no", "AZURE_CORE_NO_COLOR=1", "AZURE_CORE_SURVEY_MESSAGE=no"}
	for _, name := range []string{"PATH", "VITRINE_AZ_ROOT", "VITRINE_CACHE", "XDG_CACHE_HOME"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if _, ok := os.LookupEnv("VITRINE_CACHE"); !ok { // HOME is a private one; the az root is not in it
		if cache, err := os.UserCacheDir(); err == nil {
			env = append(env, "VITRINE_CACHE="+filepath.Join(cache, "vitrine"))
		}
	}
	return env
}

// Shell is an az with folders of its own, so that several can run at a time.
type Shell struct {
	s    *Server
	az   string
	home string
	env  []string
}

// Shell makes one; its name is that of its folder.
func (s *Server) Shell(t *testing.T, name string) *Shell {
	t.Helper()
	return s.ShellOf(t, name, Az(t))
}

// ShellOf makes one of another az.
func (s *Server) ShellOf(t *testing.T, name, az string) *Shell {
	t.Helper()
	home := filepath.Join(s.dir, "homes", name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	return &Shell{s: s, az: az, home: home, env: s.environ(home)}
}

// Setenv adds to the environment of the shell's commands.
func (h *Shell) Setenv(name, value string) { h.env = append(h.env, name+"="+value) }

// Az runs az.
func (h *Shell) Az(t *testing.T, args ...string) Result {
	t.Helper()
	return run(t, h.env, h.az, args...)
}

// Command is an az that the test starts and ends itself.
func (h *Shell) Command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, h.az, args...)
	c.Env = h.env
	return c
}

// Login signs a service principal in by its secret.
func (h *Shell) Login(t *testing.T, app, password, tenant string) {
	t.Helper()
	if r := h.Az(t, "login", "--service-principal", "-u", app, "-p", password, "--tenant", tenant, "--allow-no-subscriptions"); r.Code != 0 {
		t.Fatalf("az login: %s", r.Err)
	}
}

// File writes one in the shell's home.
func (h *Shell) File(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(h.home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// at walks a decoded JSON value: "a.0.b".
func at(v any, path string) any {
	for _, name := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			var i int
			if _, err := fmt.Sscanf(name, "%d", &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}
