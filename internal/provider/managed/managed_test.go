package managed_test

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
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	o, err := w.control.Wait(ctx, u.Path[strings.LastIndexByte(u.Path, '/')+1:])
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

const fromModel = `{"location":"eastus","properties":{"sourceVirtualMachine":{"id":"` + compute + `virtualMachines/model"}}}`

// TestFromMachine: an image has all disks of a generalized machine, and what the machine says of its system.
func TestFromMachine(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", "i", fromModel, 201)
	os, data := w.holds("i", -1, "what a machine wrote"), w.holds("i", 3, "its data")
	r, err := w.as(caller, "GET", compute+"images/i", "")
	w.must(err)
	for _, part := range []string{`"provisioningState":"Succeeded"`, `"hyperVGeneration":"V2"`, `"osState":"Generalized"`, `"osType":"Linux"`, `"diskSizeGB":2`,
		`"storageAccountType":"Premium_LRS"`, `"lun":3`, `"caching":"ReadOnly"`, compute + `disks/frozen`} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("no %s in %s", part, r.Body)
		}
	}
	if strings.Contains(string(r.Body), "content") || strings.Contains(string(r.Body), os.ID) {
		t.Errorf("private members are shown: %s", r.Body)
	}
	w.done("PUT", "i", string(r.Body), 200) // what was read can be written
	w.done("PATCH", "i", `{"tags":{"a":"b"}}`, 200)
	if w.frozen != 2 {
		t.Errorf("disks were read %d times, want 2", w.frozen)
	}
	var offered source.Source
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		offered, err = w.managed.Offer(tx, w.id("images/i"))
		return err
	}))
	if offered.OSState != "Generalized" || offered.Architecture != "x64" || len(offered.Disks) != 2 || offered.Disks[1].Ref != data || offered.Disks[1].LUN != 3 || offered.Disks[1].Caching != "ReadOnly" {
		t.Errorf("offered %+v", offered)
	}
	w.done("DELETE", "i", "", 202)
	for _, ref := range []image.Ref{os, data} {
		if p := w.pins(ref); len(p) != 0 {
			t.Errorf("pins left: %v", p)
		}
	}
}

func TestFromDisks(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", "i", storage(`{"osType":"linux","osState":"generalized","snapshot":{"id":"`+compute+`snapshots/known"}}`, `{"lun":7,"managedDisk":{"id":"`+compute+`disks/data"},"diskSizeGB":5}`), 201)
	w.holds("i", -1, "known")
	w.holds("i", 7, "its data")
	r, err := w.as(caller, "GET", compute+"images/i", "")
	w.must(err)
	for _, part := range []string{`"hyperVGeneration":"V2"`, `"diskSizeGB":5`, `"caching":"None"`, `"osState":"Generalized"`} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("no %s in %s", part, r.Body)
		}
	}
	var s shown
	w.must(json.Unmarshal(r.Body, &s))
	if len(s.Properties.StorageProfile.DataDisks) != 1 {
		t.Errorf("%s", r.Body)
	}
	err = w.store.View(context.Background(), func(tx store.Tx) error {
		_, _, err := w.managed.Manifest(tx, w.id("images/i"), 8, "eastus")
		w.refuse(err, 400, "InvalidParameter", "no data disk at LUN '8'")
		_, err = w.managed.Resolve(tx, w.id("images/i"), "westus")
		w.refuse(err, 404, "ImageNotFound", "westus")
		_, err = w.managed.Resolve(tx, w.id("images/none"), "eastus")
		w.refuse(err, 404, "ImageNotFound", "none")
		return nil
	})
	w.must(err)
}

type shown struct {
	Properties struct {
		StorageProfile struct{ DataDisks []json.RawMessage }
	}
}

func storage(os, data string) string {
	return `{"location":"eastus","properties":{"storageProfile":{"osDisk":` + os + `,"dataDisks":[` + data + `]}}}`
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", "there", fromModel, 201)
	disk := func(name string) string {
		return `{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"` + compute + `disks/` + name + `"}}`
	}
	data := func(lun, name string) string {
		return `{"lun":` + lun + `,"managedDisk":{"id":"` + compute + `disks/` + name + `"}}`
	}
	for _, row := range []struct {
		name, image, body string
		status            int
		code, part        string
	}{
		{"name", "a.", fromModel, 400, "InvalidParameter", "validation rule"},
		{"nothing", "i", `{"location":"eastus"}`, 400, "InvalidParameter", "osDisk"},
		{"no system", "i", storage(`{"managedDisk":{"id":"`+compute+`disks/frozen"}}`, ""), 400, "InvalidParameter", "osType"},
		{"specialized", "i", storage(strings.Replace(disk("frozen"), "Generalized", "Specialized", 1), ""), 400, "NotSupported", "specialized"},
		{"two sources", "i", storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"},"snapshot":{"id":"`+compute+`snapshots/known"}}`, ""), 400, "InvalidParameter", "Exactly one"},
		{"no source", "i", storage(`{"osType":"Linux","osState":"Generalized"}`, ""), 400, "InvalidParameter", "Exactly one"},
		{"blob elsewhere", "i", storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://x"}`, ""), 400, "InvalidParameter", "no storage account"},
		{"blob in another region", "i", storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://west/x"}`, ""), 400, "InvalidParameter", "same location"},
		{"blob and disk", "i", storage(strings.Replace(disk("frozen"), `{"osType`, `{"blobUri":"https://acc/x","osType`, 1), ""), 400, "InvalidParameter", "Exactly one"},
		{"blob twice", "i", storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://acc/x"}`, `{"lun":0,"blobUri":"https://acc/x"}`), 400, "InvalidParameter", "more than one disk"},
		{"another type", "i", storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`snapshots/known"}}`, ""), 400, "LinkedInvalidPropertyId", "managedDisk"},
		{"not there", "i", storage(disk("none"), ""), 404, "ResourceNotFound", "none"},
		{"elsewhere", "i", storage(disk("west"), ""), 404, "ResourceNotFound", "west"},
		{"other system", "i", storage(disk("win"), ""), 400, "InvalidParameter", "Windows"},
		{"too small", "i", storage(strings.Replace(disk("frozen"), `{"osType`, `{"diskSizeGB":1,"osType`, 1), ""), 400, "InvalidParameter", "smaller"},
		{"no lun", "i", storage(disk("frozen"), `{"managedDisk":{"id":"`+compute+`disks/data"}}`), 400, "InvalidParameter", "lun"},
		{"lun range", "i", storage(disk("frozen"), data("64", "data")), 400, "InvalidParameter", "out of range"},
		{"lun twice", "i", storage(disk("frozen"), data("1", "data")+","+data("1", "win")), 400, "InvalidParameter", "distinct luns"},
		{"source twice", "i", storage(disk("frozen"), data("1", "frozen")), 400, "InvalidParameter", "more than one disk"},
		{"key", "i", storage(strings.Replace(disk("frozen"), `{"osType`, `{"diskEncryptionSet":{"id":"/x"},"osType`, 1), ""), 400, "NotSupported", "customer's key"},
		{"not generalized", "i", strings.Replace(fromModel, "model", "running", 1), 409, "OperationNotAllowed", "since the VM is not generalized"},
		{"no machine", "i", strings.Replace(fromModel, "model", "none", 1), 404, "ResourceNotFound", "none"},
		{"not a machine", "i", strings.Replace(fromModel, "virtualMachines/model", "disks/frozen", 1), 400, "LinkedInvalidPropertyId", "sourceVirtualMachine"},
		{"machine and disks", "i", strings.Replace(fromModel, `"sourceV`, `"storageProfile":{"osDisk":`+disk("frozen")+`},"sourceV`, 1), 400, "InvalidParameter", "not allowed with"},
		{"other generation", "i", strings.Replace(fromModel, `"sourceV`, `"hyperVGeneration":"V1","sourceV`, 1), 400, "InvalidParameter", "generation"},
		{"other source later", "there", strings.Replace(fromModel, "model", "running", 1), 409, "PropertyChangeNotAllowed", "sourceVirtualMachine"},
		{"disks later", "there", storage(disk("data"), ""), 409, "PropertyChangeNotAllowed", "storageProfile"},
		{"generation later", "there", strings.Replace(fromModel, `"sourceV`, `"hyperVGeneration":"V1","sourceV`, 1), 409, "PropertyChangeNotAllowed", "hyperVGeneration"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inner := &world{T: t}
			_, err := w.as(caller, "PUT", compute+"images/"+row.image, row.body)
			inner.refuse(err, row.status, row.code, row.part)
		})
	}
}

func TestFromBlob(t *testing.T) {
	w := newWorld(t)
	body := storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://acc/c/good.vhd"}`, "")
	_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/images/i", body)
	w.refuse(err, 403, "AuthorizationFailed", "storageAccounts/listKeys/action")
	if text := shownError(err); strings.Contains(text, "secretgroup") {
		t.Errorf("the account's name tells its ID: %s", text)
	}
	for _, c := range []authn.Caller{caller, {Primary: caller.Primary, Auxiliary: []authn.Principal{foreigner}}} { // nor another tenant's
		_, there := w.as(c, "PUT", compute+"images/i", strings.Replace(body, "https://acc", "https://victim", 1))
		_, none := w.as(c, "PUT", compute+"images/i", strings.Replace(body, "https://acc", "https://nobody", 1))
		w.refuse(there, 400, "InvalidParameter", "no storage account of subscription")
		if a, b := shownError(there), strings.ReplaceAll(shownError(none), "nobody", "victim"); a != b {
			t.Errorf("an account that is there is told from one that is not:\n%s\n%s", a, b)
		}
	}
	w.done("PUT", "i", body, 201)
	w.holds("i", -1, "a VHD")
	r, err := w.as(caller, "GET", compute+"images/i", "")
	w.must(err)
	if !strings.Contains(string(r.Body), `"diskSizeGB":1`) || !strings.Contains(string(r.Body), `"blobUri":"https://acc/c/good.vhd"`) {
		t.Errorf("%s", r.Body)
	}
	w.done("PUT", "i", string(r.Body), 200)
	if o := w.end("PUT", "j", strings.Replace(body, "good", "none", 1), 201); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Errorf("%s %v", o.Status, o.Error)
	}
}

// TestFails: an image that failed is of no use, is made by the same request again, and leaves nothing pinned.
func TestFails(t *testing.T) {
	w := newWorld(t)
	w.fail = arm.Errorf(409, "Test", "cannot be read")
	if o := w.end("PUT", "i", fromModel, 201); o.Status != operation.Failed || o.Error.Code != "Test" {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	w.must(w.store.View(context.Background(), func(tx store.Tx) error {
		_, err := w.managed.Resolve(tx, w.id("images/i"), "eastus")
		w.refuse(err, 409, "OperationNotAllowed", "provisioning state is 'Failed'")
		return nil
	}))
	delete(w.content, w.id("disks/data").Key())
	if o := w.end("PUT", "i", fromModel, 200); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	w.content[w.id("disks/data").Key()] = "again"
	w.content[w.id("disks/frozen").Key()] = "changed"
	first, err := w.pack(context.Background(), "what a machine wrote")
	w.must(err)
	w.done("PUT", "i", fromModel, 200)
	w.holds("i", -1, "changed")
	w.holds("i", 3, "again")
	if p := w.pins(first); len(p) != 0 {
		t.Errorf("what the failed try had read is still pinned: %v", p)
	}
}

func shownError(err error) string {
	var e *arm.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	b, _ := json.Marshal(e)
	return fmt.Sprint(string(b), e.Status, e.Code, e.Message, e.Target, e.Details, e.AdditionalInfo)
}

// TestRecreated: a disk that was made anew under the source's name is not the one whose reading was allowed.
func TestRecreated(t *testing.T) {
	for name, body := range map[string]string{
		"machine": fromModel,
		"disk":    storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"}}`, ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, path := range []string{"disks/frozen", "virtualMachines/model"} {
				w.sources[w.id(path).Key()].Disks[0].UniqueID = "first"
			}
			w.unique[w.id("disks/frozen").Key()] = "second"
			if o := w.end("PUT", "i", body, 201); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
				t.Errorf("%s %v", o.Status, o.Error)
			}
			w.mu.Lock()
			w.unique[w.id("disks/frozen").Key()] = "first"
			w.mu.Unlock()
			w.done("PUT", "i", body, 200)
		})
	}
}

// TestMachineAlone: the right to write a machine is not the right to read its disks.
func TestMachineAlone(t *testing.T) {
	w := newWorld(t)
	grant := func(scope string) {
		w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return allow(tx, limited.Primary.ObjectID, strings.ToLower(scope)) }))
	}
	try := func() error {
		_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/images/i", fromModel)
		return err
	}
	grant(compute + "virtualMachines/model")
	err := try()
	w.refuse(err, 403, "LinkedAuthorizationFailed", "disks/beginGetAccess/action,Microsoft.Compute/disks/beginGetAccess/action'")
	grant(compute + "disks/frozen")
	w.refuse(try(), 403, "LinkedAuthorizationFailed", "disks/data'")
	grant(compute + "disks/data")
	w.must(try())
}

// TestLinks: who makes an image gets the bytes of its source.
func TestLinks(t *testing.T) {
	w := newWorld(t)
	for body, action := range map[string]string{
		fromModel: "virtualMachines/write",
		storage(`{"osType":"Linux","osState":"Generalized","snapshot":{"id":"`+compute+`snapshots/known"}}`, ""):                                                                          "snapshots/beginGetAccess/action",
		storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"}}`, ""):                                                                          "disks/beginGetAccess/action",
		storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"}}`, `{"lun":0,"snapshot":{"id":"`+strings.ToUpper(compute)+`SNAPSHOTS/known"}}`): "snapshots/beginGetAccess/action",
	} {
		_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/images/i", body)
		w.refuse(err, 403, "LinkedAuthorizationFailed", action)
	}
}
