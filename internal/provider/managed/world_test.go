package managed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
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
	"vitrine/internal/provider/managed"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant  = "aaaaaaaa-0000-4000-8000-000000000001"
	sub     = "aaaaaaaa-0000-4000-8000-00000000000a"
	group   = "/subscriptions/" + sub + "/resourceGroups/rg"
	compute = group + "/providers/Microsoft.Compute/"

	otherTenant = "bbbbbbbb-0000-4000-8000-000000000001"
	otherSub    = "bbbbbbbb-0000-4000-8000-00000000000b"
	size        = 1 << 20
)

var (
	caller    = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-000000000001", AppID: "app", Kind: authn.ServicePrincipal}}
	foreigner = authn.Principal{TenantID: otherTenant, ObjectID: "00000000-0000-4000-8000-000000000003", AppID: "app", Kind: authn.ServicePrincipal}
	limited   = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-000000000002", AppID: "app", Kind: authn.ServicePrincipal}}
)

// world has the provider, and sources that the test makes up.
type world struct {
	*testing.T
	store   *store.Store
	control *control.Control
	images  *image.Store
	managed *managed.Provider

	mu      sync.Mutex
	sources map[string]source.Source // by key
	content map[string]string        // what Freeze finds, by key of the disk
	unique  map[string]string        // and the uniqueId
	fail    error                    // of the next Freeze
	frozen  int
}

func (w *world) Source(_ store.Tx, id arm.ID) (source.Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.sources[id.Key()]
	if !ok {
		return s, store.ErrNotFound
	}
	return s, nil
}

func (w *world) Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error) {
	w.mu.Lock()
	text, ok := w.content[id.Key()]
	err := w.fail
	w.fail = nil
	w.frozen++
	if now := w.unique[id.Key()]; uniqueID != "" && uniqueID != now {
		ok = false
	}
	w.mu.Unlock()
	if err != nil {
		return image.Ref{}, err
	}
	if !ok {
		return image.Ref{}, store.ErrNotFound
	}
	return w.pack(ctx, text)
}

// blobs are VHDs by URI, in the account acc in eastus; another is in westus, and victim is another tenant's.
type blobs struct{ w *world }

func (b blobs) Account(_ store.Tx, uri string) (arm.ID, string, error) {
	name := strings.Split(strings.TrimPrefix(uri, "https://"), "/")[0]
	location, ok := map[string]string{"acc": "eastus", "west": "westus", "victim": "eastus"}[name]
	if !ok {
		return arm.ID{}, "", store.ErrNotFound
	}
	if name == "victim" {
		return arm.ID{Subscription: otherSub, ResourceGroup: "rg"}.Child("Microsoft.Storage/storageAccounts", "victim"), location, nil
	}
	return arm.ID{Subscription: sub, ResourceGroup: "secretgroup"}.Child("Microsoft.Storage/storageAccounts", "acc"), location, nil
}

func (b blobs) Size(_ store.Tx, _ arm.ID, uri string) (int64, error) {
	if uri != "https://acc/c/good.vhd" {
		return 0, store.ErrNotFound
	}
	return size, nil
}

func (b blobs) Freeze(ctx context.Context, account arm.ID, uri string) (image.Ref, error) {
	if account.Name() != "acc" || uri != "https://acc/c/good.vhd" {
		return image.Ref{}, store.ErrNotFound
	}
	return b.w.pack(ctx, "a VHD")
}

func (w *world) pack(ctx context.Context, text string) (image.Ref, error) {
	return w.images.Pack(ctx, "eastus", tenant, bytes.NewReader(append([]byte(text), make([]byte, size-len(text))...)), size, nil)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, store: store.New(memstore.Open()), sources: map[string]source.Source{}, content: map[string]string{}, unique: map[string]string{}}
	log, bucket := slog.New(slog.NewTextHandler(io.Discard, nil)), memblob.New()
	var err error
	w.images, err = image.New(image.Config{Store: w.store, Dir: t.TempDir(), Workers: 2, Buckets: func(string) (*blob.Bucket, error) { return bucket, nil }})
	w.must(err)
	var engine *operation.Engine
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Now: time.Now, Log: log, Kick: func() { engine.Kick() }})
	w.managed = managed.Register(w.control, managed.Config{Images: w.images, Sources: w, Blobs: blobs{w}})
	engine = operation.New(w.store, "test", w.managed.Works(), log)
	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	workers.Go(func() { engine.Run(ctx, 2) })
	t.Cleanup(func() { stop(); workers.Wait(); w.images.Close(); w.store.Close() })
	w.must(w.store.Update(ctx, populate))
	w.offer("disks/frozen", source.Source{Disks: []source.Disk{{LUN: -1, SizeGB: 2}}})
	w.offer("disks/data", source.Source{Disks: []source.Disk{{LUN: -1, SizeGB: 1}}})
	w.offer("disks/win", source.Source{OSType: "Windows", Disks: []source.Disk{{LUN: -1, SizeGB: 1}}})
	w.offer("disks/west", source.Source{Location: "westus", Disks: []source.Disk{{LUN: -1, SizeGB: 1}}})
	ref, err := w.pack(ctx, "known")
	w.must(err)
	w.offer("snapshots/known", source.Source{OSType: "Linux", Generation: "V2", Disks: []source.Disk{{LUN: -1, SizeGB: 1, Ref: ref}}})
	vm := source.Source{OSType: "Linux", OSState: "Generalized", Generation: "V2", Architecture: "x64", Disks: []source.Disk{
		{LUN: -1, ID: w.id("disks/frozen"), SizeGB: 2, Caching: "ReadWrite", SKU: "Premium_LRS"}, {LUN: 3, ID: w.id("disks/data"), SizeGB: 1, Caching: "ReadOnly"}}}
	w.offer("virtualMachines/model", vm)
	vm.OSState = "Specialized"
	w.offer("virtualMachines/running", vm)
	w.content[w.id("disks/frozen").Key()], w.content[w.id("disks/data").Key()] = "what a machine wrote", "its data"
	return w
}

func populate(tx store.Tx) error {
	if err := control.WriteSubscription(tx, control.Subscription{ID: otherSub, State: "Enabled", Tenant: otherTenant}); err != nil {
		return err
	}
	if err := allow(tx, foreigner.ObjectID, "/subscriptions/"+otherSub); err != nil {
		return err
	}
	if err := control.WriteSubscription(tx, control.Subscription{ID: sub, State: "Enabled", Tenant: tenant}); err != nil {
		return err
	}
	for i, scope := range []string{"/subscriptions/" + sub, group + "2"} {
		p := [...]string{caller.Primary.ObjectID, limited.Primary.ObjectID}[i]
		if err := allow(tx, p, scope); err != nil {
			return err
		}
		if _, err := tx.Put(store.Document{Key: strings.ToLower(group + [...]string{"", "2"}[i]), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)}); err != nil {
			return err
		}
	}
	return nil
}

// allow makes a principal an owner.
func allow(tx store.Tx, p, scope string) error {
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/8e3af657-a8ff-443c-a75c-2fe8c4bcb635","principalId":%q,"scope":%q}}`, p, scope)
	_, err := tx.Put(store.Document{Key: scope + "/a", Kind: rbac.AssignmentKind, Terms: rbac.Assignment{Principal: p, Scope: scope}.Terms(), Body: []byte(body)})
	return err
}

func (w *world) offer(path string, s source.Source) {
	s.ID = w.id(path)
	if s.Location == "" {
		s.Location = "eastus"
	}
	w.sources[s.ID.Key()] = s
}

func (w *world) id(path string) arm.ID {
	w.Helper()
	id, err := arm.ParseID(compute + path)
	w.must(err)
	return id
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) as(c authn.Caller, method, path, body string) (*control.Response, error) {
	return w.control.Do(context.Background(), control.Request{Method: method, Path: path, Body: []byte(body), Caller: c,
		Query: url.Values{"api-version": {"2024-11-01"}}, Base: "https://management.azure.com"})
}

// end does a request and waits for the end of its operation.
func (w *world) end(method, name, body string, status int) *operation.Operation {
	w.Helper()
	r, err := w.as(caller, method, compute+"images/"+name, body)
	w.must(err)
	if r.Status != status {
		w.Fatalf("%s: %d, want %d", method, r.Status, status)
	}
	u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
	w.must(err)
	if !strings.Contains(u.Path, "/locations/eastus/operations/") {
		w.Errorf("status URL %s", u)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	o, err := operationtest.Wait(ctx, w.control.Store(), u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	w.must(err)
	return o
}

func (w *world) done(method, name, body string, status int) {
	w.Helper()
	if o := w.end(method, name, body, status); o.Status != operation.Succeeded {
		w.Fatalf("%s %s: %s %v", method, name, o.Status, o.Error)
	}
}

func (w *world) refuse(err error, status int, code, part string) {
	w.Helper()
	var e *arm.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || !strings.Contains(e.Error(), part) {
		w.Errorf("got %v, want %d %s %q", err, status, code, part)
	}
}

// holds reads what an image says that a machine's disk is made of.
func (w *world) holds(name string, lun int, want string) image.Ref {
	w.Helper()
	var ref image.Ref
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		ref, _, err = w.managed.Manifest(tx, w.id("images/"+name), lun, "eastus")
		return err
	}))
	r, err := w.images.Open(context.Background(), "eastus", ref)
	w.must(err)
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, 0); err != nil || string(got) != want {
		w.Errorf("LUN %d holds %q, want %q: %v", lun, got, want, err)
	}
	return ref
}

func (w *world) pins(ref image.Ref) (list []string) {
	w.Helper()
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		list, err = w.images.Pins(tx, ref, "eastus")
		return err
	}))
	return list
}
