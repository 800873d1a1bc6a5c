package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/operation/operationtest"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/vm"
	"vitrine/internal/vm/fakevm"
)

const (
	tenant   = "11111111-1111-1111-1111-111111111111"
	sub      = "22222222-2222-2222-2222-222222222222"
	owner1   = "33333333-3333-3333-3333-333333333333"
	tenantB  = "aaaaaaaa-1111-1111-1111-111111111111"
	subB     = "bbbbbbbb-2222-2222-2222-222222222222"
	readerB  = "cccccccc-3333-3333-3333-333333333333"
	nicGUID  = "55555555-5555-5555-5555-555555555555"
	groupID  = "/subscriptions/" + sub + "/resourceGroups/rg"
	machines = groupID + "/providers/Microsoft.Compute/virtualMachines/"
	disksAt  = groupID + "/providers/Microsoft.Compute/disks/"
	nicID    = groupID + "/providers/Microsoft.Network/networkInterfaces/n"
	vnetID   = groupID + "/providers/Microsoft.Network/virtualNetworks/v"
	images   = "/subscriptions/" + subB + "/resourceGroups/pub/providers/Microsoft.Compute/galleries/g/images/"
)

// fakeImages knows four definitions: gen (generalized), spec, win, arm64; versions 1.0.0 in eastus only.
type fakeImages struct{}

func (fakeImages) Resolve(_ store.Tx, reference, location string) (Image, error) {
	id, err := arm.ParseID(reference)
	if err != nil {
		return Image{}, err
	}
	im := Image{ExactVersion: "1.0.0", OSType: "Linux", OSState: "Generalized", Generation: "V1", Architecture: "x64",
		Disks: []ImageDisk{{osDisk, 2}}, VersionID: strings.TrimSuffix(reference, "/versions/1.0.0") + "/versions/1.0.0"}
	switch id.Names[1] {
	case "spec":
		im.OSState = "Specialized"
	case "win":
		im.OSType = "Windows"
	case "arm64":
		im.Architecture = "Arm64"
	case "data":
		im.Disks, im.Generation = append(im.Disks, ImageDisk{0, 4}), "V2"
	}
	if location != "eastus" || len(id.Names) > 2 && id.Name() != "1.0.0" {
		return im, arm.Errorf(404, "GalleryImageNotFound", "The gallery image %s is not available in %s region. Please contact image owner to replicate to this region, or change your requested region.", reference, location).At("imageReference")
	}
	return im, nil
}

// fakeDisks keeps documents in the store, as the real provider does, and files in a folder.
type fakeDisks struct {
	store *store.Store
	dir   string
	mu    sync.Mutex
	fail  error
}

type diskDoc struct {
	New      NewDisk
	Owner    string
	Reserved bool
}

func (f *fakeDisks) load(tx store.Tx, id arm.ID) (diskDoc, store.Document, error) {
	d, err := tx.Get(id.Key())
	var doc diskDoc
	if err == nil {
		err = json.Unmarshal(d.Body, &doc)
	}
	return doc, d, err
}

func (f *fakeDisks) save(tx store.Tx, id arm.ID, doc diskDoc, etag int64) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: id.Key(), Kind: control.Kind(diskType), Body: body, ETag: etag})
	return err
}

func (f *fakeDisks) Create(tx store.Tx, d NewDisk) error {
	return f.save(tx, d.ID, diskDoc{New: d, Owner: d.Owner.String()}, 0)
}

func (f *fakeDisks) own(tx store.Tx, id arm.ID, owner string) error {
	doc, d, err := f.load(tx, id)
	if err != nil {
		return err
	}
	doc.Owner = owner
	return f.save(tx, id, doc, d.ETag)
}

func (f *fakeDisks) Attach(tx store.Tx, disk, machine arm.ID) error {
	return f.own(tx, disk, machine.String())
}
func (f *fakeDisks) Detach(tx store.Tx, disk arm.ID) error { return f.own(tx, disk, "") }
func (f *fakeDisks) Delete(tx store.Tx, disk arm.ID) error {
	if err := tx.Delete(disk.Key(), 0); err != nil {
		return err
	}
	_, err := tx.Put(store.Document{Key: "left" + disk.Key(), Kind: "leftover", Body: []byte("{}")})
	if errors.Is(err, store.ErrConflict) {
		return nil // deleted before, under the same name
	}
	return err
}

func (f *fakeDisks) SetRunning(tx store.Tx, disk arm.ID, running bool) error {
	doc, d, err := f.load(tx, disk)
	if err != nil {
		return err
	}
	doc.Reserved = !running
	return f.save(tx, disk, doc, d.ETag)
}

func (f *fakeDisks) path(id arm.ID) string {
	return filepath.Join(f.dir, strings.ReplaceAll(id.Key(), "/", "_"))
}

func (f *fakeDisks) Materialise(_ context.Context, disk arm.ID) (vm.Disk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return vm.Disk{}, f.fail
	}
	return vm.Disk{Path: f.path(disk), Format: vm.QCOW2}, os.WriteFile(f.path(disk), nil, 0o600)
}

func (f *fakeDisks) Info(tx store.Tx, disk arm.ID) (DiskInfo, error) {
	doc, _, err := f.load(tx, disk)
	return DiskInfo{SizeGB: doc.New.SizeGB, OSType: doc.New.OSType, Generation: doc.New.Generation, Location: doc.New.Location,
		SKU: doc.New.SKU, Owner: doc.Owner}, err
}

func (f *fakeDisks) Discard(ctx context.Context, disk arm.ID) error {
	err := f.store.View(ctx, func(tx store.Tx) error { _, err := tx.Get("left" + disk.Key()); return err })
	if errors.Is(err, store.ErrNotFound) {
		return nil // not deleted: its files stay
	}
	if err := os.Remove(f.path(disk)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// fakeNetwork keeps who has the interface and whether it is on the wire, in one document.
type fakeNetwork struct {
	applied int
	status  vm.EndpointStatus
}

type nicDoc struct{ VM, Live string }

func (f *fakeNetwork) edit(tx store.Tx, nic arm.ID, change func(*nicDoc) error) error {
	d, err := tx.Get(nic.Key())
	if err != nil {
		return arm.Errorf(400, "InvalidResourceReference", "Resource %s was not found.", nic)
	}
	var doc nicDoc
	if err := errors.Join(json.Unmarshal(d.Body, &doc), change(&doc)); err != nil {
		var visible *arm.Error
		if errors.As(err, &visible) {
			return visible
		}
		return err
	}
	d.Body, err = json.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = tx.Put(d)
	return err
}

func (f *fakeNetwork) Attach(tx store.Tx, nic, machine arm.ID, location string) error {
	return f.edit(tx, nic, func(d *nicDoc) error {
		if location != "eastus" {
			return arm.Errorf(400, "InvalidResourceReference", "Resource %s was not found.", nic)
		}
		if d.VM != "" && d.VM != machine.Key() {
			return arm.Errorf(409, "NicInUse", "Network Interface %s is used by existing resource %s.", nic, d.VM)
		}
		d.VM = machine.Key()
		return nil
	})
}

func (f *fakeNetwork) Detach(tx store.Tx, nic, machine arm.ID) error {
	return f.edit(tx, nic, func(d *nicDoc) error {
		if d.VM == machine.Key() {
			*d = nicDoc{}
		}
		return nil
	})
}

func (f *fakeNetwork) Delete(tx store.Tx, nic arm.ID) error { return tx.Delete(nic.Key(), 0) }

func (f *fakeNetwork) Activate(tx store.Tx, nic, machine arm.ID, guid, _ string) error {
	return f.edit(tx, nic, func(d *nicDoc) error {
		if d.VM == machine.Key() {
			d.Live = guid
		}
		return nil
	})
}

func (f *fakeNetwork) Deactivate(tx store.Tx, nic arm.ID, machine string) error {
	return f.edit(tx, nic, func(d *nicDoc) error {
		if d.Live == machine {
			d.Live = ""
		}
		return nil
	})
}

func (f *fakeNetwork) Wire(tx store.Tx, nic arm.ID) (vm.NIC, arm.ID, error) {
	if _, err := tx.Get(nic.Key()); err != nil {
		return vm.NIC{}, arm.ID{}, err
	}
	id, err := arm.ParseID(vnetID)
	return vm.NIC{ID: nicGUID, MAC: "60:45:bd:00:00:01"}, id, err
}

func (f *fakeNetwork) Apply(context.Context, arm.ID) error { f.applied++; return nil }

func (f *fakeNetwork) Status(context.Context, store.Tx, arm.ID) (vm.EndpointStatus, error) {
	return f.status, nil
}

// opener opens a machine's seed at its start and keeps it open, as QEMU does.
type opener struct {
	*fakevm.Runtime
	mu    sync.Mutex
	seeds map[string]*os.File
}

func (o *opener) Start(ctx context.Context, m vm.Machine) error {
	if m.Seed != "" {
		f, err := os.Open(m.Seed)
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.seeds[m.ID] = f
		o.mu.Unlock()
	}
	return o.Runtime.Start(ctx, m)
}

// seed is what the machine reads from its seed, which has no name any more.
func (w *world) seed(id string) []byte {
	w.t.Helper()
	w.opener.mu.Lock()
	defer w.opener.mu.Unlock()
	b, err := io.ReadAll(io.NewSectionReader(w.opener.seeds[id], 0, 1<<30))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

type world struct {
	t        *testing.T
	opener   *opener
	control  *control.Control
	provider *Provider
	runtime  *fakevm.Runtime
	disks    *fakeDisks
	network  *fakeNetwork
	caller   authn.Caller
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s := store.New(memstore.Open())
	log := slog.New(slog.DiscardHandler)
	w := &world{t: t, runtime: fakevm.New(), disks: &fakeDisks{store: s, dir: t.TempDir()}, network: &fakeNetwork{}}
	w.caller = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: owner1, AppID: "app"},
		Auxiliary: []authn.Principal{{TenantID: tenantB, ObjectID: readerB, AppID: "app"}}}
	w.opener = &opener{Runtime: w.runtime, seeds: map[string]*os.File{}}
	var engine *operation.Engine
	w.control = control.New(control.Config{Store: s, RBAC: rbac.New(control.TenantOf), Kick: func() { engine.Kick() }, Now: time.Now, Log: log})
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w.provider, err = Register(w.control, Config{Images: fakeImages{}, Disks: w.disks, Network: w.network, Runtime: w.opener,
		Sealer: sealer, Seeds: filepath.Join(t.TempDir(), "seeds"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	engine = operation.New(s, "test", w.provider.Works(), log)
	w.update(seedStore)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); engine.Run(ctx, 1) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func seedStore(tx store.Tx) error {
	put := func(key, kind, body string, terms ...string) error {
		_, err := tx.Put(store.Document{Key: strings.ToLower(key), Kind: kind, Body: []byte(body), Terms: terms})
		return err
	}
	role := func(key, who, scope, definition string) error {
		a := rbac.Assignment{Principal: who, Scope: strings.ToLower(scope)}
		return put(key, rbac.AssignmentKind, fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, definition, who, scope), a.Terms()...)
	}
	return errors.Join(
		control.WriteSubscription(tx, control.Subscription{ID: sub, State: "Enabled", Tenant: tenant}),
		control.WriteSubscription(tx, control.Subscription{ID: subB, State: "Enabled", Tenant: tenantB}),
		put(groupID, control.GroupKind, `{"location":"eastus","properties":{"provisioningState":"Succeeded"}}`),
		put(nicID, "microsoft.network/networkinterfaces", `{}`),
		role("/a1", owner1, "/subscriptions/"+sub, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
		role("/a2", readerB, "/subscriptions/"+subB, "acdd72a7-3385-48ef-bd42-f606fba81ae7"))
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.control.Store().Update(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) do(method, path, body string) (map[string]any, int, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	p, query, _ := strings.Cut(path, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		w.t.Fatal(err)
	}
	q.Set("api-version", "2022-11-01")
	r, err := w.control.Do(ctx, control.Request{Method: method, Path: p, Query: q, Body: []byte(body), Caller: w.caller, Base: "https://management.azure.com"})
	if err != nil {
		return nil, 0, err
	}
	if follow := r.Header.Get("Azure-AsyncOperation"); follow != "" {
		u, err := url.Parse(follow)
		if err != nil {
			w.t.Fatal(err)
		}
		o, err := operationtest.Wait(ctx, w.control.Store(), u.Path[strings.LastIndexByte(u.Path, '/')+1:])
		if err != nil {
			w.t.Fatal(err)
		}
		if o.Error != nil {
			return nil, r.Status, o.Error
		}
	}
	var out map[string]any
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, r.Body)
		}
	}
	return out, r.Status, nil
}

func (w *world) must(method, path, body string) map[string]any {
	w.t.Helper()
	out, _, err := w.do(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return out
}

func (w *world) fails(method, path, body, code string, says ...string) {
	w.t.Helper()
	_, _, err := w.do(method, path, body)
	var e *arm.Error
	if !errors.As(err, &e) {
		w.t.Errorf("%s %s: got %v, want %s", method, path, err, code)
		return
	}
	if e.Code != code {
		w.t.Errorf("%s %s: code %s (%s), want %s", method, path, e.Code, e.Message, code)
	}
	for _, s := range says {
		if !strings.Contains(e.Message+" "+e.Target, s) {
			w.t.Errorf("%s %s: %q at %q does not say %q", method, path, e.Message, e.Target, s)
		}
	}
}

func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (w *world) nic() (doc nicDoc) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		d, err := tx.Get(strings.ToLower(nicID))
		if err != nil {
			return err
		}
		return json.Unmarshal(d.Body, &doc)
	})
	return doc
}

// traces lists what a machine leaves: disk documents, disk files, seeds, processes.
func (w *world) traces() (out []string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		out = nil
		docs, err := tx.List(store.Query{Kind: control.Kind(diskType)})
		for _, d := range docs {
			out = append(out, "disk "+d.Key)
		}
		return err
	})
	for _, dir := range []string{w.disks.dir, w.provider.Seeds} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, "file "+e.Name())
		}
	}
	list, err := w.runtime.List(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, st := range list {
		out = append(out, "process "+st.ID)
	}
	if n := w.nic(); n != (nicDoc{}) {
		out = append(out, fmt.Sprintf("interface %+v", n))
	}
	return out
}
