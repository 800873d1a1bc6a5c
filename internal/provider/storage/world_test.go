package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant   = "aaaaaaaa-0000-4000-8000-000000000001"
	sub      = "aaaaaaaa-0000-4000-8000-00000000000a"
	other    = "aaaaaaaa-0000-4000-8000-00000000000b" // a second subscription of the tenant
	provided = "/providers/Microsoft.Storage/storageAccounts/"
)

func group(sub string) string { return "/subscriptions/" + sub + "/resourceGroups/rg" }

var caller = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-000000000001", AppID: "app", Kind: authn.ServicePrincipal}}

type world struct {
	*testing.T
	store    *store.Store
	control  *control.Control
	accounts *storage.Provider
	blobs    *content.Store
	images   *image.Store
	rbac     *rbac.Engine
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, store: store.New(memstore.Open())}
	t.Cleanup(func() { w.store.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	w.must(err)
	bucket := memblob.New()
	buckets := func(string) (*blob.Bucket, error) { return bucket, nil }
	w.images, err = image.New(image.Config{Store: w.store, Dir: t.TempDir(), Workers: 2, Buckets: buckets})
	w.must(err)
	t.Cleanup(func() { w.images.Close() })
	w.blobs = content.New(content.Config{Store: w.store, Images: w.images, Bucket: buckets})
	w.rbac = rbac.New(control.TenantOf)
	w.control = control.New(control.Config{Store: w.store, RBAC: w.rbac, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Kick: func() {}})
	w.accounts = storage.Register(w.control, storage.Config{Sealer: sealer, Blobs: w.blobs})
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error {
		return errors.Join(populate(tx, sub, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"), populate(tx, other, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"))
	}))
	return w
}

// populate makes a subscription with a group, on which the caller has a role.
func populate(tx store.Tx, sub, role string) error {
	if err := control.WriteSubscription(tx, control.Subscription{ID: sub, State: "Enabled", Tenant: tenant}); err != nil {
		return err
	}
	if _, err := tx.Put(store.Document{Key: strings.ToLower(group(sub)), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)}); err != nil {
		return err
	}
	p, scope := caller.Primary.ObjectID, "/subscriptions/"+sub
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, role, p, scope)
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
	return w.control.Do(context.Background(), control.Request{Method: method, Path: path, Body: []byte(body), Caller: caller,
		Query: url.Values{"api-version": {"2022-09-01"}}, Base: "https://management.azure.com"})
}

// ok does a request that must succeed with a status, and gives its answer.
func (w *world) ok(status int, method, path, body string) map[string]any {
	w.Helper()
	r, err := w.do(method, path, body)
	w.must(err)
	if r.Status != status {
		w.Fatalf("%s %s: status %d, want %d: %s", method, path, r.Status, status, r.Body)
	}
	var out map[string]any
	if len(r.Body) > 0 {
		w.must(json.Unmarshal(r.Body, &out))
	}
	return out
}

func (w *world) refused(status int, code, method, path, body string) *arm.Error {
	w.Helper()
	_, err := w.do(method, path, body)
	var e *arm.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code {
		w.Fatalf("%s %s %s: got %v, want %d %s", method, path, body, err, status, code)
	}
	return e
}
