package guide

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is for a whole guide on a host with busy neighbours; alone it takes some two minutes.
const limit = 20 * time.Minute

// block is one executed fence of a guide.
type block struct {
	line   int
	port22 bool
	text   string
}

// blocks finds the fences to execute.
func blocks(markdown string) (found []block) {
	var b *block
	for i, line := range strings.Split(markdown, "\n") {
		switch {
		case b != nil && line == "```":
			found, b = append(found, *b), nil
		case b != nil:
			b.text += line + "\n"
		case line == "```sh" || line == "```sh port22":
			b = &block{line: i + 2, port22: strings.HasSuffix(line, "port22")}
		}
	}
	return found
}

func TestBlocks(t *testing.T) {
	got := blocks("a\n```sh\none\ntwo\n```\n```console\n$ no\n```\n```sh port22\nthree\n```\n")
	want := []block{{3, false, "one\ntwo\n"}, {10, true, "three\n"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("blocks: %v, want %v", got, want)
	}
}

func TestFirstWalk(t *testing.T) {
	source := filepath.Join(root(t), "docs", "guide", "first-walk.md")
	raw, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	out := s.run(script(t, blocks(string(raw))))
	answer := regexp.MustCompile(`(?m)^Linux \S+ .*\nuid=\d+\(azureuser\).*\nmyVM$`)
	if got := len(answer.FindAllString(out, -1)); got < 2 {
		t.Errorf("the machine answered %d times, want 2 or more (vm ssh and ProxyCommand):\n%s", got, out)
	}
	if !strings.Contains(out, "is not authorized to access linked subscription") {
		t.Error("the request without the publisher's token was not refused as the guide says")
	}
	if left := s.processes(); len(left) > 0 {
		t.Errorf("processes are left after the guide's last command: %v", left)
	}
}

// script joins the blocks; each says where it stands in the guide before it runs.
func script(t *testing.T, all []block) string {
	if len(all) == 0 {
		t.Fatal("the guide has no blocks to execute")
	}
	var b strings.Builder
	for _, one := range all {
		if one.port22 && !freeSSH() {
			t.Logf("left out: the block of line %d, since another listener has port 22 of every loopback address", one.line)
			continue
		}
		fmt.Fprintf(&b, "echo '## line %d'\n%s", one.line, one.text)
	}
	return b.String()
}

// stage is a private place to run a guide in: home, data folder, and a PATH with the program and az.
type stage struct {
	t   *testing.T
	dir string
	env []string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	for _, tool := range []string{"bash", "jq", "ssh", "ssh-keygen", "qemu-system-x86_64", "qemu-img"} {
		path, _ := exec.LookPath(tool)
		need(t, path != "", tool+" is not installed")
	}
	az := os.Getenv("VITRINE_AZ")
	need(t, az != "", "VITRINE_AZ names no az (make test sets it)")
	az, err := exec.LookPath(az)
	if err != nil {
		t.Fatal(err)
	}
	guest := os.Getenv("VITRINE_GUEST")
	if guest == "" {
		guest = filepath.Join(root(t), "build", "guest", "tiny.qcow2")
	}
	_, err = os.Stat(guest)
	need(t, err == nil, "the guest image is missing (make guest)")

	s := &stage{t: t, dir: t.TempDir()}
	bin := filepath.Join(s.dir, "bin")
	for _, d := range []string{bin, s.at("home"), s.at("share")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link(t, az, filepath.Join(bin, "az"))
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "vitrine"), "vitrine/cmd/vitrine")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s.env = append(inherited(), "HOME="+s.at("home"), "XDG_DATA_HOME="+s.at("share"), "GUEST="+guest, "PATH="+bin+":"+os.Getenv("PATH"),
		"LC_ALL=C.UTF-8", "PYTHONWARNINGS=ignore", "AZURE_CORE_NO_COLOR=1", "AZURE_CORE_SURVEY_MESSAGE=no")
	t.Cleanup(s.endProcesses)
	return s
}

func (s *stage) at(name string) string { return filepath.Join(s.dir, name) }

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

// run executes a script as a person would type it, except that the first failure ends it.
func (s *stage) run(script string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The output goes to a file: a server that is still running must not keep us waiting for the end of a pipe.
	out, err := os.Create(s.at("output"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	c := exec.CommandContext(ctx, "bash", "-eu", "-c", script)
	c.Dir, c.Env, c.Stdout, c.Stderr = s.at("home"), s.env, out, out
	err = c.Run()
	said, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		s.t.Fatal(readErr)
	}
	if err != nil {
		s.t.Fatalf("the guide failed: %v\n%s\nthe server's log:\n%s", err, said, s.tail("home/walk/server.log"))
	}
	return string(said)
}

func (s *stage) tail(name string) string {
	raw, err := os.ReadFile(s.at(name))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// processes are those whose command line or folder lies in the private place.
func (s *stage) processes() map[int]string {
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
func (s *stage) endProcesses() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
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

// need skips, or with VITRINE_FULL fails, a test that lacks something.
func need(t *testing.T, ok bool, what string) {
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

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t *testing.T, target, name string) {
	t.Helper()
	target, err := filepath.Abs(target)
	if err == nil {
		err = os.Symlink(target, name)
	}
	if err != nil {
		t.Fatal(err)
	}
}
