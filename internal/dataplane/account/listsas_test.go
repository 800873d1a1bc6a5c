package account_test

import (
	"encoding/json"
	"testing"
)

// Resource Manager makes signatures too (listAccountSas, listServiceSas), and the blob door takes them for what they say.
func TestListedSAS(t *testing.T) {
	w := newWorld(t)
	key := w.key("first")
	w.want(201, "", call{method: "PUT", path: "/box?restype=container", key: key})
	w.want(201, "", call{method: "PUT", path: "/box/one", key: key, body: []byte("1"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	w.want(201, "", call{method: "PUT", path: "/box/two", key: key, body: []byte("2"), headers: map[string]string{"x-ms-blob-type": "BlockBlob"}})
	listed := func(action, body string) string {
		var out map[string]string
		w.must(json.Unmarshal(w.arm("POST", group+"/providers/Microsoft.Storage/storageAccounts/First/"+action, body), &out))
		return out["accountSasToken"] + out["serviceSasToken"]
	}
	account := listed("ListAccountSas", `{"signedServices":"b","signedResourceTypes":"o","signedPermission":"r","signedExpiry":"2100-01-01T00:00:00Z","keyToSign":"key2","signedProtocol":"https,http"}`)
	w.want(200, "", call{method: "GET", path: "/box/one?" + account})
	w.want(403, "AuthorizationPermissionMismatch", call{method: "DELETE", path: "/box/one?" + account})
	w.want(403, "AuthorizationResourceTypeMismatch", call{method: "GET", path: "/box?restype=container&comp=list&" + account})

	blob := listed("listServiceSas", `{"canonicalizedResource":"/blob/first/box/one","signedResource":"b","signedPermission":"r","signedStart":"2020-01-01T01:00:00+01:00","signedExpiry":"2100-01-01T00:00:00.0000000Z","rsct":"text/x y"}`)
	w.want(200, "", call{method: "GET", path: "/box/one?" + blob})
	w.want(403, "AuthenticationFailed", call{method: "GET", path: "/box/two?" + blob})
	container := listed("listServiceSas", `{"canonicalizedResource":"/blob/first/box","signedResource":"c","signedPermission":"rl","signedExpiry":"2100-01-01T00:00:00Z"}`)
	w.want(200, "", call{method: "GET", path: "/box/two?" + container})
	w.want(200, "", call{method: "GET", path: "/box?restype=container&comp=list&" + container})
	w.arm("POST", group+"/providers/Microsoft.Storage/storageAccounts/first/regenerateKey", `{"keyName":"key2"}`)
	w.want(403, "AuthenticationFailed", call{method: "GET", path: "/box/one?" + account})
}
