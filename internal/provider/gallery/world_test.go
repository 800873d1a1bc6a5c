package gallery_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
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
	"vitrine/internal/image/format"
	"vitrine/internal/operation"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/gallery"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenantA = "aaaaaaaa-0000-4000-8000-000000000001"
	tenantB = "bbbbbbbb-0000-4000-8000-000000000002"
	subA    = "aaaaaaaa-0000-4000-8000-00000000000a"
	subB    = "bbbbbbbb-0000-4000-8000-00000000000b"
	owner   = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	reader  = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	groupA  = "/subscriptions/" + subA + "/resourceGroups/rg"
	groupB  = "/subscriptions/" + subB + "/resourceGroups/rg"
	compute = "/providers/Microsoft.Compute/"
)

// world is a control plane with both providers, two tenants and a running engine.
type world struct {
	*testing.T
	store     *store.Store
	control   *control.Control
	images    *image.Store
	disks     *disk.Provider
	sealer    *seal.Sealer
	galleries *gallery.Provider

	mu      *sync.Mutex
	buckets map[string]*blob.Bucket
	down    map[string]error         // what regions' storage fails with
	gates   map[string]chan struct{} // what regions' buckets wait for at each object that they are to take
	looks   int                      // calls of bucket
	crashAt int                      // at this call the engine is stopped; 0: never
	stop    func()                   // ends the engine
	start   func()                   // begins another one
	group   *sync.WaitGroup          // of engines
	crashed chan struct{}
	later   time.Duration            // that the clock is ahead
	others  map[string]source.Source // machines, managed images, snapshots; by lower-case ID
	blobs   map[string][]byte        // VHDs by URI; all in eastus
	files   map[string]file          // packages of applications by URL without query
	frozen  map[string][]byte        // what Freeze packs, by lower-case ID of the disk
	unique  map[string]string        // the uniqueId that Freeze finds
}

func principal(tenant string) authn.Principal {
	return authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-0000000000" + tenant[:2], AppID: "app", Kind: authn.ServicePrincipal}
}

var (
	inA    = authn.Caller{Primary: principal(tenantA)}
	inB    = authn.Caller{Primary: principal(tenantB)}
	inBAux = authn.Caller{Primary: principal(tenantB), Auxiliary: []authn.Principal{principal(tenantA)}}
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, mu: &sync.Mutex{}, crashed: make(chan struct{}, 1), buckets: map[string]*blob.Bucket{}, down: map[string]error{},
		gates: map[string]chan struct{}{}, others: map[string]source.Source{}, blobs: map[string][]byte{}, files: map[string]file{}, frozen: map[string][]byte{}, unique: map[string]string{}, store: store.New(memstore.Open())}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dir := t.TempDir()
	var err error
	w.images, err = image.New(image.Config{Store: w.store, Dir: dir, Workers: 2, Buckets: w.bucket})
	w.must(err)
	var engine *operation.Engine
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Now: time.Now, Log: log, Kick: func() { engine.Kick() }})
	sealer, err := seal.New(make([]byte, seal.KeySize))
	w.sealer = sealer
	w.must(err)
	w.galleries = gallery.Register(w.control, gallery.Config{Images: w.images, Now: w.now, Sources: w, Blobs: vhds{w}, Files: w, Foreign: w.foreign, Limits: gallery.Limits{Galleries: 1000}})
	w.disks = disk.Register(w.control, disk.Config{Images: w.images, Versions: w.galleries, Seal: sealer, Dir: dir,
		Overlay: func(_ context.Context, base, path string, size int64) error {
			return os.WriteFile(path, fmt.Appendf(nil, "%s %d", base, size), 0o600)
		}})
	works := w.galleries.Works()
	for name, work := range w.disks.Works() {
		works[name] = work
	}
	engine = operation.New(w.store, "test", works, log)
	group := &sync.WaitGroup{}
	w.group = group
	w.start = func() {
		ctx, stop := context.WithCancel(context.Background())
		w.stop = stop
		group.Go(func() { engine.Run(ctx, 2) })
	}
	w.start()
	t.Cleanup(func() { w.stop(); group.Wait(); w.images.Close(); w.store.Close() })
	w.populate()
	return w
}

func (w *world) bucket(region string) (*blob.Bucket, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looks++; w.looks == w.crashAt {
		w.stop()
		w.crashed <- struct{}{}
		return nil, errors.New("crashed")
	}
	if err := w.down[region]; err != nil {
		return nil, err
	}
	if w.buckets[region] == nil {
		w.buckets[region] = memblob.New()
		if w.gates[region] != nil {
			w.buckets[region] = blob.New(&gated{Bucket: memblob.New(), gate: w.gates[region]})
		}
	}
	return w.buckets[region], nil
}

// errDown is of a region that is out of order.
var errDown = errors.New("out of order")

func (w *world) setDown(region string, fault error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[region] = fault
}

func (w *world) populate() {
	w.update(func(tx store.Tx) error {
		for tenant, sub := range map[string]string{tenantA: subA, tenantB: subB} {
			if err := control.WriteSubscription(tx, control.Subscription{ID: sub, Name: sub, State: "Enabled", Tenant: tenant}); err != nil {
				return err
			}
			group := arm.ID{Subscription: sub, ResourceGroup: "rg"}
			if _, err := tx.Put(store.Document{Key: group.Key(), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)}); err != nil {
				return err
			}
			if err := assign(tx, principal(tenant), owner, "/subscriptions/"+sub); err != nil {
				return err
			}
		}
		return nil
	})
}

func assign(tx store.Tx, p authn.Principal, role, scope string) error {
	a := rbac.Assignment{Principal: p.ObjectID, Scope: strings.ToLower(scope), Definition: role}
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, role, p.ObjectID, scope)
	_, err := tx.Put(store.Document{Key: strings.ToLower(scope) + "/assignment/" + p.ObjectID, Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: []byte(body)})
	return err
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) update(f func(store.Tx) error) {
	w.Helper()
	w.must(w.store.Update(context.Background(), f))
}

func (w *world) view(f func(store.Tx) error) error { return w.store.View(context.Background(), f) }

// do sends one request.
func (w *world) do(caller authn.Caller, method, path, body string) (*control.Response, error) {
	return w.send(caller, method, path, body, nil)
}

// conditional sends one with a header.
func (w *world) conditional(method, path, body, header, value string) (*control.Response, error) {
	return w.send(inA, method, path, body, http.Header{header: {value}})
}

func (w *world) send(caller authn.Caller, method, path, body string, header http.Header) (*control.Response, error) {
	p, q, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(q)
	w.must(err)
	if !query.Has("api-version") {
		query.Set("api-version", "2024-03-03")
	}
	return w.control.Do(context.Background(), control.Request{Method: method, Path: p, Query: query, Header: header, Body: []byte(body), Caller: caller, Base: "https://management.azure.com"})
}

// get reads a resource.
func (w *world) get(caller authn.Caller, path string) map[string]any {
	w.Helper()
	r, err := w.do(caller, "GET", path, "")
	w.must(err)
	return decode(w, r.Body)
}

func decode(w *world, body []byte) map[string]any {
	w.Helper()
	var v map[string]any
	w.must(json.Unmarshal(body, &v))
	return v
}

// refuse wants an error of this status and code whose message and target have these parts.
func (w *world) refuse(err error, status int, code, part, target string) {
	w.Helper()
	var e *arm.Error
	if !errors.As(err, &e) {
		w.Fatalf("got %v, want %s", err, code)
	}
	if e.Status != status || e.Code != code || !strings.Contains(e.Message, part) || target != "" && e.Target != target {
		w.Fatalf("got %d %s %q at %q, want %d %s %q at %q", e.Status, e.Code, e.Message, e.Target, status, code, part, target)
	}
}

// wait follows the operation of an answer to its end and returns it.
func (w *world) wait(r *control.Response) *operation.Operation {
	w.Helper()
	at := r.Header.Get("Azure-AsyncOperation")
	if at == "" {
		w.Fatal("no Azure-AsyncOperation")
	}
	u, err := url.Parse(at)
	w.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	id := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var o *operation.Operation
		w.must(w.view(func(tx store.Tx) (err error) {
			o, err = operation.Get(tx, id)
			return err
		}))
		if o.Terminal() {
			return o
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.Fatalf("operation %s (%s) does not end: %+v", id, o.Work, o)
		}
	}
}

// done does a request and waits for its success.
func (w *world) done(caller authn.Caller, method, path, body string) *operation.Operation {
	w.Helper()
	r, err := w.do(caller, method, path, body)
	w.must(err)
	o := w.wait(r)
	if o.Status != operation.Succeeded {
		w.Fatalf("%s %s: %s %v", method, path, o.Status, o.Error)
	}
	return o
}

// noise is a disk's content that does not compress.
func noise(size int, seed string) []byte {
	b := make([]byte, 0, size)
	for i := 0; len(b) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s%d", seed, i))
		b = append(b, sum[:]...)
	}
	return b[:size]
}

// upload makes a disk with this content by beginGetAccess, the door's Grant, and endGetAccess.
func (w *world) upload(caller authn.Caller, path, location string, content []byte, extra string) {
	w.Helper()
	wire := len(content) + format.FooterSize
	w.done(caller, "PUT", path, fmt.Sprintf(`{"location":%q,"properties":{"creationData":{"createOption":"Upload","uploadSizeBytes":%d}%s}}`, location, wire, extra))
	o := w.done(caller, "POST", path+"/beginGetAccess", `{"access":"write","durationInSeconds":3600}`)
	c := w.open(sasOf(w, o)).(interface {
		WriteAt([]byte, int64) (int, error)
		Close() error
	})
	_, err := c.WriteAt(content, 0)
	w.must(err)
	foot := format.VHDFooter(int64(len(content)))
	_, err = c.WriteAt(foot[:], int64(len(content)))
	w.must(err)
	w.must(c.Close())
	w.done(caller, "POST", path+"/endGetAccess", "")
}

func sasOf(w *world, o *operation.Operation) *url.URL {
	w.Helper()
	if bytes.Contains(o.Output, []byte("sig=")) || !o.Sealed {
		w.Fatalf("the signed URL lies in clear in the store: %s", o.Output)
	}
	var sealed string
	w.must(json.Unmarshal(o.Output, &sealed))
	plain, err := w.sealer.Open(sealed, o.Resource)
	w.must(err)
	var out struct{ AccessSAS string }
	w.must(json.Unmarshal(plain, &out))
	u, err := url.Parse(out.AccessSAS)
	w.must(err)
	return u
}

// open is what the dataplane door does with a signed URL.
func (w *world) open(u *url.URL) disk.Content {
	w.Helper()
	g, err := w.disks.Grant(context.Background(), u.Host, u.Path)
	w.must(err)
	if g.ID != u.Query().Get("si") {
		w.Fatalf("grant %s, URL %s", g.ID, u)
	}
	c, err := g.Open(context.Background())
	w.must(err)
	return c
}

func (w *world) absent(path string) {
	w.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		w.Errorf("%s is still there: %v", path, err)
	}
}

// restartUntil begins another engine whenever one was stopped, until done.
func (w *world) restartUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-w.crashed:
			w.mu.Lock()
			w.start()
			w.mu.Unlock()
		}
	}
}
