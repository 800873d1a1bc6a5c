package account_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"vitrine/internal/store"
)

const (
	contributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe" // Storage Blob Data Contributor
	delegator   = "db58b8e5-c6ad-4a2a-8342-4190687cbf4a" // Storage Blob Delegator
)

func (w *world) fill(key []byte) {
	w.Helper()
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	for _, name := range []string{"mine", "secret"} {
		w.want(201, "", call{method: "PUT", path: "/box/" + name, key: key, body: []byte(name), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	}
	w.want(201, "", call{method: "PUT", path: "/other?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/other/secret", key: key, body: []byte("secret"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
}

// TestCopyNeedsSource: a SAS for one blob or container gives nothing of another, by way of a copy.
func TestCopyNeedsSource(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	from := func(name string) map[string]string {
		return map[string]string{"x-ms-copy-source": "https://first.blob.core.windows.net" + name}
	}
	mine := w.serviceSAS(key, "first", "/box/mine", "b", "racwd")
	w.want(403, "CannotVerifyCopySource", call{method: "PUT", path: "/box/mine?" + mine, headers: from("/box/secret")})
	w.want(403, "CannotVerifyCopySource", call{method: "PUT", path: "/box/mine?" + mine, headers: from("/other/secret")})
	box := w.serviceSAS(key, "first", "/box", "c", "racwdl")
	w.want(403, "CannotVerifyCopySource", call{method: "PUT", path: "/box/mine?" + box, headers: from("/other/secret")})
	w.want(202, "", call{method: "PUT", path: "/box/copy?" + box, headers: from("/box/secret")})
	blind := w.serviceSAS(key, "first", "/box", "c", "acwdl")
	w.want(403, "CannotVerifyCopySource", call{method: "PUT", path: "/box/mine?" + blind, headers: from("/box/secret")})
	w.want(202, "", call{method: "PUT", path: "/box/copy2?" + mine2(w, key), headers: from("/box/secret?" + w.serviceSAS(key, "first", "/box/secret", "b", "r"))})
	w.want(400, "InvalidHeaderValue", call{method: "PUT", path: "/box/mine", key: key, headers: from("/box/secret?snapshot=2020-01-01T00%3A00%3A00Z")})
	h := from("/box/secret")
	h["x-ms-source-if-match"] = `"0x1"`
	w.want(412, "SourceConditionNotMet", call{method: "PUT", path: "/box/mine", key: key, headers: h})
	for _, source := range []string{"http://first.blob.core.windows.net/box/secret", "https://first.blob.core.windows.net.example.com/box/secret", "https://u:p@first.blob.core.windows.net/box/secret",
		"file:///etc/passwd", "//first.blob.core.windows.net/box/secret", "https://[::1]/box/secret", "/box/secret", "https://first.blob.core.windows.net/box/secret#x"} {
		w.want(400, "InvalidHeaderValue", call{method: "PUT", path: "/box/mine", key: key, headers: map[string]string{"x-ms-copy-source": source}})
	}
	for _, source := range []string{"https://nobody.blob.core.windows.net/box/secret", "https://second.blob.core.windows.net/box/secret", "https://first.blob.core.windows.net/nobox/secret"} {
		w.want(403, "CannotVerifyCopySource", call{method: "PUT", path: "/box/mine", key: key, headers: map[string]string{"x-ms-copy-source": source}})
	}
}

func mine2(w *world, key []byte) string { return w.serviceSAS(key, "first", "/box/copy2", "b", "c") }

// letters are what each operation needs of a SAS, by the service's tables.
func TestLetters(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	w.want(201, "", call{method: "PUT", path: "/box/page", key: key, headers: map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}})
	blob := map[string]string{"x-ms-blob-type": "BlockBlob"}
	lease := map[string]string{"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15"}
	broken := map[string]string{"x-ms-lease-action": "break"}
	for _, o := range []struct {
		name, method, path string
		headers            map[string]string
		letters            string
	}{
		{"Get Blob", "GET", "/box/mine?", nil, "r"},
		{"Get Blob Properties", "HEAD", "/box/mine?", nil, "r"},
		{"Get Blob Metadata", "GET", "/box/mine?comp=metadata&", nil, "r"},
		{"Get Block List", "GET", "/box/mine?comp=blocklist&", nil, "r"},
		{"Get Page Ranges", "GET", "/box/page?comp=pagelist&", nil, "r"},
		{"Put Blob over one", "PUT", "/box/mine?", blob, "w"},
		{"Put Blob, new", "PUT", "/box/new-%s?", blob, "wc"},
		{"Put Block", "PUT", "/box/mine?comp=block&blockid=QUFB&", nil, "w"},
		{"Put Block List", "PUT", "/box/mine?comp=blocklist&", nil, "w"},
		{"Put Page", "PUT", "/box/page?comp=page&", map[string]string{"x-ms-page-write": "clear", "x-ms-range": "bytes=0-511"}, "w"},
		{"Set Blob Metadata", "PUT", "/box/mine?comp=metadata&", nil, "w"},
		{"Set Blob Properties", "PUT", "/box/mine?comp=properties&", nil, "w"},
		{"Lease Blob", "PUT", "/box/mine?comp=lease&", lease, "w"},
		{"Break a lease", "PUT", "/box/mine?comp=lease&", broken, "wd"},
		{"Abort Copy", "PUT", "/box/mine?comp=copy&copyid=x&", map[string]string{"x-ms-copy-action": "abort"}, "w"},
		{"Delete Blob", "DELETE", "/box/secret-%s?", nil, "d"},
		{"List Blobs", "GET", "/box?restype=container&comp=list&", nil, "l"},
		{"Delete Container", "DELETE", "/box?restype=container&", nil, ""},
		{"Get Container ACL", "GET", "/box?restype=container&comp=acl&", nil, ""},
		{"Set Container ACL", "PUT", "/box?restype=container&comp=acl&", nil, ""},
		{"Set Container Metadata", "PUT", "/box?restype=container&comp=metadata&", nil, ""},
		{"Lease Container", "PUT", "/box?restype=container&comp=lease&", lease, ""},
		{"List Containers", "GET", "/?comp=list&", nil, ""},
		{"Get User Delegation Key", "POST", "/?restype=service&comp=userdelegationkey&", nil, ""},
	} {
		for _, letter := range "racwdxyltmeopi" {
			path := strings.Replace(o.path, "%s", string(letter), 1)
			got := w.do(call{method: o.method, path: path + w.serviceSAS(key, "first", "/box", "c", string(letter)), headers: o.headers})
			code := got.Header.Get("x-ms-error-code")
			refused := code == "AuthorizationPermissionMismatch" || code == "AuthenticationFailed"
			if refused == strings.ContainsRune(o.letters, letter) {
				t.Errorf("%s with %c: %d %s, want it to need one of %q", o.name, letter, got.StatusCode, code, o.letters)
			}
		}
	}
}

// delegation is a user delegation key, as the service gives it.
type delegation struct {
	OID     string `xml:"SignedOid"`
	TID     string `xml:"SignedTid"`
	Start   string `xml:"SignedStart"`
	Expiry  string `xml:"SignedExpiry"`
	Service string `xml:"SignedService"`
	Version string `xml:"SignedVersion"`
	Value   string `xml:"Value"`
}

func (w *world) delegate(bearer string) delegation {
	w.Helper()
	stamp := func(d time.Duration) string { return w.now().Add(d).UTC().Format("2006-01-02T15:04:05Z") }
	body := "<KeyInfo><Start>" + stamp(-time.Minute) + "</Start><Expiry>" + stamp(2*time.Hour) + "</Expiry></KeyInfo>"
	got := w.want(200, "", call{method: "POST", path: "/?restype=service&comp=userdelegationkey", bearer: bearer, body: []byte(body)})
	var d delegation
	w.must(xml.Unmarshal(bytes.TrimPrefix(got.body, []byte("\ufeff")), &d))
	return d
}

// sas signs a user delegation SAS as version 2021-06-08 documents it.
func (d delegation) sas(w *world, path, resource, permissions string, change func(url.Values)) string {
	expiry := w.now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	text := strings.Join([]string{permissions, "", expiry, "/blob/first" + path, d.OID, d.TID, d.Start, d.Expiry, d.Service, d.Version, "", "", "",
		"", "https", "2021-06-08", resource, "", "", "", "", "", "", ""}, "\n")
	key, err := base64.StdEncoding.DecodeString(d.Value)
	w.must(err)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	q := url.Values{"sp": {permissions}, "se": {expiry}, "spr": {"https"}, "sv": {"2021-06-08"}, "sr": {resource}, "skoid": {d.OID}, "sktid": {d.TID},
		"skt": {d.Start}, "ske": {d.Expiry}, "sks": {d.Service}, "skv": {d.Version}, "sig": {base64.StdEncoding.EncodeToString(h.Sum(nil))}}
	if change != nil {
		change(q)
	}
	return q.Encode()
}

func (w *world) revoke(principal, scope string) {
	w.Helper()
	w.must(w.store.Update(w.T.Context(), func(tx store.Tx) error { return tx.Delete(scope+"/"+principal, 0) }))
}

// TestUserDelegation: it grants what its letters and its principal's roles both allow, for as long as both do.
func TestUserDelegation(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	principal, bearer := w.principal(t)
	scope := "/subscriptions/" + sub
	ask := call{method: "POST", path: "/?restype=service&comp=userdelegationkey", bearer: bearer, body: []byte("<KeyInfo><Expiry>2030-01-01</Expiry></KeyInfo>")}
	w.want(403, "AuthorizationPermissionMismatch", ask)
	ask.bearer, ask.key = "", key
	w.want(403, "AuthorizationPermissionMismatch", ask) // a key's holder is nobody whose rights could bound it
	w.assign(principal, reader, scope)
	w.assign(principal, delegator, scope+"/resourcegroups/rg")
	ask.bearer, ask.key = bearer, nil
	for _, body := range []string{"<KeyInfo><Expiry>2030-01-01</Expiry></KeyInfo>", "<KeyInfo><Expiry>2020-01-01T00:00:00Z</Expiry></KeyInfo>", "<KeyInfo/>", "<KeyInfo><Expiry>soon</Expiry></KeyInfo>"} {
		ask.body = []byte(body)
		w.want(400, "InvalidXmlNodeValue", ask)
	}
	ask.body = []byte("<KeyInfo><Exp")
	w.want(400, "InvalidXmlDocument", ask)
	d := w.delegate(bearer)
	get := func(change func(url.Values)) call {
		return call{method: "GET", path: "/box/secret?" + d.sas(w, "/box/secret", "b", "rw", change)}
	}
	if got := w.want(200, "", get(nil)); string(got.body) != "secret" {
		t.Errorf("%s", got.body)
	}
	w.want(403, "AuthorizationPermissionMismatch", call{method: "PUT", path: "/box/secret?" + d.sas(w, "/box/secret", "b", "rw", nil), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}}) // its principal only reads
	for name, value := range map[string]string{"sp": "rwd", "se": "2031-01-01T00:00:00Z", "sr": "c", "sv": "2021-08-06", "skoid": "00000000-0000-4000-8000-000000000001", "sktid": sub,
		"skt": "2020-01-01T00:00:00Z", "ske": "2031-01-01T00:00:00Z", "sks": "q", "skv": "2020-02-10", "spr": "https,http", "sip": "127.0.0.1", "rsct": "text/html", "sig": "AAAA"} {
		w.want(403, "AuthenticationFailed", get(func(q url.Values) { q.Set(name, value) }))
	}
	w.want(403, "AuthenticationFailed", call{method: "GET", path: "/box/mine?" + d.sas(w, "/box/secret", "b", "r", nil)})
	w.want(403, "AuthenticationFailed", call{account: "second", method: "GET", path: "/box/secret?" + d.sas(w, "/box/secret", "b", "r", nil)})
	for _, name := range []string{"saoid", "suoid", "scid", "sdd", "ses", "skdutid", "sduoid"} {
		a := w.want(403, "AuthenticationFailed", get(func(q url.Values) { q.Set(name, "1") }))
		if !bytes.Contains(a.body, []byte(name)) {
			t.Errorf("%s is refused, but not by name: %s", name, a.body)
		}
	}
	w.revoke(principal, scope)
	w.want(403, "AuthorizationPermissionMismatch", get(nil))
	w.assign(principal, contributor, scope)
	w.want(200, "", get(nil))
	w.want(201, "", call{method: "PUT", path: "/box/secret?" + d.sas(w, "/box/secret", "b", "rw", nil), body: []byte("secret"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.arm("POST", group+"/providers/Microsoft.Storage/storageAccounts/first/regenerateKey", `{"keyName":"key1"}`)
	w.want(403, "AuthenticationFailed", get(nil)) // renewing a key takes delegations back
	d = w.delegate(bearer)
	w.want(200, "", get(nil))
	sp, err := w.directory.PrincipalByObject(t.Context(), tenant, principal)
	w.must(err)
	w.must(w.directory.DeletePrincipal(t.Context(), tenant, sp.AppID))
	w.want(403, "AuthenticationFailed", get(nil))
}

// TestSignedConditions: start, address and protocol of a SAS; a policy by name.
func TestSignedConditions(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	sign := func(set map[string]string) call {
		q := url.Values{"sp": {"r"}, "se": {w.now().Add(time.Hour).UTC().Format(time.RFC3339)}, "sv": {"2021-06-08"}, "sr": {"b"}}
		for name, value := range set {
			q.Set(name, value)
		}
		text := strings.Join([]string{q.Get("sp"), q.Get("st"), q.Get("se"), "/blob/first/box/secret", q.Get("si"), q.Get("sip"), q.Get("spr"), q.Get("sv"), q.Get("sr"), "", "",
			q.Get("rscc"), q.Get("rscd"), q.Get("rsce"), q.Get("rscl"), q.Get("rsct")}, "\n")
		q.Set("sig", sign(key, text))
		return call{method: "GET", path: "/box/secret?" + q.Encode()}
	}
	at := func(d time.Duration) string { return w.now().Add(d).UTC().Format(time.RFC3339) }
	for _, c := range []struct {
		set  map[string]string
		code string
	}{
		{nil, ""}, {map[string]string{"st": at(-time.Minute)}, ""}, {map[string]string{"st": at(10 * time.Minute)}, ""}, {map[string]string{"st": at(20 * time.Minute)}, "AuthenticationFailed"},
		{map[string]string{"st": "yesterday"}, "AuthenticationFailed"}, {map[string]string{"se": at(-time.Second)}, "AuthenticationFailed"}, {map[string]string{"se": ""}, "AuthenticationFailed"},
		{map[string]string{"sip": "127.0.0.1"}, ""}, {map[string]string{"sip": "127.0.0.0-127.0.0.9"}, ""}, {map[string]string{"sip": "10.0.0.1"}, "AuthorizationSourceIPMismatch"},
		{map[string]string{"sip": "127.0.0.2-127.0.0.1"}, "AuthorizationSourceIPMismatch"}, {map[string]string{"sip": "here"}, "AuthorizationSourceIPMismatch"},
		{map[string]string{"spr": "https"}, ""}, {map[string]string{"spr": "http"}, "AuthenticationFailed"},
		{map[string]string{"si": "policy"}, "AuthenticationFailed"}, {map[string]string{"sv": "2015-04-05"}, "AuthenticationFailed"},
		{map[string]string{"sr": "bs"}, "AuthenticationFailed"}, {map[string]string{"sr": "bv"}, "AuthenticationFailed"}, {map[string]string{"sr": "d"}, "AuthenticationFailed"},
	} {
		a := w.do(sign(c.set))
		if got := a.Header.Get("x-ms-error-code"); got != c.code {
			t.Errorf("%v: %d %s, want %q", c.set, a.StatusCode, got, c.code)
		}
		if c.set["si"] != "" && !bytes.Contains(a.body, []byte("stored access policy")) {
			t.Errorf("a policy is refused, but not by name: %s", a.body)
		}
	}
	shown := w.do(sign(map[string]string{"rsct": "text/html", "rscd": "attachment", "rscc": "no-store", "rsce": "x", "rscl": "de"}))
	for name, want := range map[string]string{"Content-Type": "text/html", "Content-Disposition": "attachment", "Cache-Control": "no-store", "Content-Encoding": "x", "Content-Language": "de"} {
		if got := shown.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q as it was signed", name, got, want)
		}
	}
}

// TestByName: what is not served says what it is.
func TestByName(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	blob := map[string]string{"x-ms-blob-type": "BlockBlob"}
	with := func(name string) map[string]string {
		return map[string]string{"x-ms-blob-type": "BlockBlob", name: "1"}
	}
	for _, c := range []struct {
		status             int
		code, method, path string
		headers            map[string]string
		says               string
	}{
		{400, "FeatureNotSupported", "PUT", "/box/a", map[string]string{"x-ms-blob-type": "AppendBlob"}, "Append blobs"},
		{400, "InvalidHeaderValue", "PUT", "/box/a", map[string]string{"x-ms-blob-type": "Cake"}, "x-ms-blob-type"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=snapshot", nil, "comp=snapshot"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=tier", nil, "comp=tier"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=tags", nil, "comp=tags"},
		{400, "UnsupportedQueryParameter", "GET", "/box/mine?comp=tags", nil, "comp=tags"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=undelete", nil, "comp=undelete"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=appendblock", nil, "comp=appendblock"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=immutabilityPolicies", nil, "comp=immutabilityPolicies"},
		{400, "UnsupportedQueryParameter", "PUT", "/box/mine?comp=incrementalcopy", nil, "comp=incrementalcopy"},
		{400, "UnsupportedQueryParameter", "POST", "/box/mine?comp=query", nil, "comp=query"},
		{400, "UnsupportedQueryParameter", "POST", "/?comp=batch", nil, "restype"},
		{400, "UnsupportedQueryParameter", "GET", "/?restype=service&comp=stats", nil, "comp=stats"},
		{405, "UnsupportedHttpVerb", "PUT", "/?restype=service&comp=properties", nil, "Verb"},
		{400, "UnsupportedQueryParameter", "GET", "/box/mine?snapshot=2020-01-01T00:00:00Z", nil, "snapshot"},
		{400, "UnsupportedQueryParameter", "DELETE", "/box/mine?versionid=1", nil, "versionid"},
		{400, "UnsupportedQueryParameter", "GET", "/box?restype=container&comp=list&include=uncommittedblobs", nil, "uncommittedblobs"},
		{405, "UnsupportedHttpVerb", "PATCH", "/box/mine", nil, "Verb"},
		{400, "UnsupportedHeader", "PUT", "/box/mine", with("x-ms-encryption-key"), "x-ms-encryption-key"},
		{400, "UnsupportedHeader", "GET", "/box/mine", with("x-ms-encryption-key"), "x-ms-encryption-key"},
		{400, "UnsupportedHeader", "PUT", "/box/mine", with("x-ms-tags"), "x-ms-tags"},
		{400, "UnsupportedHeader", "PUT", "/box/mine", with("x-ms-access-tier"), "x-ms-access-tier"},
		{400, "UnsupportedHeader", "PUT", "/box/mine", with("x-ms-content-crc64"), "x-ms-content-crc64"},
		{400, "UnsupportedHeader", "GET", "/box/mine", with("x-ms-if-tags"), "x-ms-if-tags"},
		{400, "MissingRequiredHeader", "PUT", "/box/a", nil, "x-ms-blob-type"},
		{400, "InvalidResourceName", "PUT", "/Box?restype=container", nil, ""},
		{400, "InvalidResourceName", "GET", "/b%00x/a", nil, ""},
		{400, "InvalidResourceName", "GET", "//box/a", nil, ""},
		{400, "InvalidResourceName", "GET", "/..%2Fbox/a", nil, ""},
		{400, "InvalidResourceName", "PUT", "/box/" + strings.Repeat("a", 1025), blob, ""},
		{400, "InvalidResourceName", "PUT", "/box/a%00b", blob, ""},
		{400, "InvalidResourceName", "PUT", "/box/%FF", blob, ""},
	} {
		a := w.do(call{method: c.method, path: c.path, key: key, headers: c.headers})
		if a.StatusCode != c.status || a.Header.Get("x-ms-error-code") != c.code || !bytes.Contains(a.body, []byte(c.says)) {
			t.Errorf("%s %.60s: %d %s, want %d %s naming %q\n%.300s", c.method, c.path, a.StatusCode, a.Header.Get("x-ms-error-code"), c.status, c.code, c.says, a.body)
		}
	}
	for _, name := range []string{"..", "a/../b", "a//b", "/", "%252F", "a%2Fb%2F..", "%C3%A9%E6%97%A5", "%01", "x%3Fy", "a%5Cb", strings.Repeat("a", 1024)} {
		w.want(201, "", call{method: "PUT", path: "/box/" + name, key: key, body: []byte(name), headers: blob})
		if got := w.want(200, "", call{method: "GET", path: "/box/" + name, key: key}); string(got.body) != name {
			t.Errorf("%q holds %q", name, got.body)
		}
	}
	if list := string(w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list", key: key}).body); !strings.Contains(list, `<Name Encoded="true">%01</Name>`) || strings.Contains(list, "\x01") {
		t.Errorf("a name that XML cannot hold: %s", list)
	}
}

// TestHeaderOrder: a header whose name begins as another's does is signed after it; older and newer SDKs differ on '_'.
func TestHeaderOrder(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	a := w.want(206, "", call{method: "GET", path: "/box/secret", key: key, headers: map[string]string{"x-ms-range": "bytes=0-3", "x-ms-range-get-content-md5": "true"}})
	if a.Header.Get("Content-MD5") == "" {
		t.Error("no MD5")
	}
	w.want(200, "", call{method: "PUT", path: "/box/secret?comp=metadata", key: key, headers: map[string]string{"x-ms-meta-a": "1", "x-ms-meta-a1": "2", "x-ms-meta-a_": "3"}})
	raw := w.exchange("GET /box/secret?comp=metadata&" + w.serviceSAS(key, "first", "/box/secret", "b", "r") + " HTTP/1.1\r\nHost: first.blob.core.windows.net\r\nConnection: close\r\n\r\n")
	if !strings.Contains(raw, "\r\nx-ms-meta-a1: 2\r\n") { // SDKs look for small letters
		t.Errorf("metadata: %s", raw)
	}
	req := call{method: "GET", path: "/box/secret", raw: func(r *http.Request) {
		r.Header.Set("x-ms-meta-a1", "1")
		r.Header.Set("x-ms-meta-a_", "2")
		text := "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:" + r.Header.Get("x-ms-date") + "\nx-ms-meta-a_:2\nx-ms-meta-a1:1\nx-ms-version:2021-06-08\n/first/box/secret"
		r.Header.Set("Authorization", "SharedKey first:"+sign(key, text))
	}}
	w.want(200, "", req)
}

// TestBombs: documents that are small on the wire stay small in memory.
func TestBombs(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	put := func(body string) call {
		return call{method: "PUT", path: "/box/mine?comp=blocklist", key: key, body: []byte(body)}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.want(400, "BlockListTooLong", put("<BlockList>"+strings.Repeat("<Latest>QUFB</Latest>", 50_001)+"</BlockList>"))
	w.want(400, "InvalidXmlDocument", put("<BlockList>"+strings.Repeat("<a/>", 2<<20)+"</BlockList>"))
	w.want(400, "InvalidXmlDocument", put(strings.Repeat("<BlockList>", 700_000)))
	w.want(400, "InvalidXmlDocument", put(`<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><BlockList><Latest>&b;</Latest></BlockList>`))
	w.want(400, "InvalidXmlDocument", put(`<!DOCTYPE x SYSTEM "file:///etc/passwd"><BlockList><Latest>&x;</Latest></BlockList>`))
	w.want(400, "InvalidXmlDocument", put("<BlockList><Latest>"+strings.Repeat("Q", 9<<20)+"</Latest></BlockList>"))
	w.want(400, "InvalidXmlDocument", put(""))
	w.want(400, "InvalidXmlDocument", put("<Other/>"))
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 400 {
		t.Errorf("reading them took %d MiB", grown)
	}
	w.want(413, "RequestBodyTooLarge", call{method: "PUT", path: "/box?restype=container&comp=acl", key: key, body: []byte("<SignedIdentifiers>" + strings.Repeat(" ", 70<<10) + "</SignedIdentifiers>")})
	w.want(400, "FeatureNotSupported", call{method: "PUT", path: "/box?restype=container&comp=acl", key: key, body: []byte("<SignedIdentifiers><SignedIdentifier><Id>a</Id></SignedIdentifier></SignedIdentifiers>")})
}

// exchange sends raw bytes and gives what comes back until the server closes or a time is over.
func (w *world) exchange(raw string) string {
	w.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
	w.must(err)
	defer c.Close()
	_, err = io.WriteString(c, raw)
	w.must(err)
	w.must(c.SetReadDeadline(time.Now().Add(time.Minute)))
	answer := bufio.NewReader(c)
	_, _ = answer.Peek(1) // nothing: it closes without a word
	w.must(c.SetReadDeadline(time.Now().Add(2 * time.Second)))
	got, _ := io.ReadAll(answer)
	return string(got)
}

// TestBeforeBody: who may not write is told so before he sends, and two ways to tell a length are not two requests.
func TestBeforeBody(t *testing.T) {
	w := newWorld(t)
	w.fill(w.key("first"))
	head := "Host: first.blob.core.windows.net\r\nx-ms-version: 2021-06-08\r\nx-ms-blob-type: BlockBlob\r\nx-ms-date: " + w.now().UTC().Format(http.TimeFormat) + "\r\n"
	for name, authorization := range map[string]string{"a wrong key": "Authorization: SharedKey first:" + sign([]byte("wrong"), "x") + "\r\n", "nothing": "", "no token": "Authorization: Bearer x\r\n"} {
		got := w.exchange("PUT /box/new HTTP/1.1\r\n" + head + authorization + "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 40") || strings.Contains(got, "100 Continue") {
			t.Errorf("%s: %.200s", name, got)
		}
	}
	smuggled := "GET /box/secret HTTP/1.1\r\nHost: first.blob.core.windows.net\r\n\r\n"
	for name, framing := range map[string]string{
		"both":           fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 5+len(smuggled)),
		"two lengths":    "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
		"odd encoding":   "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"a bad length":   "Content-Length: +5\r\n\r\n",
		"a blank in it":  "Content-Length : 5\r\n\r\n",
		"a folded field": "x-ms-meta-a: b\r\n c\r\n\r\n",
	} {
		got := w.exchange("PUT /box/new HTTP/1.1\r\n" + head + framing + smuggled)
		if strings.Contains(got, " 200 ") || strings.Contains(got, " 201 ") || strings.Contains(got, "secret\r\n") {
			t.Errorf("%s: %.300s", name, got)
		}
	}
}
