package storage_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vitrine/internal/store"
)

const plain = `{"location":"westeurope","sku":{"name":"standard_lrs"},"kind":"storagev2"}`

func keys(w *world, path string) (key1, key2 string) {
	w.Helper()
	out := w.ok(200, "POST", path+"/listKeys", "")
	list := out["keys"].([]any)
	return list[0].(map[string]any)["value"].(string), list[1].(map[string]any)["value"].(string)
}

func TestAccount(t *testing.T) {
	w := newWorld(t)
	path := group(sub) + provided + "vitrinestore1"
	got := w.ok(200, "PUT", path, plain)
	props := got["properties"].(map[string]any)
	if got["kind"] != "StorageV2" || got["sku"].(map[string]any)["name"] != "Standard_LRS" || got["sku"].(map[string]any)["tier"] != "Standard" {
		t.Errorf("not normalised: %v", got)
	}
	if e := props["primaryEndpoints"].(map[string]any); e["blob"] != "https://vitrinestore1.blob.core.windows.net/" || len(e) != 1 {
		t.Errorf("endpoints: %v", e)
	}
	if props["provisioningState"] != "Succeeded" || props["allowBlobPublicAccess"] != false || props["supportsHttpsTrafficOnly"] != true || props["accessTier"] != "Hot" {
		t.Errorf("defaults: %v", props)
	}
	first, second := keys(w, path)
	if raw, err := base64.StdEncoding.DecodeString(first); err != nil || len(raw) != 64 || first == second {
		t.Errorf("keys: %q %q", first, second)
	}
	w.ok(200, "PATCH", path, `{"tags":{"a":"b"},"properties":{"accessTier":"Cool"}}`)
	if again, _ := keys(w, path); again != first {
		t.Error("a PATCH changed the keys")
	}
	w.ok(200, "POST", path+"/regenerateKey", `{"keyName":"key1"}`)
	if k1, k2 := keys(w, path); k1 == first || k2 != second {
		t.Error("regenerateKey did not change key1 alone")
	}
	raw, err := json.Marshal(w.ok(200, "GET", path, ""))
	w.must(err)
	if strings.Contains(string(raw), "sealed") || strings.Contains(string(raw), "uniqueId") {
		t.Errorf("an answer shows what is private: %s", raw)
	}
	a, err := w.accounts.Find(context.Background(), "vitrinestore1")
	w.must(err)
	if k1, _ := keys(w, path); base64.StdEncoding.EncodeToString(a.Keys[0]) != k1 || !a.SharedKey {
		t.Errorf("Find: %v", a)
	}
	w.ok(200, "DELETE", path, "")
	w.ok(204, "DELETE", path, "")
	if _, err := w.accounts.Find(context.Background(), "vitrinestore1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("found after deletion: %v", err)
	}
	w.refused(404, "ResourceNotFound", "GET", path+"/blobServices/default", "")
	w.ok(200, "PUT", path, plain)
	if again, _ := keys(w, path); again == first {
		t.Error("a new account of the old name has the old key")
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	w.ok(200, "PUT", group(sub)+provided+"takenname", plain)
	w.refused(409, "StorageAccountAlreadyTaken", "PUT", group(other)+provided+"takenname", plain)
	for _, name := range []string{"ab", "Upper", "with-dash", strings.Repeat("a", 25)} {
		w.refused(400, "AccountNameInvalid", "PUT", group(sub)+provided+name, plain)
	}
	for location, want := range map[string]float64{"westeurope": 1, "West Europe": 1, "eastus": 0} {
		used := w.ok(200, "GET", "/subscriptions/"+sub+"/providers/Microsoft.Storage/locations/"+location+"/usages", "")["value"].([]any)[0].(map[string]any)
		if used["currentValue"] != want || used["limit"] != 250.0 {
			t.Errorf("usages in %s: %v", location, used)
		}
	}
	w.refused(400, "InvalidValuesForRequestParameters", "GET", "/subscriptions/"+sub+"/providers/Microsoft.Storage/locations/mars/usages", "")
	check := "/subscriptions/" + sub + "/providers/Microsoft.Storage/checkNameAvailability"
	for name, want := range map[string]any{"takenname": "AlreadyExists", "freename": nil, "Bad-Name": "AccountNameInvalid"} {
		got := w.ok(200, "POST", check, `{"type":"Microsoft.Storage/storageAccounts","name":"`+name+`"}`)
		if got["reason"] != want || got["nameAvailable"] != (want == nil) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	path := group(sub) + provided + "refused"
	for body, code := range map[string]string{
		`{"location":"westeurope","kind":"StorageV2"}`:                                                                           "MissingRequiredProperty",
		`{"location":"westeurope","sku":{"name":"Gold"},"kind":"StorageV2"}`:                                                     "InvalidValuesForRequestParameters",
		`{"location":"westeurope","sku":{"name":"Premium_LRS"},"kind":"FileStorage"}`:                                            "NotSupported",
		`{"location":"westeurope","sku":{"name":"Standard_LRS"},"properties":{"isHnsEnabled":true}}`:                             "NotSupported",
		`{"location":"westeurope","sku":{"name":"Standard_LRS"},"properties":{"networkAcls":{"defaultAction":"Deny"}}}`:          "NotSupported",
		`{"location":"westeurope","sku":{"name":"Standard_LRS"},"properties":{"publicNetworkAccess":"Disabled"}}`:                "NotSupported",
		`{"location":"westeurope","sku":{"name":"Standard_LRS"},"properties":{"encryption":{"keySource":"Microsoft.Keyvault"}}}`: "NotSupported",
	} {
		w.refused(400, code, "PUT", path, body)
	}
	w.ok(200, "PUT", path, plain)
	w.refused(409, "StorageAccountTypeConversionNotAllowed", "PATCH", path, `{"sku":{"name":"Premium_LRS"}}`)
	w.refused(400, "InvalidValuesForRequestParameters", "POST", path+"/regenerateKey", `{"keyName":"key3"}`)
	w.refused(400, "NotSupported", "PUT", path+"/blobServices/default", `{"properties":{"deleteRetentionPolicy":{"enabled":true,"days":7}}}`)
}

// TestPromisesRefused: what would keep bytes or strangers away, and does not here, is refused by name; its absence may be said.
func TestPromisesRefused(t *testing.T) {
	w := newWorld(t)
	path := group(sub) + provided + "promises"
	account := func(props string) string {
		return `{"location":"westeurope","sku":{"name":"Standard_LRS"},"kind":"StorageV2","properties":{` + props + `}}`
	}
	for props, target := range map[string]string{
		`"sasPolicy":{"sasExpirationPeriod":"1.00:00:00","expirationAction":"Block"}`: "sasPolicy",
		`"AllowedCopyScope":"AAD"`:                                                              "allowedCopyScope",
		`"immutableStorageWithVersioning":{"enabled":true}`:                                     "immutableStorageWithVersioning",
		`"encryption":{"keySource":"Microsoft.Storage","requireInfrastructureEncryption":true}`: "encryption.requireInfrastructureEncryption",
		`"minimumTlsVersion":"TLS1_3"`:                                                          "minimumTlsVersion",
	} {
		if e := w.refused(400, "NotSupported", "PUT", path, account(props)); e.Target != "properties."+target {
			t.Errorf("%s: target %q", props, e.Target)
		}
	}
	w.ok(200, "PUT", path, account(`"sasPolicy":{"sasExpirationPeriod":"1.00:00:00","expirationAction":"Log"},"immutableStorageWithVersioning":{"enabled":false},
		"encryption":{"keySource":"Microsoft.Storage","requireInfrastructureEncryption":false}`))
	w.refused(400, "NotSupported", "PATCH", path, `{"properties":{"allowedCopyScope":"PrivateLink"}}`)
	service := path + "/blobServices/default"
	for props, target := range map[string]string{
		`"isVersioningEnabled":true`:                                 "isVersioningEnabled",
		`"containerDeleteRetentionPolicy":{"enabled":true,"days":7}`: "containerDeleteRetentionPolicy",
		`"restorePolicy":{"enabled":true,"days":6}`:                  "restorePolicy",
		`"changeFeed":{"enabled":true}`:                              "changeFeed",
		`"lastAccessTimeTrackingPolicy":{"enable":true}`:             "lastAccessTimeTrackingPolicy",
		`"automaticSnapshotPolicyEnabled":true`:                      "automaticSnapshotPolicyEnabled",
	} {
		if e := w.refused(400, "NotSupported", "PUT", service, `{"properties":{`+props+`}}`); e.Target != "properties."+target {
			t.Errorf("%s: target %q", props, e.Target)
		}
	}
	off := `{"properties":{"isVersioningEnabled":false,"containerDeleteRetentionPolicy":{"enabled":false},"changeFeed":{"enabled":false}}}`
	if got := w.ok(200, "PUT", service, off)["properties"].(map[string]any); got["isVersioningEnabled"] != false || got["changeFeed"] == nil {
		t.Errorf("what is off is not told: %v", got)
	}
	container := service + "/containers/vhds"
	for props, target := range map[string]string{
		`"immutableStorageWithVersioning":{"enabled":true}`: "immutableStorageWithVersioning",
		`"defaultEncryptionScope":"mine"`:                   "defaultEncryptionScope",
		`"denyEncryptionScopeOverride":true`:                "denyEncryptionScopeOverride",
	} {
		if e := w.refused(400, "NotSupported", "PUT", container, `{"properties":{`+props+`}}`); e.Target != "properties."+target {
			t.Errorf("%s: target %q", props, e.Target)
		}
	}
	w.ok(201, "PUT", container, `{"properties":{"defaultEncryptionScope":"$account-encryption-key","denyEncryptionScopeOverride":false}}`)
}

func TestContainers(t *testing.T) {
	w := newWorld(t)
	path := group(sub) + provided + "contained"
	w.ok(200, "PUT", path, plain)
	containers := path + "/blobServices/default/containers"
	got := w.ok(201, "PUT", containers+"/vhds", `{"properties":{"metadata":{"owner":"me"}}}`)
	if p := got["properties"].(map[string]any); p["publicAccess"] != "None" || p["leaseState"] != "Available" || p["hasLegalHold"] != false {
		t.Errorf("container: %v", got)
	}
	w.refused(409, "PublicAccessNotPermitted", "PUT", containers+"/open", `{"properties":{"publicAccess":"Blob"}}`)
	for _, name := range []string{"a", "Upper", "-dash", "dash-", "two--dashes"} {
		w.refused(400, "ContainerNameInvalid", "PUT", containers+"/"+name, `{}`)
	}
	if list := w.ok(200, "GET", containers, "")["value"].([]any); len(list) != 1 {
		t.Errorf("list: %v", list)
	}
	w.ok(200, "DELETE", path, "")
	w.ok(200, "PUT", path, plain)
	if list := w.ok(200, "GET", containers, "")["value"].([]any); len(list) != 0 {
		t.Errorf("containers outlived their account: %v", list)
	}
}
