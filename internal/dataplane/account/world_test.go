package account_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/control"
	"vitrine/internal/dataplane/account"
	"vitrine/internal/directory"
	"vitrine/internal/image"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/token"
)

const (
	tenant = "aaaaaaaa-0000-4000-8000-000000000001"
	sub    = "aaaaaaaa-0000-4000-8000-00000000000a"
	group  = "/subscriptions/" + sub + "/resourceGroups/rg"
	owner  = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	reader = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1" // Storage Blob Data Reader
)

// world is a door with two accounts behind it.
type world struct {
	*testing.T
	store     *store.Store
	control   *control.Control
	directory *directory.Directory
	tokens    *token.Service
	blobs     *content.Store
	images    *image.Store
	bucket    *blob.Bucket
	server    *httptest.Server
	accounts  *storage.Provider
	opens     func(context.Context, string) (bool, error)
	caller    authn.Caller
	mu        sync.Mutex
	ahead     time.Duration
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return time.Now().Add(w.ahead) }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.ahead += d }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, store: store.New(memstore.Open()), bucket: memblob.New()}
	t.Cleanup(func() { w.store.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	w.must(err)
	buckets := func(string) (*blob.Bucket, error) { return w.bucket, nil }
	w.images, err = image.New(image.Config{Store: w.store, Dir: t.TempDir(), Workers: 2, Buckets: buckets})
	w.must(err)
	t.Cleanup(func() { w.images.Close() })
	w.directory = directory.New(w.store)
	w.tokens = token.New(token.Config{Store: w.store, Sealer: sealer, Now: w.now})
	engine := rbac.New(control.TenantOf)
	w.control = control.New(control.Config{Store: w.store, RBAC: engine, Now: w.now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Kick: func() {}})
	w.blobs = content.New(content.Config{Store: w.store, Images: w.images, Bucket: buckets, Now: w.now})
	accounts := storage.Register(w.control, storage.Config{Sealer: sealer, Blobs: w.blobs, Now: w.now})
	w.caller = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "00000000-0000-4000-8000-000000000001", AppID: "app", Kind: authn.ServicePrincipal}}
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: strings.ToLower(group), Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)})
		return errors.Join(err, control.WriteSubscription(tx, control.Subscription{ID: sub, State: "Enabled", Tenant: tenant}))
	}))
	w.assign(w.caller.Primary.ObjectID, owner, "/subscriptions/"+sub)
	config := account.Config{Accounts: accounts, Blobs: w.blobs, Store: w.store, RBAC: engine, Now: w.now,
		Authn: authn.New(authn.Config{Tokens: w.tokens, Directory: w.directory, API: token.Storage, Now: w.now})}
	door := account.New(config)
	w.accounts, w.opens = accounts, account.Opens(config)
	w.server = httptest.NewServer(door)
	t.Cleanup(w.server.Close)
	for _, name := range []string{"first", "second"} {
		w.arm("PUT", group+"/providers/Microsoft.Storage/storageAccounts/"+name, `{"location":"westeurope","sku":{"name":"Standard_LRS"},"kind":"StorageV2"}`)
	}
	return w
}

func (w *world) assign(principal, role, scope string) {
	w.Helper()
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, role, principal, scope)
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: scope + "/" + principal, Kind: rbac.AssignmentKind, Terms: rbac.Assignment{Principal: principal, Scope: scope}.Terms(), Body: []byte(body)})
		return err
	}))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) arm(method, path, body string) []byte {
	w.Helper()
	r, err := w.control.Do(context.Background(), control.Request{Method: method, Path: path, Body: []byte(body), Caller: w.caller,
		Query: url.Values{"api-version": {"2022-09-01"}}, Base: "https://management.azure.com"})
	w.must(err)
	return r.Body
}

// key is an account's first key.
func (w *world) key(account string) []byte {
	w.Helper()
	var out struct{ Keys []struct{ Value string } }
	w.must(json.Unmarshal(w.arm("POST", group+"/providers/Microsoft.Storage/storageAccounts/"+account+"/listKeys", ""), &out))
	key, err := base64.StdEncoding.DecodeString(out.Keys[0].Value)
	w.must(err)
	return key
}

// call is a request to an account: with a key it is signed.
type call struct {
	account, method, path string // of the path: "/container/blob?comp=…"
	headers               map[string]string
	body                  []byte
	key                   []byte
	bearer                string
	raw                   func(*http.Request) // the last word
}

type answer struct {
	*http.Response
	body []byte
}

func (w *world) do(c call) answer {
	w.Helper()
	if c.account == "" {
		c.account = "first"
	}
	req, err := http.NewRequest(c.method, w.server.URL+c.path, bytes.NewReader(c.body))
	w.must(err)
	req.Host = c.account + ".blob.core.windows.net"
	req.Header.Set("x-ms-version", "2021-06-08")
	req.Header.Set("x-ms-date", w.now().UTC().Format(http.TimeFormat))
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	if c.key != nil {
		req.Header.Set("Authorization", "SharedKey "+c.account+":"+sign(c.key, sharedKey(req, c.account)))
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.raw != nil {
		c.raw(req)
	}
	res, err := http.DefaultClient.Do(req)
	w.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	w.must(err)
	return answer{res, body}
}

// want does a request and compares the status, and the error's code when one is given.
func (w *world) want(status int, code string, c call) answer {
	w.Helper()
	a := w.do(c)
	if a.StatusCode != status || a.Header.Get("x-ms-error-code") != code {
		w.Fatalf("%s %s: %d %s, want %d %s\n%s", c.method, c.path, a.StatusCode, a.Header.Get("x-ms-error-code"), status, code, a.body)
	}
	return a
}

func sign(key []byte, text string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// sharedKey is the string to sign, written from the documentation apart from the server's.
func sharedKey(r *http.Request, account string) string {
	length := ""
	if r.ContentLength > 0 {
		length = fmt.Sprint(r.ContentLength)
	}
	var b strings.Builder
	for _, v := range []string{r.Method, r.Header.Get("Content-Encoding"), r.Header.Get("Content-Language"), length, r.Header.Get("Content-MD5"),
		r.Header.Get("Content-Type"), "", r.Header.Get("If-Modified-Since"), r.Header.Get("If-Match"), r.Header.Get("If-None-Match"),
		r.Header.Get("If-Unmodified-Since"), r.Header.Get("Range")} {
		b.WriteString(v + "\n")
	}
	var names []string
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), "x-ms-") {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteString(name + ":" + r.Header.Get(name) + "\n")
	}
	b.WriteString("/" + account + r.URL.EscapedPath())
	q := r.URL.Query()
	names = names[:0]
	for name := range q {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteString("\n" + name + ":" + q.Get(name))
	}
	return b.String()
}
