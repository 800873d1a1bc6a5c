package account_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// proofs are ways to show a right to everything that the way can give, for one container and one blob.
func (w *world) proofs(key []byte, container, blob string) map[string]func(*call) {
	principal, bearer := w.principal(w.T)
	w.assign(principal, contributor, "/subscriptions/"+sub)
	w.assign(principal, delegator, "/subscriptions/"+sub+"/resourcegroups/rg")
	d := w.delegate(bearer)
	with := func(q string) func(*call) { return func(c *call) { c.path += "&" + q } }
	at := "/" + container + "/" + blob
	return map[string]func(*call){
		"nothing":             func(*call) {},
		"a key":               func(c *call) { c.key = key },
		"a token":             func(c *call) { c.bearer = bearer },
		"account SAS":         with(w.accountSAS(key, "first", "rwdlacup", "sco")),
		"SAS of the blob":     with(w.serviceSAS(key, "first", at, "b", "racwdl")),
		"SAS of no blob":      with(w.serviceSAS(key, "first", "/"+container+"/", "b", "racwdl")),
		"SAS of container":    with(w.serviceSAS(key, "first", "/"+container, "c", "racwdl")),
		"SAS of $root's":      with(w.serviceSAS(key, "first", "/$root/"+container, "b", "racwdl")),
		"delegation, blob":    with(d.sas(w, at, "b", "racwdl", nil)),
		"delegation, no blob": with(d.sas(w, "/"+container+"/", "b", "racwdl", nil)),
		"delegation, all":     with(d.sas(w, "/"+container, "c", "racwdl", nil)),
	}
}

// operationsOf are methods and comps of every operation on a container, a service and an account.
var operationsOf = []struct{ method, query string }{
	{"GET", ""}, {"HEAD", ""}, {"PUT", ""}, {"DELETE", ""}, {"GET", "&comp=list"}, {"GET", "&comp=acl"}, {"PUT", "&comp=acl"}, {"GET", "&comp=metadata"},
	{"PUT", "&comp=metadata"}, {"PUT", "&comp=lease"}, {"GET", "&comp=properties"}, {"POST", "&comp=userdelegationkey"},
}

// TestRestypeAndPath: what restype names and what the path names must be one thing, whatever is shown.
func TestRestypeAndPath(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.arm("PATCH", group+"/providers/Microsoft.Storage/storageAccounts/first", `{"properties":{"allowBlobPublicAccess":true}}`)
	public := map[string]string{"x-ms-blob-public-access": "blob"}
	w.want(201, "", call{method: "PUT", path: "/pub?restype=container", key: key, headers: public})
	w.want(201, "", call{method: "PUT", path: "/pub/x", key: key, body: []byte("one"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(201, "", call{method: "PUT", path: "/pub/other", key: key, body: []byte("two"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	codes := []string{"InvalidUri", "UnsupportedQueryParameter", "InvalidQueryParameterValue", "InvalidResourceName"}
	proofs := w.proofs(key, "pub", "x")
	for restype, paths := range map[string][]string{
		"container":                       {"/", "//", "/pub/x", "/pub/other", "/pub%2Fx", "/pub/x/", "/pub//", "//pub", "/%2Fpub", "/pub/no"},
		"service":                         {"//", "/pub", "/pub/", "/pub/x", "/pub%2Fx", "/x"},
		"account":                         {"//", "/pub", "/pub/", "/pub/x", "/pub%2Fx", "/x"},
		"Container":                       {"/", "/pub", "/pub/x"},
		"directory":                       {"/", "/pub", "/pub/x"},
		"container&restype=service":       {"/", "/pub", "/pub/x"},
		"&restype=container":              {"/", "/pub", "/pub/x"},
		"container&comp=list&comp=x&a=%0": {"/pub", "/pub/x"},
	} {
		for _, path := range paths {
			for name, show := range proofs {
				for _, o := range operationsOf {
					c := call{method: o.method, path: path + "?restype=" + restype + o.query, headers: map[string]string{"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15"}}
					show(&c)
					if a := w.do(c); a.StatusCode != 400 || !slices.Contains(codes, a.Header.Get("x-ms-error-code")) {
						t.Errorf("%s %s?restype=%s%s with %s: %d %s", o.method, path, restype, o.query, name, a.StatusCode, a.Header.Get("x-ms-error-code"))
					}
				}
			}
		}
	}
	for _, path := range []string{"/pub/x", "/pub/other"} {
		w.want(200, "", call{method: "GET", path: path}) // and nothing was deleted
	}
	from := map[string]string{"x-ms-copy-source": "https://first.blob.core.windows.net/pub/x?restype=container&" + w.serviceSAS(key, "first", "/pub/x", "b", "r")}
	w.want(403, "CannotVerifyCopySource", call{method: "PUT", path: "/pub/copy", key: key, headers: from})
	from["x-ms-copy-source"] = "https://first.blob.core.windows.net/pub?restype=container"
	w.want(400, "InvalidHeaderValue", call{method: "PUT", path: "/pub/copy", key: key, headers: from})
}

// TestBlobProofs: what was shown for a blob gives nothing of its container, where restype and path do fit.
func TestBlobProofs(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.fill(key)
	for name, show := range w.proofs(key, "box", "mine") {
		if !strings.Contains(name, "blob") && !strings.Contains(name, "root") && name != "nothing" {
			continue
		}
		for _, o := range operationsOf {
			for _, path := range []string{"/box?restype=container", "/box/?restype=container", "/?restype=service", "/?restype=account", "/?comp=list"} {
				c := call{method: o.method, path: path + o.query, body: []byte("<KeyInfo/>")}
				show(&c)
				if a := w.do(c); a.StatusCode < 400 || a.StatusCode >= 500 {
					t.Errorf("%s %s%s with %s: %d", o.method, path, o.query, name, a.StatusCode)
				}
			}
		}
	}
	list := call{method: "GET", path: "/box/?restype=container&comp=list", key: key} // a slash at the end is none of a blob's
	w.want(200, "", list)
	w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list&" + w.serviceSAS(key, "first", "/box", "c", "l")})
}

func (w *world) assignIf(principal, role, condition string) {
	w.Helper()
	const scope = "/subscriptions/" + sub
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q,"condition":%q,"conditionVersion":"2.0"}}`, role, principal, scope, condition)
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: scope + "/" + principal, Kind: rbac.AssignmentKind, Terms: rbac.Assignment{Principal: principal, Scope: scope}.Terms(), Body: []byte(body)})
		return err
	}))
}

// TestPathConditions: a role that is bound to paths, prefixes and names gives no more than those.
func TestPathConditions(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/other?restype=container", key: key})
	blob := map[string]string{"x-ms-blob-type": "BlockBlob"}
	for _, path := range []string{"/box/mine/a", "/box/mine/d", "/box/secret", "/other/mine/a"} {
		w.want(201, "", call{method: "PUT", path: path, key: key, body: []byte("x"), headers: blob})
	}
	principal, bearer := w.principal(t)
	const blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
	const path, prefix, name = "@Resource[" + blobs + ":path]", "@Request[" + blobs + ":prefix]", "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]"
	const reading, listing = "ActionMatches{'" + blobs + "/read'}", "SubOperationMatches{'Blob.List'}"
	get := func(p string) call { return call{method: "GET", path: p} }
	put := func(p string) call { return call{method: "PUT", path: p, headers: blob} }
	list := func(p string) call {
		return call{method: "GET", path: "/box?restype=container&comp=list&prefix=" + url.QueryEscape(p)}
	}
	all := map[string]call{"get mine": get("/box/mine/a"), "get secret": get("/box/secret"), "get other": get("/other/mine/a"), "put mine": put("/box/mine/a"), "put secret": put("/box/secret"),
		"put new": put("/box/new"), "delete secret": {method: "DELETE", path: "/box/secret"}, "list all": list(""), "list mine": list("mine/"), "list secret": list("sec"),
		"copy in": {method: "PUT", path: "/box/mine/c", headers: map[string]string{"x-ms-copy-source": "https://first.blob.core.windows.net/box/secret"}}}
	for condition, allowed := range map[string][]string{
		path + " StringEquals 'mine/a'":                                                     {"get mine", "get other", "put mine"},
		path + " StringEquals 'MINE/a'":                                                     {},
		path + " StringLike 'mine/*'":                                                       {"get mine", "get other", "put mine"}, // of a copy the source too must fit
		path + " StringLike 'mine/*' AND " + name + " StringEquals 'box'":                   {"get mine", "put mine"},
		name + " StringEquals 'other'":                                                      {"get other"},
		"@Resource[Microsoft.Storage/storageAccounts:name] StringEquals 'second'":           {},
		"@Request[" + blobs + ":path] StringLike '*'":                                       {},
		"NOT " + path + " StringLike 'secret*'":                                             {"get mine", "get other", "put mine", "put new"}, // a listing has no path
		prefix + " StringStartsWith 'mine/'":                                                {"list mine"},
		prefix + " StringNotStartsWith 'mine/'":                                             {"list secret"},
		"!(" + reading + " AND " + listing + ") OR " + prefix + " StringStartsWith 'mine/'": {"get mine", "get secret", "get other", "put mine", "put secret", "put new", "delete secret", "list mine", "copy in"},
		"!(" + reading + " AND NOT " + listing + ") OR " + path + " StringLike 'mine/*'":    {"get mine", "get other", "put mine", "put secret", "put new", "delete secret", "list all", "list mine", "list secret"},
		reading + " AND " + listing + " AND " + prefix + " StringEquals 'mine/'":            {"list mine"},
		"@Resource[" + blobs + "/tags:Project<$key_case_sensitive$>] StringEquals 'x'":      {},
	} {
		w.assignIf(principal, contributor, condition)
		for what, c := range all {
			c.bearer = bearer
			a := w.do(c)
			if got := a.StatusCode < 300; got != slices.Contains(allowed, what) || !got && a.StatusCode != 403 {
				t.Errorf("%s, %s: %d %s", condition, what, a.StatusCode, a.Header.Get("x-ms-error-code"))
			}
			w.want(201, "", call{method: "PUT", path: "/box/secret", key: key, body: []byte("x"), headers: blob})
			w.want(201, "", call{method: "PUT", path: "/box/mine/a", key: key, body: []byte("x"), headers: blob})
		}
		w.revoke(principal, "/subscriptions/"+sub)
	}
}

// TestDelegatedConditions: a SAS that a principal signed is bound by the conditions of its roles.
func TestDelegatedConditions(t *testing.T) {
	w := newWorld(t)
	w.fill(w.key("first"))
	principal, bearer := w.principal(t)
	w.assign(principal, delegator, "/subscriptions/"+sub+"/resourcegroups/rg")
	w.assignIf(principal, reader, "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path] StringEquals 'mine'")
	all := w.delegate(bearer).sas(w, "/box", "c", "rl", nil)
	w.want(200, "", call{method: "GET", path: "/box/mine?" + all})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "GET", path: "/box/secret?" + all})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "GET", path: "/box?restype=container&comp=list&" + all})
}
