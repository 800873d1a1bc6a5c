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
	if r := w.OK(inA, "PUT", group, `{"location":"East US","tags":{"k":"v2"}}`); r.Status != 200 || at(w.Decode(r.Body), "properties.provisioningState") != "Succeeded" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if r := w.OK(inA, "HEAD", strings.ToLower(group), ""); r.Status != 204 {
		t.Errorf("HEAD: %d", r.Status)
	}
	if all := w.Get(inA, "/subscriptions/"+subA+"/resourcegroups"); at(all, "value.0.name") != "Rg" || at(all, "value.0.tags.k") != "v2" || at(all, "value.0.location") != "eastus" {
		t.Errorf("%v", all)
	}
	w.Refused(inA, "PUT", group, `{"location":"westus"}`, "409 InvalidResourceGroupLocation", "eastus")
	w.Refused(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/ends.", `{"location":"westus"}`, "400 InvalidResourceGroup", "ends.")
	w.Refused(inB, "PUT", group, `{"location":"eastus"}`, "401 InvalidAuthenticationTokenTenant", tenantB)
}

// Deleting a group takes what is in it, deployments included, the inner resources first.
func TestDeleteGroup(t *testing.T) {
	w := newWorld(t)
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""), resource("Test.Fake/sync/children", "a/b", `"dependsOn":["a"]`), resource("Microsoft.Compute/virtualMachines", "vm", ""))))
	w.Hold("a", true) // in use at first: the deletion waits
	r := w.OK(inA, "DELETE", group, "")
	location := strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com")
	if r.Status != 202 || r.Header.Get("Azure-AsyncOperation") != "" || !strings.HasPrefix(location, "/subscriptions/"+subA+"/operationresults/") {
		t.Errorf("%d %v", r.Status, r.Header)
	}
	w.Until("the child's end", func() bool { return w.Left("sync/a/children/b") == 0 })
	w.Refused(inA, "PUT", things+"sync/late", `{"location":"eastus"}`, "409 ResourceGroupBeingDeleted", "Rg")
	if r := w.OK(inA, "GET", location, ""); r.Status != 202 {
		t.Errorf("while it goes: %d", r.Status)
	}
	w.Hold("a", false)
	w.Until("the end", func() bool { return w.OK(inA, "GET", location, "").Status == 200 })
	w.Refused(inA, "GET", group, "", "404 ResourceGroupNotFound", "Rg")
	if n := w.Left(""); n != 0 {
		t.Errorf("%d documents are left", n)
	}
}

// A deployment that runs into the deletion of its group fails, and goes with the group.
func TestDeleteGroupUnderDeployment(t *testing.T) {
	w := newWorld(t)
	w.Hold("a", true)
	d := w.OK(inA, "PUT", deployed+"d", request(document(list(resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", `"dependsOn":["a"]`))), "{}"))
	w.Until("a", func() bool { return w.Left("slow/a") == 1 })
	r := w.OK(inA, "DELETE", group, "")
	w.Hold("a", false)
	w.Until("the end", func() bool {
		return w.OK(inA, "GET", strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com"), "").Status == 200
	})
	if status := w.Follow(inA, d); at(status, "error.details.0.code") != "ResourceGroupBeingDeleted" {
		t.Errorf("%v", status)
	}
	if w.Left("") != 0 || strings.Contains(w.Written(), "b") {
		t.Errorf("%d documents are left, written %s", w.Left(""), w.Written())
	}
}

// A resource that the caller may not delete blocks the deletion at once; the group is as it was.
func TestDeletionBlocked(t *testing.T) {
	w := newWorld(t)
	w.OK(inA, "PUT", things+"sync/a", `{"location":"eastus"}`)
	w.OK(inA, "PUT", things+"sync/b", `{"location":"eastus"}`)
	w.Give(guestA, contributor, group)
	w.Hold("a", true)
	r := w.OK(inGuest, "DELETE", group, "")
	location := strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com")
	w.Until("b's end", func() bool { return w.Left("sync/b") == 0 })
	w.Revoke(guestA, group)
	var blocked *arm.Error
	w.Until("the end", func() bool {
		_, err := w.Do(inA, "GET", location, "")
		e, ok := err.(*arm.Error)
		blocked = e
		return ok
	})
	if blocked.Code != "ResourceGroupDeletionBlocked" || !strings.Contains(blocked.Message, things+"sync/a") || len(blocked.Details) != 1 || blocked.Details[0].Code != "AuthorizationFailed" {
		t.Errorf("%v, %v", blocked, blocked.Details)
	}
	if at(w.Get(inA, group), "properties.provisioningState") != "Succeeded" || w.Left("") != 1 {
		t.Error("the group is not as it was")
	}
}

// A principal with a role on one gallery sees its subscription, and of the resources that gallery only.
func TestSeesOneGallery(t *testing.T) {
	w := newWorld(t)
	gallery := group + "/providers/Microsoft.Compute/galleries/g"
	w.OK(inA, "PUT", gallery, `{"location":"eastus"}`)
	w.OK(inA, "PUT", things+"sync/a", `{"location":"eastus"}`)
	w.Update(func(tx store.Tx) error {
		return control.WriteSubscription(tx, control.Subscription{ID: "aaaaaaaa-0000-4000-8000-0000000000ff", Name: "other", State: "Enabled", Tenant: tenantA})
	})
	if none := w.Get(inGuest, "/subscriptions"); len(none["value"].([]any)) != 0 {
		t.Errorf("without a role: %v", none)
	}
	w.Refused(inGuest, "GET", "/subscriptions/"+subA, "", "403 AuthorizationFailed", "Microsoft.Resources/subscriptions/read")
	w.Refused(inGuest, "GET", "/subscriptions/"+subA+"/resources", "", "403 AuthorizationFailed", "subscriptions/read")
	w.Give(guestA, reader, gallery)
	all := w.Get(inGuest, "/subscriptions")
	for path, want := range map[string]any{"value.0.subscriptionId": subA, "value.0.tenantId": tenantA, "value.0.displayName": "name of " + subA, "value.0.state": "Enabled", "value.1": nil} {
		if got := at(all, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if s := w.Get(inGuest, "/subscriptions/"+subA); s["subscriptionId"] != subA {
		t.Errorf("%v", s)
	}
	if l := w.Get(inGuest, "/subscriptions/"+subA+"/resources"); at(l, "value.0.id") != gallery || at(l, "value.1") != nil {
		t.Errorf("resources: %v", l)
	}
	if tenants := w.Get(inGuest, "/tenants"); at(tenants, "value.0.tenantId") != tenantA || at(tenants, "value.1") != nil {
		t.Errorf("tenants: %v", tenants)
	}
	w.Refused(inB, "GET", "/subscriptions/"+subA, "", "401 InvalidAuthenticationTokenTenant", tenantB)
}

// az group list --tag sends a filter; who then deletes what is listed must not get all groups.
func TestListGroups(t *testing.T) {
	w := newWorld(t)
	w.OK(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/one", `{"location":"westus","tags":{"env":"it's"}}`)
	w.OK(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/two", `{"location":"westus","tags":{"env":"prod","dept":"R and D"}}`)
	for filter, want := range map[string]string{
		"": "one rg two", "tagname eq 'env'": "one two", "tagName eq 'env' and tagValue eq 'prod'": "two", "tagname eq 'env' and tagvalue eq 'it''s'": "one",
		"tagname eq 'ENV' and tagvalue eq 'prod'": "two", "tagname eq 'env' and tagvalue eq 'PROD'": "", "tagname eq 'none'": "", "name eq 'TWO'": "two", "location eq 'West US'": "one two",
		"tagname eq 'dept' and tagvalue eq 'R and D'": "two", "tagname eq 'env' and tagvalue eq ''": "",
	} {
		var names []string
		for _, v := range w.Get(inA, "/subscriptions/"+subA+"/resourceGroups?$filter="+filter)["value"].([]any) {
			names = append(names, strings.ToLower(at(v, "name").(string)))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: %q, want %q", filter, got, want)
		}
	}
	for _, filter := range []string{"zz", "resourceType eq 'x'", "tagName ne 'x'", "tagValue eq 'prod'", "tagName eq 'x' or tagName eq 'env'", "name eq 'one' and", "name eq 'one' and name eq 'two'", "name eq one", "name eq ''"} {
		w.Refused(inA, "GET", "/subscriptions/"+subA+"/resourceGroups?$filter="+filter, "", "400 InvalidFilterInQueryString", "Invalid $filter")
	}
}

func TestListResources(t *testing.T) {
	w := newWorld(t)
	w.OK(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/other", `{"location":"westus"}`)
	w.OK(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/other/providers/Test.Fake/sync/c", `{"location":"westus","tags":{"x":"2"}}`)
	w.OK(inA, "PUT", things+"sync/a", `{"location":"eastus","tags":{"x":"1"}}`)
	w.OK(inA, "PUT", things+"linked/b", `{"location":"eastus"}`)
	w.Deploy(inA, "d", document(list()))
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
		l := w.Get(inA, query)
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
	w.Refused(inA, "GET", "/subscriptions/"+subA+"/resourceGroups/none/resources", "", "404 ResourceGroupNotFound", "'none'")
	w.Refused(inA, "GET", "/subscriptions/"+subA+"/resources?$filter=plan ne 'x'", "", "400 InvalidFilterInQueryString", "plan ne")
	w.Refused(inA, "GET", "/subscriptions/"+subA+"/resources?$top=none", "", "400 InvalidQueryParameterValue", "'none'")
	for path, want := range map[string]string{
		"/subscriptions/" + subA + "/resources?$top=1":                        "c b a",
		"/subscriptions/" + subA + "/resources?$top=2":                        "c b a",
		"/subscriptions/" + subA + "/resources?$top=3":                        "c b a",
		"/subscriptions/" + subA + "/resources?$filter=tagName eq 'x'&$top=1": "c a",
		group + "/resources?$top=1":                                           "b a",
		"/subscriptions/" + subA + "/resourceGroups?$top=1":                   "other rg",
	} {
		var names []string
		for next := path; next != "" && len(names) < 9; {
			l := w.Get(inA, next)
			for _, v := range l["value"].([]any) {
				names = append(names, strings.ToLower(at(v, "name").(string)))
			}
			link, _ := at(l, "nextLink").(string)
			next = strings.TrimPrefix(link, "https://management.azure.com")
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestManifests(t *testing.T) {
	w := newWorld(t)
	m := w.Get(inA, "/subscriptions/"+subA+"/providers/microsoft.compute")
	if at(m, "namespace") != "Microsoft.Compute" || at(m, "registrationState") != "Registered" || at(m, "resourceTypes.0.resourceType") != "galleries" ||
		at(m, "resourceTypes.0.apiVersions.0") != "2020-01-01" || at(m, "resourceTypes.0.locations.0") == nil {
		t.Errorf("%v", m)
	}
	if r := w.Decode(w.OK(inA, "POST", "/subscriptions/"+subA+"/providers/Microsoft.Compute/register", "").Body); at(r, "namespace") != "Microsoft.Compute" {
		t.Errorf("%v", r)
	}
	var names []string
	for _, v := range w.Get(inA, "/subscriptions/"+subA+"/providers")["value"].([]any) {
		names = append(names, at(v, "namespace").(string))
	}
	if got := strings.Join(names, " "); got != "Microsoft.Compute Microsoft.Network Microsoft.Resources Test.Fake" {
		t.Errorf("providers: %s", got)
	}
	w.Refused(inA, "GET", "/subscriptions/"+subA+"/providers/Acme.Rockets", "", "404 InvalidResourceNamespace", "Acme.Rockets")
	var rights []string
	for _, v := range w.Get(inGuest, "/providers/microsoft.compute/operations")["value"].([]any) {
		rights = append(rights, at(v, "name").(string))
		if at(v, "display.provider") != "Microsoft.Compute" || at(v, "display.resource") == "" || at(v, "isDataAction") != false {
			t.Errorf("%v", v)
		}
	}
	if got, want := strings.Join(rights, " "), strings.ReplaceAll("g/delete g/listKeys/action g/read g/write v/delete v/listKeys/action v/read v/write", "g/", "Microsoft.Compute/galleries/"); got != strings.ReplaceAll(want, "v/", "Microsoft.Compute/virtualMachines/") {
		t.Errorf("operations: %s", got)
	}
	w.Refused(inA, "GET", "/providers/Acme.Rockets/operations", "", "404 InvalidResourceNamespace", "Acme.Rockets")
	l := w.Get(inA, "/subscriptions/"+subA+"/locations?api-version=2019-11-01")
	if at(l, "value.0.regionalDisplayName") == nil || at(l, "value.0.name") == nil {
		t.Errorf("%v", l)
	}
}
