package graph_test

import (
	"fmt"
	"testing"
)

// A person without a role makes 250 groups, as in Entra; giving them to others does not help, deleting them does.
func TestGroupQuota(t *testing.T) {
	w := newWorld(t)
	const path, one = "/v1.0/groups", `{"displayName":"g","mailEnabled":false,"mailNickname":"g","securityEnabled":true}`
	last := ""
	for range 250 {
		last = str(w.must("member", "POST", path, one, 201).body["id"])
	}
	owners := fmt.Sprintf("%s/%s/owners/", path, last)
	w.must("member", "POST", owners+"$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{bob}"}`, 204)
	w.must("member", "DELETE", owners+"{member}/$ref", "", 204)
	if r := w.must("member", "POST", path, one, 403); r.code() != "Directory_QuotaExceeded" {
		t.Error(r.text)
	}
	w.must("bob", "POST", path, one, 201)
	w.must("admin", "POST", path, one, 201)
	w.must("bob", "DELETE", path+"/"+last, "", 204)
	w.must("member", "POST", path, one, 201)
}
