package sdk

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a running vitrine; this process and its children are pointed at it by environment variables alone.
type server struct {
	bin, data string
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// serve starts the program until the test ends. roots is a file of certificates that the server trusts when it reads keys.
func serve(t *testing.T, roots string, args ...string) *server {
	t.Helper()
	s := &server{bin: program(t), data: t.TempDir()}
	ready := filepath.Join(t.TempDir(), "ready.json")
	log := must(os.Create(filepath.Join(t.TempDir(), "log")))
	run := exec.Command(s.bin, append([]string{"serve", "--data", s.data, "--listen", "127.0.0.1:0", "--ready-file", ready, "--accel", "tcg"}, args...)...)
	run.Stdout, run.Stderr, run.Env = log, log, append(os.Environ(), "SSL_CERT_FILE="+roots)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- run.Wait() }()
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		if err := <-done; err != nil {
			t.Errorf("the server: %v", err)
		}
		if text := must(os.ReadFile(log.Name())); t.Failed() {
			t.Logf("the server's last words:\n%s", text[max(0, len(text)-6000):])
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(3 * time.Minute); ; {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the server ended: %v\n%s", err, must(os.ReadFile(log.Name())))
		case <-late:
			t.Fatalf("the server is not ready\n%s", must(os.ReadFile(log.Name())))
		case <-tick.C:
		}
	}
	s.enter(t)
	return s
}

// program is the vitrine that VITRINE names, or one built for the test.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("VITRINE"); path != "" {
		return must(filepath.Abs(path))
	}
	path := filepath.Join(t.TempDir(), "vitrine")
	build := exec.Command("go", "build", "-o", path, "./cmd/vitrine")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// enter does in this process what `eval "$(vitrine env)"` does in a shell. Go reads the proxy and the roots once for a process,
// so that there can be one server only.
func (s *server) enter(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(s.run(t, "env")) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "unset "); ok {
			t.Setenv(name, "") // so that it comes back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			t.Fatalf("vitrine env: %q", line)
		}
		t.Setenv(name, strings.Trim(value, "'"))
	}
}

// run runs vitrine.
func (s *server) run(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.Command(s.bin, append(args, "--data", s.data)...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("vitrine %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// ask runs vitrine and reads what it prints as JSON.
func (s *server) ask(t *testing.T, out any, args ...string) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.run(t, append(args, "-o", "json")...)), out); err != nil {
		t.Fatal(fmt.Errorf("vitrine %s: %w", strings.Join(args, " "), err))
	}
}
