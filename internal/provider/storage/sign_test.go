package storage_test

import "testing"

func TestSignRefused(t *testing.T) {
	w := newWorld(t)
	path := group(sub) + "/providers/Microsoft.Storage/storageAccounts/signing1"
	w.ok(200, "PUT", path, `{"location":"eastus","kind":"StorageV2","sku":{"name":"Standard_LRS"}}`)
	const till = `,"signedExpiry":"2100-01-01T00:00:00Z"}`
	for _, row := range []struct{ name, action, body, code, target string }{
		{"not JSON", "listAccountSas", `{`, "InvalidRequestContent", ""},
		{"a line feed", "listServiceSas", `{"canonicalizedResource":"/blob/signing1/c","signedResource":"c","signedPermission":"r","signedIp":"1.2.3.4\nhttps"` + till, "InvalidValuesForRequestParameters", "signedIp"},
		{"no services", "listAccountSas", `{"signedResourceTypes":"o","signedPermission":"r"` + till, "InvalidValuesForRequestParameters", "signedServices"},
		{"no end", "listAccountSas", `{"signedServices":"b","signedResourceTypes":"o","signedPermission":"r"}`, "InvalidValuesForRequestParameters", "signedExpiry"},
		{"the end before the start", "listAccountSas", `{"signedServices":"b","signedResourceTypes":"o","signedPermission":"r","signedStart":"2200-01-01T00:00:00Z"` + till, "InvalidValuesForRequestParameters", "signedExpiry"},
		{"a permission that is none", "listAccountSas", `{"signedServices":"b","signedResourceTypes":"o","signedPermission":"rZ"` + till, "InvalidValuesForRequestParameters", "signedPermission"},
		{"a third key", "listAccountSas", `{"signedServices":"b","signedResourceTypes":"o","signedPermission":"r","keyToSign":"key3"` + till, "InvalidValuesForRequestParameters", "keyToSign"},
		{"an unknown member", "listAccountSas", `{"signedServices":"b","signedResourceTypes":"o","signedPermission":"r","signedEncryptionScope":"x"` + till, "NotSupported", "signedEncryptionScope"},
		{"another account", "listServiceSas", `{"canonicalizedResource":"/blob/signing2/c","signedResource":"c","signedPermission":"r"` + till, "InvalidValuesForRequestParameters", "canonicalizedResource"},
		{"a container as a blob", "listServiceSas", `{"canonicalizedResource":"/blob/signing1/c","signedResource":"b","signedPermission":"r"` + till, "InvalidValuesForRequestParameters", "canonicalizedResource"},
		{"a file share", "listServiceSas", `{"canonicalizedResource":"/file/signing1/c","signedResource":"s","signedPermission":"r"` + till, "InvalidValuesForRequestParameters", "signedResource"},
		{"a stored policy", "listServiceSas", `{"canonicalizedResource":"/blob/signing1/c","signedResource":"c","signedPermission":"r","signedIdentifier":"p"` + till, "NotSupported", "signedIdentifier"},
	} {
		if e := w.refused(400, row.code, "POST", path+"/"+row.action, row.body); e.Target != row.target {
			t.Errorf("%s: target %q, want %q: %s", row.name, e.Target, row.target, e.Message)
		}
	}
}
