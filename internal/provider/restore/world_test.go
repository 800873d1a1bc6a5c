package restore_test

import (
	"bytes"
	"context"
	"encoding/json"
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
	"vitrine/internal/provider/restore"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant = "aaaaaaaa-0000-4000-8000-000000000001"
	sub    = "aaaaaaaa-0000-4000-8000-00000000000a"
	group  = "/subscriptions/" + sub + "/resourceGroups/rg"
	rpc    = group + "/providers/Microsoft.Compute/restorePointCollections/c"
	point  = rpc + "/restorePoints/p"
	size   = 1 << 20

	otherTenant = "bbbbbbbb-0000-4000-8000-000000000001"
	otherSub    = "bbbbbbbb-0000-4000-8000-00000000000b"
	otherVM     = "/subscriptions/" + otherSub + "/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/victim"
)

// The callers: an owner of the subscription, who may write collections only, and who may read the machine but not its disks.
var (
	caller = as(1)
	writer = as(2)
	reader = as(3)
)

func as(n int) authn.Caller {
	return authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", n), AppID: "app", Kind: authn.ServicePrincipal}}
}

// world has the provider, and machines that the test makes up.
type world struct {
	*testing.T
	store   *store.Store
	control *control.Control
	images  *image.Store
	points  *restore.Provider

	mu      sync.Mutex
	sources map[string]source.Source
	content map[string]string // of disks, by key
	unique  map[string]string
	reads   int
	read    func(n int) // before the n-th reading of a disk
}

func (w *world) Source(_ store.Tx, id arm.ID) (source.Source, error) {
	s, ok := w.sources[id.Key()]
	if !ok {
		return s, store.ErrNotFound
	}
	return s, nil
}

func (w *world) Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error) {
	w.mu.Lock()
	w.reads++
	if w.read != nil {
		w.read(w.reads)
	}
	text, ok := w.content[id.Key()]
	ok = ok && w.unique[id.Key()] == uniqueID
	w.mu.Unlock()
	if !ok {
		return image.Ref{}, store.ErrNotFound
	}
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
	w.points = restore.Register(w.control, restore.Config{Images: w.images, Sources: w, Machine: func(store.Tx, arm.ID) (restore.Machine, error) {
		return restore.Machine{VMID: "the-vm", Size: "Standard_B1s", OS: json.RawMessage(`{"computerName":"host"}`)}, nil
	}})
	engine = operation.New(w.store, "test", w.points.Works(), log)
	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	workers.Go(func() { engine.Run(ctx, 2) })
	t.Cleanup(func() { stop(); workers.Wait(); w.images.Close(); w.store.Close() })
	w.must(w.store.Update(ctx, populate))
	w.machine("vm", "eastus", "os", "data")
	w.machine("one", "eastus", "single")
	w.machine("west", "westus", "far")
	w.sources[w.parse(otherVM).Key()] = w.sources[w.id("virtualMachines/vm").Key()]
	return w
}

func populate(tx store.Tx) error {
	for s, owner := range map[string]string{sub: tenant, otherSub: otherTenant} {
		if err := control.WriteSubscription(tx, control.Subscription{ID: s, State: "Enabled", Tenant: owner}); err != nil {
			return err
		}
	}
	for _, a := range []struct {
		who   authn.Caller
		role  string
		scope string
	}{
		{caller, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "/subscriptions/" + sub}, // Owner
		{writer, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", rpc},
		{reader, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", rpc},
		{reader, "acdd72a7-3385-48ef-bd42-f606fba81ae7", group + "/providers/Microsoft.Compute/virtualMachines/vm"}, // Reader
	} {
		p := a.who.Primary.ObjectID
		body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, a.role, p, a.scope)
		if _, err := tx.Put(store.Document{Key: a.scope + "/" + p + a.role, Kind: rbac.AssignmentKind, Terms: rbac.Assignment{Principal: p, Scope: a.scope}.Terms(), Body: []byte(body)}); err != nil {
			return err
		}
	}
	_, err := tx.Put(store.Document{Key: strings.ToLower(group), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)})
	return err
}

// machine makes one up with disks of these names.
func (w *world) machine(name, location string, disks ...string) {
	s := source.Source{ID: w.id("virtualMachines/" + name), Location: location, OSType: "Linux", Generation: "V2", Architecture: "x64"}
	for i, d := range disks {
		id := w.id("disks/" + d)
		s.Disks = append(s.Disks, source.Disk{LUN: i - 1, ID: id, UniqueID: "u-" + d, SizeGB: 1, Caching: "None", SKU: "Standard_LRS"})
		w.content[id.Key()], w.unique[id.Key()] = "content of "+d, "u-"+d
	}
	w.sources[s.ID.Key()] = s
}

func (w *world) id(path string) arm.ID {
	return w.parse(group + "/providers/Microsoft.Compute/" + path)
}

func (w *world) parse(text string) arm.ID {
	w.Helper()
	id, err := arm.ParseID(text)
	w.must(err)
	return id
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) do(c authn.Caller, method, path, body string) (*control.Response, error) {
	path, query, _ := strings.Cut(path, "?")
	q, err := url.ParseQuery(query)
	w.must(err)
	q.Set("api-version", "2024-11-01")
	return w.control.Do(context.Background(), control.Request{Method: method, Path: path, Body: []byte(body), Caller: c, Query: q, Base: "https://management.azure.com"})
}

// get reads a resource into a tree.
func (w *world) get(path string) (tree map[string]any) {
	w.Helper()
	r, err := w.do(caller, "GET", path, "")
	w.must(err)
	w.must(json.Unmarshal(r.Body, &tree))
	return tree
}

// end does a request and waits for the end of its operation.
func (w *world) end(method, path, body string, status int) *operation.Operation {
	w.Helper()
	r, err := w.do(caller, method, path, body)
	w.must(err)
	u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
	w.must(err)
	if r.Status != status || !strings.Contains(u.Path, "/locations/eastus/operations/") {
		w.Fatalf("%s: %d, status URL %s", method, r.Status, u)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	o, err := operationtest.Wait(ctx, w.store, u.Path[strings.LastIndexByte(u.Path, '/')+1:])
	w.must(err)
	return o
}

func (w *world) done(method, path, body string, status int) {
	w.Helper()
	if o := w.end(method, path, body, status); o.Status != operation.Succeeded {
		w.Fatalf("%s %s: %s %v", method, path, o.Status, o.Error)
	}
}

// collect makes the collection c of a machine.
func (w *world) collect(machine string) {
	w.Helper()
	_, err := w.do(caller, "PUT", rpc, `{"location":"eastus","properties":{"source":{"id":"`+w.id("virtualMachines/"+machine).String()+`"}}}`)
	w.must(err)
}

func (w *world) refuse(err error, status int, code, part string) {
	w.Helper()
	var e *arm.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || !strings.Contains(e.Error(), part) {
		w.Errorf("got %v, want %d %s %q", err, status, code, part)
	}
}

// offered is what a disk is made from.
func (w *world) offered(id string) (s source.Source, err error) {
	_ = w.store.View(context.Background(), func(tx store.Tx) error {
		s, err = w.points.Offer(tx, w.parse(id))
		return err
	})
	return s, err
}

// holds compares what a disk restore point has.
func (w *world) holds(id, want string) image.Ref {
	w.Helper()
	s, err := w.offered(id)
	w.must(err)
	r, err := w.images.Open(context.Background(), "eastus", s.Disks[0].Ref)
	w.must(err)
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, 0); err != nil || string(got) != want {
		w.Errorf("%s holds %q, want %q: %v", id, got, want, err)
	}
	return s.Disks[0].Ref
}

func (w *world) pins(ref image.Ref) (list []string) {
	w.Helper()
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		list, err = w.images.Pins(tx, ref, "eastus")
		return err
	}))
	return list
}
