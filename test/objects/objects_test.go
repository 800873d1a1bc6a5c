package objects

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/internal/client"
	"vitrine/test/harness"
)

// world is a server whose image bytes lie in a bucket of a gateway.
type world struct {
	t       *testing.T
	server  *harness.Server
	gateway *s3test.Server
	tenant  client.Tenant
	dir     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, gateway: s3test.Start(t, "images"), dir: t.TempDir()}
	w.server = harness.Start(t, harness.Config{Args: []string{"--scrub-rate", "-1", "--blobs", w.gateway.URL("images", "vitrine")}})
	w.server.Vitrine(t, &w.tenant, "tenant", "create", "contoso")
	return w
}

func (w *world) version(name string) string {
	return "/subscriptions/" + w.tenant.SubscriptionID + "/resourceGroups/images/providers/Microsoft.Compute/galleries/gal/images/disks/versions/" + name
}

// run runs our own command line and returns what it says, and whether it ended well.
func (w *world) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 8*time.Minute)
	defer cancel()
	out, err := w.server.Command(ctx, w.dir, args...).CombinedOutput()
	return string(out), err
}

func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := w.run(args...)
	if err != nil {
		w.t.Fatalf("vitrine %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// objects lists the gateway's files of the bucket.
func (w *world) objects() (paths []string) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.gateway.Root, "images"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return paths
}

func (w *world) disk(seed uint64) (path string, content []byte) {
	w.t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	content = make([]byte, 12<<20)
	for i := range 4 << 20 {
		content[i] = byte(r.Uint32() >> (i >> 19)) // from noise to what compresses well
	}
	path = filepath.Join(w.dir, "disk")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path, content
}

func (w *world) export(version string) []byte {
	w.t.Helper()
	path := filepath.Join(w.dir, "out.raw")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	w.must("image", "export", w.version(version), path)
	got, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// In, out, across a restart; a flipped object is found and named; what is deleted goes from the bucket.
func TestObjectStore(t *testing.T) {
	w := newWorld(t)
	path, content := w.disk(1)
	w.must("image", "import", path, "--version-id", w.version("1.0.0"), "--create")
	if local, err := filepath.Glob(filepath.Join(w.server.Data(), "regions", "*")); err != nil || len(local) > 0 {
		t.Errorf("the data folder has objects: %v, %v", local, err)
	}
	whole := w.objects()
	if len(whole) != 2 {
		t.Fatalf("the bucket has not a pack and a manifest: %v", whole)
	}
	if !bytes.Equal(w.export("1.0.0"), content) {
		t.Error("other bytes came out")
	}
	w.server.Restart()
	if !bytes.Equal(w.export("1.0.0"), content) {
		t.Error("other bytes came out after a restart")
	}
	if said := w.server.Refused(); !strings.Contains(said, "lie in s3://images/vitrine, not in the data folder") {
		t.Errorf("without --blobs: %s", said)
	}
	if said := w.server.Refused("--blobs", w.gateway.URL("images", "elsewhere")); !strings.Contains(said, "not in s3://images/elsewhere") {
		t.Errorf("with other --blobs: %s", said)
	}

	// The object store goes away for a while: what needs it says so, and nothing is lost or taken for lost.
	w.gateway.Stop(t)
	if said, err := w.run("image", "import", path, "--version-id", w.version("2.0.0")); err == nil {
		t.Errorf("an import without object store: %s", said)
	}
	if said, err := w.run("image", "collect", "--grace", "0s"); err == nil {
		t.Errorf("a collection without object store: %s", said)
	}
	w.gateway.Run(t)
	if !bytes.Equal(w.export("1.0.0"), content) {
		t.Error("other bytes came out when the object store was back")
	}

	var biggest string
	var size int64
	for _, path := range whole {
		if st, err := os.Stat(path); err == nil && st.Size() > size {
			biggest, size = path, st.Size()
		}
	}
	flip(t, biggest)
	said, err := w.run("image", "scrub", "-o", "json")
	if err == nil || !strings.Contains(biggest, "/packs/") || !strings.Contains(said, "chunks/") || !strings.Contains(strings.ToLower(said), "versions/1.0.0") {
		t.Errorf("scrub, with %s flipped: %v\n%s", biggest, err, said)
	}
	flip(t, biggest)
	if said := w.must("image", "scrub"); !strings.Contains(said, "0") {
		t.Error(said)
	}

	w.delete("1.0.0")
	w.must("image", "collect", "--grace", "0s")
	if left := w.objects(); len(left) > 0 {
		t.Errorf("the bucket still has %v", left)
	}
}

// delete takes a version away as its owner does.
func (w *world) delete(version string) {
	w.t.Helper()
	a, err := client.NewARM(w.server.Where(), client.NewOperator(w.server.Where().Operator).Tokens(w.tenant.TenantID))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := a.Do(w.t.Context(), http.MethodDelete, w.version(version), "2024-03-03", nil, nil); err != nil {
		w.t.Fatal(err)
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
