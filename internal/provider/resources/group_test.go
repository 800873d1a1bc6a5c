package resources_test

import (
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

func TestGroups(t *testing.T) {
	w := newWorld(t)
	if r := w.ok(inA, "PUT", group, `{"location":"East US","tags":{"k":"v2"}}`); r.Status != 200 || at(w.decode(r.Body), "properties.provisioningState") != "Succeeded" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if r := w.ok(inA, "HEAD", strings.ToLower(group), ""); r.Status != 204 {
		t.Errorf("HEAD: %d", r.Status)
	}
	if all := w.get(inA, "/subscriptions/"+subA+"/resourcegroups"); at(all, "value.0.name") != "Rg" || at(all, "value.0.tags.k") != "v2" || at(all, "value.0.location") != "eastus" {
		t.Errorf("%v", all)
	}
	w.refused(inA, "PUT", group, `{"location":"westus"}`, 409, "InvalidResourceGroupLocation", "eastus")
	w.refused(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/ends.", `{"location":"westus"}`, 400, "InvalidResourceGroup", "ends.")
	w.refused(inB, "PUT", group, `{"location":"eastus"}`, 401, "InvalidAuthenticationTokenTenant", tenantB)
}

// Deleting a group takes what is in it, deployments included, the inner resources first.
func TestDeleteGroup(t *testing.T) {
	w := newWorld(t)
	w.deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""), resource("Test.Fake/sync/children", "a/b", `"dependsOn":["a"]`), resource("Microsoft.Compute/virtualMachines", "vm", ""))))
	w.hold("a", true) // in use at first: the deletion waits
	r := w.ok(inA, "DELETE", group, "")
	location := strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com")
	if r.Status != 202 || r.Header.Get("Azure-AsyncOperation") != "" || !strings.HasPrefix(location, "/subscriptions/"+subA+"/operationresults/") {
		t.Errorf("%d %v", r.Status, r.Header)
	}
	w.until("the child's end", func() bool { return w.left("sync/a/children/b") == 0 })
	w.refused(inA, "PUT", things+"sync/late", `{"location":"eastus"}`, 409, "ResourceGroupBeingDeleted", "Rg")
	if r := w.ok(inA, "GET", location, ""); r.Status != 202 {
		t.Errorf("while it goes: %d", r.Status)
	}
	w.hold("a", false)
	w.until("the end", func() bool { return w.ok(inA, "GET", location, "").Status == 200 })
	w.refused(inA, "GET", group, "", 404, "ResourceGroupNotFound", "Rg")
	if n := w.left(""); n != 0 {
		t.Errorf("%d documents are left", n)
	}
}

// A deployment that runs into the deletion of its group fails, and goes with the group.
func TestDeleteGroupUnderDeployment(t *testing.T) {
	w := newWorld(t)
	w.hold("a", true)
	d := w.ok(inA, "PUT", deployed+"d", request(document(list(resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", `"dependsOn":["a"]`))), "{}"))
	w.until("a", func() bool { return w.left("slow/a") == 1 })
	r := w.ok(inA, "DELETE", group, "")
	w.hold("a", false)
	w.until("the end", func() bool {
		return w.ok(inA, "GET", strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com"), "").Status == 200
	})
	if status := w.follow(inA, d); at(status, "error.details.0.code") != "ResourceGroupBeingDeleted" {
		t.Errorf("%v", status)
	}
	if w.left("") != 0 || strings.Contains(w.written(), "b") {
		t.Errorf("%d documents are left, written %s", w.left(""), w.written())
	}
}

// left counts the documents in the group whose keys have this part.
func (w *world) left(part string) int {
	w.Helper()
	n := 0
	w.must(w.store.View(w.Context(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Prefix: strings.ToLower(group) + "/providers/"})
		n = 0
		for _, d := range docs {
			if strings.Contains(d.Key, part) {
				n++
			}
		}
		return err
	}))
	return n
}

// A resource that the caller may not delete blocks the deletion at once; the group is as it was.
func TestDeletionBlocked(t *testing.T) {
	w := newWorld(t)
	w.ok(inA, "PUT", things+"sync/a", `{"location":"eastus"}`)
	w.ok(inA, "PUT", things+"sync/b", `{"location":"eastus"}`)
	w.give(guestA, contributor, group)
	w.hold("a", true)
	r := w.ok(inGuest, "DELETE", group, "")
	location := strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com")
	w.until("b's end", func() bool { return w.left("sync/b") == 0 })
	w.revoke(guestA, group)
	var blocked *arm.Error
	w.until("the end", func() bool {
		_, err := w.do(inA, "GET", location, "")
		e, ok := err.(*arm.Error)
		blocked = e
		return ok
	})
	if blocked.Code != "ResourceGroupDeletionBlocked" || !strings.Contains(blocked.Message, things+"sync/a") || len(blocked.Details) != 1 || blocked.Details[0].Code != "AuthorizationFailed" {
		t.Errorf("%v, %v", blocked, blocked.Details)
	}
	if at(w.get(inA, group), "properties.provisioningState") != "Succeeded" || w.left("") != 1 {
		t.Error("the group is not as it was")
	}
}

// A principal with a role on one gallery sees its subscription, and of the resources that gallery only.
func TestSeesOneGallery(t *testing.T) {
	w := newWorld(t)
	gallery := group + "/providers/Microsoft.Compute/galleries/g"
	w.ok(inA, "PUT", gallery, `{"location":"eastus"}`)
	w.ok(inA, "PUT", things+"sync/a", `{"location":"eastus"}`)
	w.update(func(tx store.Tx) error {
		return control.WriteSubscription(tx, control.Subscription{ID: "aaaaaaaa-0000-4000-8000-0000000000ff", Name: "other", State: "Enabled", Tenant: tenantA})
	})
	if none := w.get(inGuest, "/subscriptions"); len(none["value"].([]any)) != 0 {
		t.Errorf("without a role: %v", none)
	}
	w.refused(inGuest, "GET", "/subscriptions/"+subA, "", 403, "AuthorizationFailed", "Microsoft.Resources/subscriptions/read")
	w.refused(inGuest, "GET", "/subscriptions/"+subA+"/resources", "", 403, "AuthorizationFailed", "subscriptions/read")
	w.give(guestA, reader, gallery)
	all := w.get(inGuest, "/subscriptions")
	for path, want := range map[string]any{"value.0.subscriptionId": subA, "value.0.tenantId": tenantA, "value.0.displayName": "name of " + subA, "value.0.state": "Enabled", "value.1": nil} {
		if got := at(all, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if s := w.get(inGuest, "/subscriptions/"+subA); s["subscriptionId"] != subA {
		t.Errorf("%v", s)
	}
	if l := w.get(inGuest, "/subscriptions/"+subA+"/resources"); at(l, "value.0.id") != gallery || at(l, "value.1") != nil {
		t.Errorf("resources: %v", l)
	}
	if tenants := w.get(inGuest, "/tenants"); at(tenants, "value.0.tenantId") != tenantA || at(tenants, "value.1") != nil {
		t.Errorf("tenants: %v", tenants)
	}
	w.refused(inB, "GET", "/subscriptions/"+subA, "", 401, "InvalidAuthenticationTokenTenant", tenantB)
}

func TestListResources(t *testing.T) {
	w := newWorld(t)
	w.ok(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/other", `{"location":"westus"}`)
	w.ok(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/other/providers/Test.Fake/sync/c", `{"location":"westus","tags":{"x":"2"}}`)
	w.ok(inA, "PUT", things+"sync/a", `{"location":"eastus","tags":{"x":"1"}}`)
	w.ok(inA, "PUT", things+"linked/b", `{"location":"eastus"}`)
	w.deploy(inA, "d", document(list()))
	for query, want := range map[string]string{
		"/subscriptions/" + subA + "/resources":                                                  "c b a",
		group + "/resources":                                                                     "b a",
		"/subscriptions/" + subA + "/resources?$filter=resourceGroup eq 'RG'":                    "b a",
		"/subscriptions/" + subA + "/resources?$filter=resourceType eq 'test.fake/sync'":         "c a",
		"/subscriptions/" + subA + "/resources?$filter=location eq 'West US'":                    "c",
		"/subscriptions/" + subA + "/resources?$filter=tagName eq 'x' and tagValue eq '2'":       "c",
		"/subscriptions/" + subA + "/resources?$filter=tagName eq 'x'":                           "c a",
		"/subscriptions/" + subA + "/resources?$filter=name eq 'A' and resourceGroup eq 'other'": "",
		"/subscriptions/" + subA + "/resources?$filter=name eq 'c'&$expand=createdTime":          "c",
	} {
		var names []string
		l := w.get(inA, query)
		for _, v := range l["value"].([]any) {
			names = append(names, at(v, "name").(string))
			if at(v, "createdAt") != nil || at(v, "properties") != nil || (at(v, "createdTime") != nil) != strings.Contains(query, "createdTime") {
				t.Errorf("%s: %v", query, v)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	w.refused(inA, "GET", "/subscriptions/"+subA+"/resourceGroups/none/resources", "", 404, "ResourceGroupNotFound", "'none'")
	w.refused(inA, "GET", "/subscriptions/"+subA+"/resources?$filter=plan ne 'x'", "", 400, "InvalidFilterInQueryString", "plan ne")
}

func TestManifests(t *testing.T) {
	w := newWorld(t)
	m := w.get(inA, "/subscriptions/"+subA+"/providers/microsoft.compute")
	if at(m, "namespace") != "Microsoft.Compute" || at(m, "registrationState") != "Registered" || at(m, "resourceTypes.0.resourceType") != "galleries" ||
		at(m, "resourceTypes.0.apiVersions.0") != "2020-01-01" || at(m, "resourceTypes.0.locations.0") == nil {
		t.Errorf("%v", m)
	}
	if r := w.decode(w.ok(inA, "POST", "/subscriptions/"+subA+"/providers/Microsoft.Compute/register", "").Body); at(r, "namespace") != "Microsoft.Compute" {
		t.Errorf("%v", r)
	}
	var names []string
	for _, v := range w.get(inA, "/subscriptions/"+subA+"/providers")["value"].([]any) {
		names = append(names, at(v, "namespace").(string))
	}
	if got := strings.Join(names, " "); got != "Microsoft.Compute Microsoft.Network Microsoft.Resources Test.Fake" {
		t.Errorf("providers: %s", got)
	}
	w.refused(inA, "GET", "/subscriptions/"+subA+"/providers/Acme.Rockets", "", 404, "InvalidResourceNamespace", "Acme.Rockets")
	l := w.get(inA, "/subscriptions/"+subA+"/locations?api-version=2019-11-01")
	if at(l, "value.0.regionalDisplayName") == nil || at(l, "value.0.name") == nil {
		t.Errorf("%v", l)
	}
}
