package account_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/token"
)

func TestBlockBlobs(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key, headers: map[string]string{"x-ms-meta-owner": "me"}})
	w.want(409, "ContainerAlreadyExists", call{method: "PUT", path: "/box?restype=container", key: key})
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	put := call{method: "PUT", path: "/box/dir%2Fone.txt", key: key, body: body, headers: map[string]string{"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "text/plain", "x-ms-meta-a": "b"}}
	first := w.want(201, "", put)
	got := w.want(200, "", call{method: "GET", path: "/box/dir/one.txt", key: key})
	if !bytes.Equal(got.body, body) || got.Header.Get("Content-Type") != "text/plain" || got.Header.Get("x-ms-meta-a") != "b" || got.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Errorf("what came back is not what was put: %v", got.Header)
	}
	part := w.want(206, "", call{method: "GET", path: "/box/dir/one.txt", key: key, headers: map[string]string{"x-ms-range": "bytes=17-31"}})
	if string(part.body) != "123456789abcdef" || part.Header.Get("Content-Range") != fmt.Sprintf("bytes 17-31/%d", len(body)) {
		t.Errorf("range: %q %s", part.body, part.Header.Get("Content-Range"))
	}
	put.headers["If-None-Match"] = "*"
	w.want(409, "BlobAlreadyExists", put)
	delete(put.headers, "If-None-Match")
	put.headers["If-Match"] = `"0x1"`
	w.want(412, "ConditionNotMet", put)
	put.headers["If-Match"] = first.Header.Get("ETag")
	put.headers["Content-MD5"] = base64.StdEncoding.EncodeToString(make([]byte, 16))
	w.want(400, "Md5Mismatch", put)
	if again := w.want(200, "", call{method: "HEAD", path: "/box/dir/one.txt", key: key}); again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Error("a refused write changed the blob")
	}

	id := func(n int) string { return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%04d", n)) }
	for n := range 3 {
		w.want(201, "", call{method: "PUT", path: "/box/blocks?comp=block&blockid=" + url.QueryEscape(id(n)), key: key, body: []byte(strings.Repeat(fmt.Sprint(n), 5))})
	}
	w.want(400, "InvalidBlobOrBlock", call{method: "PUT", path: "/box/blocks?comp=block&blockid=YQ%3D%3D", key: key, body: []byte("x")})
	w.want(404, "BlobNotFound", call{method: "GET", path: "/box/blocks", key: key})
	list := "<BlockList><Latest>" + id(2) + "</Latest><Uncommitted>" + id(0) + "</Uncommitted></BlockList>"
	w.want(201, "", call{method: "PUT", path: "/box/blocks?comp=blocklist", key: key, body: []byte(list)})
	if got := w.want(200, "", call{method: "GET", path: "/box/blocks", key: key}); string(got.body) != "2222200000" {
		t.Errorf("blocks: %s", got.body)
	}
	w.want(400, "InvalidBlockList", call{method: "PUT", path: "/box/blocks?comp=blocklist", key: key, body: []byte("<BlockList><Latest>" + id(1) + "</Latest></BlockList>")})
	w.want(201, "", call{method: "PUT", path: "/box/blocks?comp=block&blockid=" + url.QueryEscape(id(7)), key: key, body: []byte("seven")})
	w.want(201, "", call{method: "PUT", path: "/box/blocks?comp=blocklist", key: key, body: []byte("<BlockList><Committed>" + id(0) + "</Committed><Latest>" + id(7) + "</Latest></BlockList>")})
	if got := w.want(200, "", call{method: "GET", path: "/box/blocks", key: key}); string(got.body) != "00000seven" {
		t.Errorf("blocks after the second list: %s", got.body)
	}
	shown := w.want(200, "", call{method: "GET", path: "/box/blocks?comp=blocklist&blocklisttype=all", key: key})
	if !strings.Contains(string(shown.body), "<CommittedBlocks><Block><Name>"+id(0)+"</Name><Size>5</Size>") || !strings.Contains(string(shown.body), "<UncommittedBlocks></UncommittedBlocks>") {
		t.Errorf("block list: %s", shown.body)
	}
}

func TestListing(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	for _, name := range []string{"a/1", "a/2", "a/3/x", "b", "c/9", "é"} {
		w.want(201, "", call{method: "PUT", path: "/box/" + url.PathEscape(name), key: key, headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	}
	flat := string(w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list", key: key}).body)
	if strings.Count(flat, "<Blob>") != 6 || !strings.Contains(flat, "<Name>é</Name>") || !strings.HasSuffix(flat, "<NextMarker></NextMarker></EnumerationResults>") {
		t.Errorf("flat: %s", flat)
	}
	tree := string(w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list&delimiter=%2F", key: key}).body)
	if strings.Count(tree, "<BlobPrefix>") != 2 || strings.Count(tree, "<Blob>") != 2 || !strings.Contains(tree, "<BlobPrefix><Name>a/</Name></BlobPrefix>") {
		t.Errorf("tree: %s", tree)
	}
	var names []string
	marker := ""
	for range 10 {
		page := string(w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list&maxresults=2&marker=" + marker, key: key}).body)
		for _, part := range strings.Split(page, "<Blob><Name>")[1:] {
			name, _, _ := strings.Cut(part, "<")
			names = append(names, name)
		}
		marker = page[strings.Index(page, "<NextMarker>")+len("<NextMarker>") : strings.Index(page, "</NextMarker>")]
		if marker == "" {
			break
		}
	}
	if strings.Join(names, " ") != "a/1 a/2 a/3/x b c/9 é" {
		t.Errorf("pages: %v", names)
	}
	all := string(w.want(200, "", call{method: "GET", path: "/?comp=list", key: key}).body)
	if !strings.Contains(all, "<Container><Name>box</Name>") {
		t.Errorf("containers: %s", all)
	}
}

func TestPageBlobs(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/vhds?restype=container", key: key})
	create := call{method: "PUT", path: "/vhds/disk.vhd", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "1048576"}}
	w.want(201, "", create)
	page := bytes.Repeat([]byte{7}, 1024)
	write := call{method: "PUT", path: "/vhds/disk.vhd?comp=page", key: key, body: page, headers: map[string]string{"x-ms-page-write": "update", "x-ms-range": "bytes=4096-5119"}}
	w.want(201, "", write)
	got := w.want(200, "", call{method: "GET", path: "/vhds/disk.vhd?comp=pagelist", key: key})
	if !strings.Contains(string(got.body), "<PageRange><Start>4096</Start><End>5119</End></PageRange></PageList>") {
		t.Errorf("page list: %s", got.body)
	}
	read := w.want(206, "", call{method: "GET", path: "/vhds/disk.vhd", key: key, headers: map[string]string{"Range": "bytes=4000-4100"}})
	if want := append(make([]byte, 96), page[:5]...); !bytes.Equal(read.body, want) {
		t.Errorf("read: %v", read.body)
	}
	for text, code := range map[string]string{"bytes=0-100": "InvalidPageRange", "bytes=1048576-1049087": "InvalidPageRange"} {
		w.want(416, code, call{method: "PUT", path: write.path, key: key, body: page, headers: map[string]string{"x-ms-page-write": "update", "x-ms-range": text}})
	}
	sum := md5.Sum(page)
	write.headers["Content-MD5"] = base64.StdEncoding.EncodeToString(sum[:])
	if got := w.want(201, "", write).Header.Get("Content-MD5"); got != write.headers["Content-MD5"] {
		t.Errorf("the checksum in the answer: %q", got)
	}
	write.headers["Content-MD5"] = base64.StdEncoding.EncodeToString(make([]byte, 16))
	w.want(400, "Md5Mismatch", write)
	delete(write.headers, "Content-MD5")
	// A lease that is taken while the body is on its way stops the write.
	lease := w.want(201, "", call{method: "PUT", path: "/vhds/disk.vhd?comp=lease", key: key, headers: map[string]string{"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15"}})
	w.want(412, "LeaseIdMissing", write)
	w.want(412, "LeaseIdMissing", call{method: "DELETE", path: "/vhds/disk.vhd", key: key})
	write.headers["x-ms-lease-id"] = lease.Header.Get("x-ms-lease-id")
	w.want(201, "", write)
	w.pass(16 * time.Second)
	w.want(412, "LeaseLost", write)
	delete(write.headers, "x-ms-lease-id")
	w.want(201, "", write)
	w.want(201, "", call{method: "PUT", path: "/vhds/disk.vhd?comp=page", key: key, headers: map[string]string{"x-ms-page-write": "clear", "x-ms-range": "bytes=4096-5119"}})
	if got := w.want(200, "", call{method: "GET", path: "/vhds/disk.vhd?comp=pagelist", key: key}); strings.Contains(string(got.body), "PageRange") {
		t.Errorf("after clear: %s", got.body)
	}
	before := w.want(200, "", call{method: "HEAD", path: "/vhds/disk.vhd", key: key}).Header.Get("ETag")
	create.headers["x-ms-blob-content-length"] = "512"
	if w.want(201, "", create).Header.Get("ETag") == before {
		t.Error("an ETag came twice")
	}
	w.want(404, "AccountNotFound", call{account: "nobody", method: "GET", path: "/vhds/disk.vhd"})
}

func TestCopy(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = w.blobs.Run(ctx) }()
	key, other := w.key("first"), w.key("second")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{account: "second", method: "PUT", path: "/box?restype=container", key: other})
	w.want(201, "", call{method: "PUT", path: "/box/p", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "8388608"}})
	w.want(201, "", call{method: "PUT", path: "/box/p?comp=page", key: key, body: bytes.Repeat([]byte{9}, 512), headers: map[string]string{"x-ms-page-write": "update", "x-ms-range": "bytes=5242880-5243391"}})
	w.want(201, "", call{method: "PUT", path: "/box/b", key: key, body: bytes.Repeat([]byte("block"), 3<<20), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	for _, name := range []string{"p", "b"} {
		from := map[string]string{"x-ms-copy-source": "https://first.blob.core.windows.net/box/" + name}
		w.want(403, "CannotVerifyCopySource", call{account: "second", method: "PUT", path: "/box/" + name, key: other, headers: from})
		signed := "https://first.blob.core.windows.net/box/" + name + "?" + w.serviceSAS(key, "first", "/box/"+name, "b", "r")
		w.want(202, "", call{account: "second", method: "PUT", path: "/box/" + name, key: other, headers: map[string]string{"x-ms-copy-source": signed}})
		w.want(202, "", call{method: "PUT", path: "/box/" + name + "2", key: key, headers: from})
		for _, at := range []call{{account: "second", method: "HEAD", path: "/box/" + name, key: other}, {method: "HEAD", path: "/box/" + name + "2", key: key}} {
			deadline := time.Now().Add(2 * time.Minute)
			for w.do(at).Header.Get("x-ms-copy-status") == "pending" && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
			}
			at.method = "GET"
			got := w.want(200, "", at)
			want := w.want(200, "", call{method: "GET", path: "/box/" + name, key: key})
			if got.Header.Get("x-ms-copy-status") != "success" || !bytes.Equal(got.body, want.body) || strings.Contains(got.Header.Get("x-ms-copy-source"), "sig") {
				t.Errorf("copy of %s: %v", name, got.Header)
			}
		}
	}
	w.want(400, "InvalidHeaderValue", call{method: "PUT", path: "/box/x", key: key, headers: map[string]string{"x-ms-copy-source": "https://169.254.169.254/box/p"}})
}

// serviceSAS signs a service SAS as version 2021-06-08 documents it.
func (w *world) serviceSAS(key []byte, account, path, resource, permissions string) string {
	expiry := w.now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	text := strings.Join([]string{permissions, "", expiry, "/blob/" + account + path, "", "", "https", "2021-06-08", resource, "", "", "", "", "", "", ""}, "\n")
	q := url.Values{"sp": {permissions}, "se": {expiry}, "spr": {"https"}, "sv": {"2021-06-08"}, "sr": {resource}, "sig": {sign(key, text)}}
	return q.Encode()
}

func (w *world) accountSAS(key []byte, account, permissions, types string) string {
	expiry := w.now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	text := strings.Join([]string{account, permissions, "b", types, "", expiry, "", "https", "2021-06-08", "", ""}, "\n")
	q := url.Values{"sp": {permissions}, "se": {expiry}, "spr": {"https"}, "sv": {"2021-06-08"}, "ss": {"b"}, "srt": {types}, "sig": {sign(key, text)}}
	return q.Encode()
}

// TestRefused is what must not be let in, and what each proof allows.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	key, other := w.key("first"), w.key("second")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/box/b", key: key, body: []byte("secret"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	get := func(q string) call { return call{method: "GET", path: "/box/b?" + q} }
	for name, c := range map[string]call{
		"another account's key":   {method: "GET", path: "/box/b", key: other},
		"no signature":            {method: "GET", path: "/box/b", headers: map[string]string{"Authorization": "SharedKey first:"}},
		"an old date":             {method: "GET", path: "/box/b", key: key, headers: map[string]string{"x-ms-date": w.now().Add(-time.Hour).UTC().Format(http.TimeFormat)}},
		"a header added":          {method: "GET", path: "/box/b", key: key, raw: func(r *http.Request) { r.Header.Set("x-ms-range", "bytes=0-1") }},
		"a parameter added":       {method: "GET", path: "/box/b", key: key, raw: func(r *http.Request) { r.URL.RawQuery = "comp=metadata" }},
		"another path":            {method: "GET", path: "/box/b", key: key, raw: func(r *http.Request) { r.URL.Path = "/box/c" }},
		"a SAS for another blob":  get(w.serviceSAS(key, "first", "/box/other", "b", "r")),
		"a SAS made wider":        get(strings.Replace(w.serviceSAS(key, "first", "/box/b", "b", "r"), "sp=r", "sp=rw", 1)),
		"a SAS with a later end":  get(strings.Replace(w.serviceSAS(key, "first", "/box/b", "b", "r"), "se=20", "se=21", 1)),
		"a SAS of another key":    get(w.serviceSAS(other, "first", "/box/b", "b", "r")),
		"a signature given twice": get(w.serviceSAS(key, "first", "/box/b", "b", "r") + "&sp=rw"),
	} {
		if a := w.do(c); a.StatusCode != 403 || a.Header.Get("x-ms-error-code") != "AuthenticationFailed" || bytes.Contains(a.body, []byte("secret")) {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	w.want(401, "NoAuthenticationInformation", call{method: "GET", path: "/box/b"})
	w.want(401, "NoAuthenticationInformation", call{method: "GET", path: "/nobox/b"})
	read := w.serviceSAS(key, "first", "/box/b", "b", "r")
	w.want(200, "", get(read))
	w.want(403, "AuthorizationPermissionMismatch", call{method: "DELETE", path: "/box/b?" + read})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "PUT", path: "/box/b?" + read, headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	inside := w.serviceSAS(key, "first", "/box", "c", "rlc")
	w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list&" + inside})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "DELETE", path: "/box?restype=container&" + inside})
	w.want(201, "", call{method: "PUT", path: "/box/new?" + inside, headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "PUT", path: "/box/b?" + inside, headers: map[string]string{"x-ms-blob-type": "BlockBlob"}}) // create is not replace
	objects := w.accountSAS(key, "first", "rwdl", "o")
	w.want(200, "", get(objects))
	w.want(403, "AuthorizationResourceTypeMismatch", call{method: "GET", path: "/box?restype=container&comp=list&" + objects})
	w.pass(2 * time.Hour)
	w.want(403, "AuthenticationFailed", get(read))
	w.arm("PATCH", group+"/providers/Microsoft.Storage/storageAccounts/first", `{"properties":{"allowSharedKeyAccess":false}}`)
	w.want(403, "KeyBasedAuthenticationNotPermitted", call{method: "GET", path: "/box/b", key: key})
	w.want(403, "KeyBasedAuthenticationNotPermitted", get(w.serviceSAS(key, "first", "/box/b", "b", "r")))
	w.arm("PATCH", group+"/providers/Microsoft.Storage/storageAccounts/first", `{"properties":{"allowSharedKeyAccess":true}}`)
	w.arm("POST", group+"/providers/Microsoft.Storage/storageAccounts/first/regenerateKey", `{"keyName":"key1"}`)
	w.want(403, "AuthenticationFailed", call{method: "GET", path: "/box/b", key: key})
}

// TestSweep shows that the bytes of what is gone go, after the grace and not before.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/box/b", key: key, body: []byte("one"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(201, "", call{method: "PUT", path: "/box/b", key: key, body: []byte("two"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(201, "", call{method: "PUT", path: "/box/p", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}})
	count := func() (objects, files int) {
		for _, err := range w.bucket.All(t.Context(), "storage/") {
			w.must(err)
			objects++
		}
		list, err := w.images.Uploads()
		w.must(err)
		return objects, len(list)
	}
	expect := func(objects, files int) {
		t.Helper()
		w.must(w.blobs.Sweep(t.Context()))
		if o, f := count(); o != objects || f != files {
			t.Errorf("%d objects and %d files, want %d and %d", o, f, objects, files)
		}
	}
	expect(2, 1)
	w.pass(11 * time.Minute)
	expect(1, 1)
	w.want(202, "", call{method: "DELETE", path: "/box?restype=container", key: key})
	w.want(404, "ContainerNotFound", call{method: "GET", path: "/box/b", key: key})
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(404, "BlobNotFound", call{method: "GET", path: "/box/b", key: key})
	w.pass(11 * time.Minute)
	expect(0, 0)
}

// TestRoles shows that a token's bearer may do what roles say, and so may a delegation of it.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/box/b", key: key, body: []byte("data"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	principal, bearer := w.principal(t)
	w.want(403, "AuthorizationPermissionMismatch", call{method: "GET", path: "/box/b", bearer: bearer})
	w.assign(principal, owner, "/subscriptions/"+sub+"/resourcegroups/rg")
	w.want(403, "AuthorizationPermissionMismatch", call{method: "GET", path: "/box/b", bearer: bearer}) // Owner has no data actions
	w.want(201, "", call{method: "PUT", path: "/mine?restype=container", bearer: bearer})
	w.assign(principal, reader, "/subscriptions/"+sub)
	w.want(200, "", call{method: "GET", path: "/box/b", bearer: bearer})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "DELETE", path: "/box/b", bearer: bearer})
	w.want(401, "InvalidAuthenticationInfo", call{method: "GET", path: "/box/b", bearer: bearer + "x"})
}

func (w *world) principal(t *testing.T) (object, bearer string) {
	t.Helper()
	_, err := w.directory.CreateTenant(t.Context(), directory.Tenant{ID: tenant, Name: "one"})
	w.must(err)
	_, sp, err := w.directory.CreateApplication(t.Context(), directory.Application{TenantID: tenant, DisplayName: "reader", SignInAudience: directory.SingleTenant})
	w.must(err)
	resource, ok := token.ParseResource("https://storage.azure.com")
	if !ok {
		t.Fatal("no audience for storage")
	}
	raw, _, err := w.tokens.Issue(t.Context(), token.Request{TenantID: tenant, ObjectID: sp.ObjectID, AppID: sp.AppID, Resource: resource})
	w.must(err)
	return sp.ObjectID, raw
}
