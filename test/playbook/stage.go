package playbook

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Stage is a private place to execute guides in: home, data folder, and a PATH with the program and az.
type Stage struct {
	// Browser does what a browser fence says.
	Browser func(b Block, steps string)

	t   testing.TB
	dir string
	env []string
}

// NewStage builds the program and finds az, QEMU and the guest image. What is missing skips the test, or fails it with VITRINE_FULL=1.
func NewStage(t testing.TB, tools ...string) *Stage {
	t.Helper()
	for _, tool := range append([]string{"bash", "jq", "ssh", "ssh-keygen", "qemu-system-x86_64", "qemu-img"}, tools...) {
		path, _ := exec.LookPath(tool) // empty: there is none
		Need(t, path != "", tool+" is not installed")
	}
	az := os.Getenv("VITRINE_AZ")
	Need(t, az != "", "VITRINE_AZ names no az (make test sets it)")
	az, err := exec.LookPath(az)
	if err != nil {
		t.Fatal(err)
	}
	guest := os.Getenv("VITRINE_GUEST")
	if guest == "" {
		guest = filepath.Join(Root(t), "build", "guest", "tiny.qcow2")
	}
	_, err = os.Stat(guest)
	Need(t, err == nil, "the guest image is missing (make guest)")

	s := &Stage{t: t, dir: t.TempDir()}
	for _, d := range []string{s.At("bin"), s.At("home"), s.At("share"), s.At("said")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.link(az, "az")
	build := exec.Command("go", "build", "-o", s.At("bin/vitrine"), "./cmd/vitrine")
	build.Dir = Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s.env = append(inherited(), "HOME="+s.At("home"), "XDG_DATA_HOME="+s.At("share"), "GUEST="+guest, "PATH="+s.At("bin")+":"+os.Getenv("PATH"),
		"LC_ALL=C.UTF-8", "PYTHONWARNINGS=ignore", "AZURE_CORE_NO_COLOR=1", "AZURE_CORE_SURVEY_MESSAGE=no")
	t.Cleanup(s.endProcesses)
	return s
}

// At is a path in the private place; home/ is the reader's home folder.
func (s *Stage) At(name string) string { return filepath.Join(s.dir, name) }

// Program puts a program before those of the host.
func (s *Stage) Program(name, script string) {
	s.t.Helper()
	if err := os.WriteFile(s.At("bin/"+name), []byte(script), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// inherited is what a guide needs of our own environment. HOME is replaced, so the cache of az's root is named.
func inherited() (env []string) {
	for _, name := range []string{"VITRINE_AZ_ROOT", "VITRINE_CACHE", "XDG_CACHE_HOME"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("VITRINE_CACHE") == "" {
		env = append(env, "VITRINE_CACHE="+filepath.Join(cache, "vitrine"))
	}
	return env
}

func (s *Stage) link(target, name string) {
	s.t.Helper()
	target, err := filepath.Abs(target)
	if err == nil {
		err = os.Symlink(target, s.At("bin/"+name))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Left are the processes that stay: what has been told to end, or is seen in the moment of its end, gets some time for it.
func (s *Stage) Left() (left map[int]string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		if left = s.processes(); len(left) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-late:
			return left
		}
	}
}

// processes are those whose command line or folder lies in the private place.
func (s *Stage) processes() map[int]string {
	found := map[int]string{}
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range paths {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(p), "%d", &pid); err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(p, "cmdline")) // it may have ended meanwhile
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(line, []byte(s.dir+"/")) || strings.HasPrefix(cwd, s.dir+"/") {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// endProcesses ends what a guide that failed half-way left.
func (s *Stage) endProcesses() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		left := s.processes()
		if len(left) == 0 {
			return
		}
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Errorf("processes cannot be ended: %v", left)
			return
		}
	}
}

// tail is the end of the logs of the servers that the guide started.
func (s *Stage) tail() string {
	var b strings.Builder
	logs, err := filepath.Glob(s.At("home/*/server.log"))
	if err != nil {
		return err.Error()
	}
	for _, name := range logs {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err.Error()
		}
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		b.WriteString(strings.Join(slices.Concat([]string{name}, lines[max(0, len(lines)-25):]), "\n"))
	}
	return b.String()
}

// Need skips, or with VITRINE_FULL=1 fails, a test that lacks something.
func Need(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("VITRINE_FULL") == "1":
		t.Fatalf("VITRINE_FULL=1, but %s", what)
	default:
		t.Skipf("not tested: %s", what)
	}
}

// freeSSH tells whether port 22 of a loopback address can be bound.
func freeSSH() bool {
	l, err := net.Listen("tcp", "127.64.255.253:22")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Root is the folder of the product's module: tests run in test/NAME.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
