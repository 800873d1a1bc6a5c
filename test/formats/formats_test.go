package formats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// world is a server with one tenant, and a gallery that the first import makes.
type world struct {
	t      *testing.T
	server *harness.Server
	tenant client.Tenant
	dir    string
	n      int
}

func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	w := &world{t: t, server: harness.Start(t, harness.Config{Args: args}), dir: t.TempDir()}
	w.server.Vitrine(t, &w.tenant, "tenant", "create", "contoso")
	return w
}

func (w *world) at(name string) string { return filepath.Join(w.dir, name) }

func (w *world) group(name string) string {
	return "/subscriptions/" + w.tenant.SubscriptionID + "/resourceGroups/" + name
}

func (w *world) version() string {
	w.n++
	return fmt.Sprintf("%s/providers/Microsoft.Compute/galleries/gal/images/disks/versions/1.0.%d", w.group("images"), w.n)
}

// run runs our command line to its end; an env beyond the harness's may be given.
func (w *world) run(s *harness.Server, env []string, args ...string) (out, errOut string, err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 8*time.Minute)
	defer cancel()
	c := s.Command(ctx, w.dir, args...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr, c.Env = &o, &e, append(c.Env, env...)
	err = c.Run()
	return o.String(), e.String(), err
}

func (w *world) must(s *harness.Server, env []string, args ...string) (out, errOut string) {
	w.t.Helper()
	out, errOut, err := w.run(s, env, args...)
	if err != nil {
		w.t.Fatalf("vitrine %s: %v\n%s%s", strings.Join(args, " "), err, out, errOut)
	}
	return out, errOut
}

// disk writes a raw disk of so many MiB, some of noise and zeros between.
func (w *world) disk(name string, mib int, seed uint64, noise int) string {
	w.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, mib<<20)
	for i := range noise { // so many MiB, as far apart as they can be
		part := b[i*mib/noise<<20:][:1<<20]
		for j := range part {
			part[j] = byte(r.Uint32())
		}
	}
	path := w.at(name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	if err != nil || err2 != nil || !bytes.Equal(x, y) {
		t.Errorf("%s (%d bytes) and %s (%d bytes) differ: %v, %v", a, len(x), b, len(y), err, err2)
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	_, err := exec.LookPath(name)
	harness.Need(t, err == nil, name+" is not installed")
	// To make a LUKS disk qemu-img times its hash by the CPU's clock, and gives up when that has not ticked meanwhile: a host whose time
	// is stolen needs another try.
	const untimed = "Unable to get accurate CPU usage"
	for try := 1; ; try++ {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			return
		}
		if try == 100 || !bytes.Contains(out, []byte(untimed)) {
			t.Fatalf("%s %v: %v, try %d\n%s", name, args, err, try, out)
		}
	}
}

// Every form in, by a file and by a pipe, packed and not; every form out, read back by qemu-img; all are the same disk.
func TestInAndOut(t *testing.T) {
	w := newWorld(t)
	raw := w.disk("raw", 9, 1, 1)
	digests := map[string]bool{}
	last := ""
	for i, f := range []struct{ format, options, pack string }{
		{"qcow2", "compression_type=zstd", "xz"}, {"vmdk", "subformat=streamOptimized", ""}, {"vhdx", "subformat=dynamic", "gzip"}, {"vpc", "subformat=dynamic,force_size=on", "zstd"},
	} {
		from := w.at(fmt.Sprintf("in-%d", i))
		tool(t, "qemu-img", "convert", "-f", "raw", "-O", f.format, "-o", f.options, raw, from)
		if f.pack != "" {
			tool(t, "sh", "-c", f.pack+" -q -c "+from+" >"+from+".packed")
			from += ".packed"
		}
		last = w.version()
		var out client.Imported
		said, _ := w.must(w.server, nil, "image", "import", from, "--version-id", last, "--create", "-o", "json")
		if err := json.Unmarshal([]byte(said), &out); err != nil || out.State != "Succeeded" {
			t.Fatalf("%s: %v\n%s", f.format, err, said)
		}
		digests[out.Disk] = true
	}
	if len(digests) != 1 {
		t.Errorf("one disk has %d digests: %v", len(digests), digests)
	}
	for _, form := range []string{"raw", "vhd", "qcow2"} {
		var out client.Exported
		said, _ := w.must(w.server, nil, "image", "export", last, w.at("out."+form), "-o", "json")
		if err := json.Unmarshal([]byte(said), &out); err != nil || out.Verified != "import" || !digests[out.Disk] {
			t.Errorf("%s: %+v, %v", form, out, err)
		}
	}
	same(t, raw, w.at("out.raw"))
	tool(t, "qemu-img", "check", "-f", "qcow2", w.at("out.qcow2"))
	tool(t, "qemu-img", "compare", "-f", "qcow2", "-F", "raw", w.at("out.qcow2"), raw)
	tool(t, "qemu-img", "compare", "-f", "vpc", "-F", "raw", w.at("out.vhd"), raw)
	if left := w.list("Microsoft.Compute/disks"); len(left) > 0 {
		t.Errorf("disks are left: %v", left)
	}
}

// list gives the IDs of a type in the subscription.
func (w *world) list(typ string) (ids []string) {
	w.t.Helper()
	a, err := client.NewARM(w.server.Where(), client.NewOperator(w.server.Where().Operator).Tokens(w.tenant.TenantID))
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := client.List[struct{ ID string }](w.t.Context(), a, "/subscriptions/"+w.tenant.SubscriptionID+"/providers/"+typ, client.VersionDisks)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, one := range list {
		ids = append(ids, one.ID)
	}
	return ids
}

// killed starts a command and kills it, with SIGKILL, once the relay has passed so much.
func (w *world) killed(r *relay, after int64, s *harness.Server, env []string, args ...string) {
	w.t.Helper()
	reached := r.after(after)
	c := s.Command(w.t.Context(), w.dir, args...)
	c.Env = append(c.Env, env...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		w.t.Fatalf("it ended by itself: %v\n%s", err, &said)
	case <-time.After(8 * time.Minute):
		w.t.Error("it does not get so far")
	}
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		w.t.Error(err)
	}
	<-ended
	r.free()
	r.cut()
}

// A client that is killed in the midst leaves nothing but what it goes on with; connections that are cut are made again.
func TestCut(t *testing.T) {
	// When a client dies, what is on its way is lost: four windows of 4 MiB that are asked for and as many that wait for
	// their turn. What it had put down before is not asked for again.
	const size, killedAt = 80, 60             // MiB
	const again = size - killedAt + 2*4*4 + 4 // MiB: what was not asked for, the windows, and what goes around them
	w := newWorld(t)
	r := newRelay(t, w.server.Where().Proxy)
	cut := w.server.Through(t, r.proxy())
	temp := w.at("temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"TMPDIR=" + temp}
	raw := w.disk("raw", size, 2, size)
	packed := w.at("packed.qcow2")
	tool(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed)
	version := w.version()
	imports := []string{"image", "import", packed, "--version-id", version, "--create", "-o", "json"}

	w.killed(r, killedAt<<20, cut, env, imports...)
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the import that was killed leaves %v, %v", left, err)
	}
	if left := w.list("Microsoft.Compute/disks"); len(left) != 1 {
		t.Errorf("the disk to go on with is not there: %v", left)
	}
	w.must(cut, env, imports...)
	if n := r.up.Load(); n > again<<20 {
		t.Errorf("%d bytes were sent by the second run: it began anew", n)
	}

	out := w.at("out.raw")
	exports := []string{"image", "export", version, out, "-o", "json"}
	w.killed(r, killedAt<<20, cut, env, exports...)
	if _, err := os.Stat(out); err == nil {
		t.Error("half a file has the name of a whole one")
	}
	var sum client.Exported
	said, _ := w.must(cut, env, exports...)
	if err := json.Unmarshal([]byte(said), &sum); err != nil || sum.Received > again<<20 || sum.Received < 1<<20 || sum.Verified != "import" {
		t.Errorf("the second run: %+v, %v", sum, err)
	}
	same(t, raw, out)

	// Cut, not killed: one run, which makes new connections.
	reached := r.after(16 << 20)
	go func() { <-reached; r.free(); r.cut() }()
	other := w.version()
	w.must(cut, env, "image", "import", raw, "--version-id", other, "-o", "json")
	reached = r.after(16 << 20)
	go func() { <-reached; r.free(); r.cut() }()
	w.must(cut, env, "image", "export", other, w.at("again.raw"), "-o", "json")
	same(t, raw, w.at("again.raw"))

	if left := w.list("Microsoft.Compute/disks"); len(left) > 0 {
		t.Errorf("disks are left: %v", left)
	}
	if left, err := filepath.Glob(w.at("*.part*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// A download that was killed with its client goes on, and is removed when the version is there.
func TestAddress(t *testing.T) {
	w := newWorld(t)
	raw := w.disk("raw", 20, 3, 20)
	content, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	half, stop := make(chan struct{}), make(chan struct{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		rw.Header().Set("ETag", `"x"`)
		if len(asked) == 1 {
			rw.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = rw.Write(content[:12<<20])
			_ = http.NewResponseController(rw).Flush()
			close(half)
			<-stop
			return
		}
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer srv.Close()
	certificate := w.at("ca.pem")
	if err := os.WriteFile(certificate, pemOf(srv), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"SSL_CERT_FILE=" + certificate}
	args := []string{"image", "import", srv.URL + "/disk.raw", "--version-id", w.version(), "--create", "--download-dir", w.at("downloads"), "-o", "json"}
	c := w.server.Command(t.Context(), w.dir, args...)
	c.Env = append(c.Env, env...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	for deadline := time.Now().Add(5 * time.Minute); ; { // until what came is in the file
		if parts, _ := filepath.Glob(w.at("downloads/*.part")); len(parts) == 1 {
			if st, err := os.Stat(parts[0]); err == nil && st.Size() >= 8<<20 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was kept")
		}
		<-time.After(10 * time.Millisecond)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	close(stop)
	w.must(w.server, env, args...)
	if len(asked) != 2 || !strings.HasPrefix(asked[1], "bytes=") {
		t.Errorf("asked for %q", asked)
	}
	if left, err := os.ReadDir(w.at("downloads")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Files that real tools make and that must not be taken; nothing is made for them, here or on the server.
func TestHostileFiles(t *testing.T) {
	w := newWorld(t)
	temp := w.at("temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := w.disk("secret", 1, 4, 1)
	create := func(name string, args ...string) string {
		path := w.at(name)
		tool(t, "qemu-img", append(append([]string{"create", "-q"}, args...), path, "1M")...)
		return path
	}
	backed := w.at("backed.qcow2")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", backed)
	snapped := create("snapped.qcow2", "-f", "qcow2")
	tool(t, "qemu-img", "snapshot", "-c", "one", snapped)
	flat := create("flat.vmdk", "-f", "vmdk", "-o", "subformat=monolithicFlat")
	child := w.at("child.vmdk")
	tool(t, "qemu-img", "create", "-q", "-f", "vmdk", w.at("parent.vmdk"), "1M")
	tool(t, "qemu-img", "create", "-q", "-f", "vmdk", "-b", w.at("parent.vmdk"), "-F", "vmdk", child)
	link := w.at("link.raw")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	bomb := w.at("bomb.zst")
	tool(t, "sh", "-c", "head -c 400M /dev/zero | tr '\\0' x | zstd -q -1 >"+bomb)
	for _, test := range []struct{ path, want string }{
		{backed, "has a backing file"},
		{create("data.qcow2", "-f", "qcow2", "-o", "data_file="+w.at("data")), "external file"},
		{snapped, "internal snapshots"},
		{flat, "only names other files"},
		{child, "this VMDK has a parent"},
		{create("luks.img", "-f", "luks", "--object", "secret,id=s,data=geheim", "-o", "key-secret=s,iter-time=10"), "encrypted with LUKS"},
		{create("luks.qcow2", "-f", "qcow2", "--object", "secret,id=s,data=geheim", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"), "encrypted with LUKS"},
		{create("x.qed", "-f", "qed"), "QED disks are not supported"},
		{create("x.vdi", "-f", "vdi"), "VDI disks of VirtualBox are not supported"},
		{link, "is a symbolic link"},
		{"/dev/zero", "pipes and devices"},
		{bomb, "beyond all proportion"},
	} {
		args := []string{"image", "import", test.path, "--version-id", w.version(), "--create", "-o", "json"}
		_, said, err := w.run(w.server, []string{"TMPDIR=" + temp}, args...)
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(said, test.want) {
			t.Errorf("%s: %v, want %q\n%s", test.path, err, test.want, said)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
	for _, typ := range []string{"Microsoft.Compute/disks", "Microsoft.Compute/galleries"} {
		if left := w.list(typ); len(left) > 0 {
			t.Errorf("made for a file that is refused: %v", left)
		}
	}
}
