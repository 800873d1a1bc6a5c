package directory

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
	"testing"
	"time"

	"vitrine/internal/client"
)

// server is a running vitrine and the place where its clients live.
type server struct {
	t               *testing.T
	bin, data, home string
}

// need skips a test for want of something, or fails it where everything must be there.
func need(t *testing.T, there bool, what string) {
	t.Helper()
	if there {
		return
	}
	if os.Getenv("VITRINE_FULL") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// azPath is az 2.74, or whatever VITRINE_AZ names.
func azPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("VITRINE_AZ")
	if path == "" {
		path, _ = exec.LookPath("az") // empty: there is none
	}
	need(t, path != "", "there is no az; VITRINE_AZ names one (make test sets it)")
	return path
}

// start builds the program and runs it until the test ends.
func start(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, bin: filepath.Join(dir, "vitrine"), data: filepath.Join(dir, "data"), home: filepath.Join(dir, "home")}
	build := exec.Command("go", "build", "-o", s.bin, "vitrine/cmd/vitrine")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ready, log := filepath.Join(dir, "ready"), filepath.Join(dir, "log")
	sink, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(s.bin, "serve", "--data", s.data, "--listen", "127.0.0.1:0", "--ready-file", ready)
	serve.Stdout, serve.Stderr = sink, sink
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() {
		if err := serve.Process.Signal(os.Interrupt); err == nil {
			<-ended
		}
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			if raw, err := os.ReadFile(log); err == nil {
				t.Logf("the server's last words:\n%s", raw[max(0, len(raw)-4000):])
			}
		}
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		if _, err := os.Stat(ready); err == nil {
			return s
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended: %v", err)
		case <-tick.C:
		case <-deadline:
			t.Fatal("the server does not get ready")
		}
	}
}

type result struct {
	out, err string
	code     int
}

// run runs a command in the server's environment.
func (s *server) run(name string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr, c.Env = &out, &errOut, s.environ()
	err := c.Run()
	r := result{out: out.String(), err: errOut.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code = exit.ExitCode()
	} else if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return r
}

func (s *server) environ() []string {
	where, err := client.ReadServer(s.data)
	if err != nil {
		s.t.Fatal(err)
	}
	env := []string{"HOME=" + s.home, "AZURE_CONFIG_DIR=" + filepath.Join(s.home, ".azure"), "PYTHONWARNINGS=ignore", "LC_ALL=C.UTF-8",
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

// vitrine runs our own command line and decodes its JSON.
func (s *server) vitrine(out any, args ...string) {
	s.t.Helper()
	r := s.run(s.bin, append(append([]string{"--data", s.data}, args...), "-o", "json")...)
	if r.code != 0 {
		s.t.Fatalf("vitrine %s: exit %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(r.out), out); err != nil {
			s.t.Fatalf("vitrine %s: %v\n%s", strings.Join(args, " "), err, r.out)
		}
	}
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
