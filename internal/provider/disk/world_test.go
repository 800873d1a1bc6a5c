package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/operation/operationtest"
	"vitrine/internal/provider/disk"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant = "aaaaaaaa-0000-4000-8000-000000000001"
	sub    = "aaaaaaaa-0000-4000-8000-00000000000a"
	group  = "/subscriptions/" + sub + "/resourceGroups/rg"
	disks  = group + "/providers/Microsoft.Compute/disks/"
)

// The other tenant, and its subscription.
const (
	otherTenant = "bbbbbbbb-0000-4000-8000-000000000001"
	otherSub    = "bbbbbbbb-0000-4000-8000-00000000000b"
)

var (
	foreigner = authn.Principal{TenantID: otherTenant, ObjectID: "00000000-0000-4000-8000-000000000002", AppID: "app", Kind: authn.ServicePrincipal}
	limited   = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-000000000003", AppID: "other", Kind: authn.ServicePrincipal}}
)

var caller = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-000000000001", AppID: "app", Kind: authn.ServicePrincipal}}

type world struct {
	*testing.T
	dir     string
	store   *store.Store
	control *control.Control
	images  *image.Store
	disks   *disk.Provider
	sealer  *seal.Sealer
	clock   func(time.Duration) // moves the clock
	blobs   fakeBlobs
	points  fakePoints
	grown   []string // files and sizes

	live func(ctx context.Context, machine arm.ID, path, target string) error // of a running machine; nil: none runs
}

// nowhere is a gallery without versions.
type nowhere struct{}

func (nowhere) Manifest(store.Tx, string, int, string) (image.Ref, int, error) {
	return image.Ref{}, 0, arm.Errorf(404, "GalleryImageNotFound", "no such version").At("imageReference")
}

func (nowhere) Describe(store.Tx, string) (string, string, string, error) {
	return "", "", "", store.ErrNotFound
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), store: store.New(memstore.Open()), blobs: fakeBlobs{}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var mu sync.Mutex
	var ahead time.Duration
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
	w.clock = func(d time.Duration) { mu.Lock(); ahead += d; mu.Unlock() }
	bucket := memblob.New()
	var err error
	w.images, err = image.New(image.Config{Store: w.store, Dir: w.dir, Workers: 2, Buckets: func(string) (*blob.Bucket, error) { return bucket, nil }})
	w.must(err)
	sealer, err := seal.New(make([]byte, seal.KeySize))
	w.sealer = sealer
	w.must(err)
	var engine *operation.Engine
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Now: time.Now, Log: log, Kick: func() { engine.Kick() }})
	w.disks = disk.Register(w.control, disk.Config{Images: w.images, Versions: nowhere{}, Blobs: w.blobs, Points: &w.points, Seal: sealer, Dir: w.dir, Now: now,
		Overlay: func(_ context.Context, base, path string, size int64) error {
			return os.WriteFile(path, fmt.Appendf(nil, "%s %d", base, size), 0o600)
		}, Grow: func(_ context.Context, path string, size int64) error {
			w.grown = append(w.grown, fmt.Sprint(path, " ", size))
			return nil
		}, Live: func(ctx context.Context, machine arm.ID, path, target string) error {
			if w.live == nil {
				return disk.ErrNotRunning
			}
			return w.live(ctx, machine, path, target)
		}})
	engine = operation.New(w.store, "test", w.disks.Works(), log)
	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	workers.Go(func() { engine.Run(ctx, 2) })
	t.Cleanup(func() { stop(); workers.Wait(); w.images.Close(); w.store.Close() })
	w.must(w.store.Update(context.Background(), populate))
	return w
}

// fakeBlobs are page blobs by URI, all in the other tenant's account in eastus; the account own is in the caller's subscription.
type fakeBlobs map[string][]byte

var (
	account = arm.ID{Subscription: otherSub, ResourceGroup: "rg"}.Child("Microsoft.Storage/storageAccounts", "acc")
	own     = arm.ID{Subscription: sub, ResourceGroup: "secretgroup"}.Child("Microsoft.Storage/storageAccounts", "own")
)

func (f fakeBlobs) Account(_ store.Tx, uri string) (arm.ID, string, error) {
	switch {
	case strings.HasPrefix(uri, "https://acc."):
		return account, "eastus", nil
	case strings.HasPrefix(uri, "https://own."):
		return own, "eastus", nil
	}
	return arm.ID{}, "", store.ErrNotFound
}

type fakeBlob struct{ *bytes.Reader }

func (fakeBlob) Close() error { return nil }

func (f fakeBlobs) Open(_ context.Context, id arm.ID, uri string) (disk.Blob, error) {
	b, ok := f[uri]
	if !ok || id.Key() != account.Key() && id.Key() != own.Key() {
		return nil, store.ErrNotFound
	}
	return fakeBlob{bytes.NewReader(b)}, nil
}

func populate(tx store.Tx) error {
	if err := control.WriteSubscription(tx, control.Subscription{ID: otherSub, State: "Enabled", Tenant: otherTenant}); err != nil {
		return err
	}
	for i, scope := range []string{"/subscriptions/" + otherSub, group + "2"} { // who the caller is in the other tenant; who may write in rg2 alone
		p := [...]string{foreigner.ObjectID, limited.Primary.ObjectID}[i]
		body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/8e3af657-a8ff-443c-a75c-2fe8c4bcb635","principalId":%q,"scope":%q}}`, p, scope)
		if _, err := tx.Put(store.Document{Key: scope + "/b", Kind: rbac.AssignmentKind, Terms: rbac.Assignment{Principal: p, Scope: scope}.Terms(), Body: []byte(body)}); err != nil {
			return err
		}
		if _, err := tx.Put(store.Document{Key: strings.ToLower([...]string{"/subscriptions/" + otherSub + "/resourceGroups/rg", scope}[i]), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)}); err != nil {
			return err
		}
	}
	if err := control.WriteSubscription(tx, control.Subscription{ID: sub, State: "Enabled", Tenant: tenant}); err != nil {
		return err
	}
	if _, err := tx.Put(store.Document{Key: strings.ToLower(group), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)}); err != nil {
		return err
	}
	p, scope := caller.Primary.ObjectID, "/subscriptions/"+sub
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/8e3af657-a8ff-443c-a75c-2fe8c4bcb635","principalId":%q,"scope":%q}}`, p, scope)
	_, err := tx.Put(store.Document{Key: scope + "/a", Kind: rbac.AssignmentKind, Terms: rbac.Assignment{Principal: p, Scope: scope}.Terms(), Body: []byte(body)})
	return err
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) do(method, path, body string) (*control.Response, error) {
	return w.as(caller, method, path, body)
}

func (w *world) as(c authn.Caller, method, path, body string) (*control.Response, error) {
	return w.control.Do(context.Background(), control.Request{Method: method, Path: path, Body: []byte(body), Caller: c,
		Query: url.Values{"api-version": {"2023-04-02"}}, Base: "https://management.azure.com"})
}

func (w *world) refuse(err error, status int, code, part string) {
	w.Helper()
	var e *arm.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || !strings.Contains(e.Message, part) {
		w.Fatalf("got %v, want %d %s %q", err, status, code, part)
	}
}

// end does a request and waits for the end of its operation.
func (w *world) end(method, path, body string) *operation.Operation {
	w.Helper()
	r, err := w.do(method, path, body)
	w.must(err)
	u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
	w.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	o, err := operationtest.Wait(ctx, w.control.Store(), u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	w.must(err)
	return o
}

func (w *world) done(method, path, body string) *operation.Operation {
	w.Helper()
	o := w.end(method, path, body)
	if o.Status != operation.Succeeded {
		w.Fatalf("%s %s: %s %v", method, path, o.Status, o.Error)
	}
	return o
}

func (w *world) info(name string) (i disk.Info) {
	w.Helper()
	id, err := arm.ParseID(disks + name)
	w.must(err)
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		i, err = w.disks.Info(tx, id)
		return err
	}))
	return i
}
