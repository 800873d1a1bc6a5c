package deployments_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/authn"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const (
	subDeployed    = "/subscriptions/" + subA + "/providers/Microsoft.Resources/deployments/"
	tenantDeployed = "/providers/Microsoft.Resources/deployments/"
	mgDeployed     = "/providers/Microsoft.Management/managementGroups/mg/providers/Microsoft.Resources/deployments/"
)

func scoped(template string) string {
	return `{"location":"West US","properties":{"mode":"Incremental","template":` + template + `}}`
}

// rootOwner gives a principal the role at the root of its tenant.
func (w *world) rootOwner(p authn.Principal) {
	w.Helper()
	w.Update(func(tx store.Tx) error {
		key := rbac.ScopeKey("/", p.TenantID)
		a := rbac.Assignment{Principal: p.ObjectID, Scope: key, Definition: owner}
		body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":"/"}}`, owner, p.ObjectID)
		_, err := tx.Put(store.Document{Key: key + "/providers/microsoft.authorization/roleassignments/" + p.ObjectID, Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: []byte(body)})
		return err
	})
}

// nested is a deployment within a template.
func nested(name, where, template, more string) string {
	return fmt.Sprintf(`{"type":"Microsoft.Resources/deployments","name":%q,"apiVersion":"2021-04-01"%s,"properties":{"mode":"Incremental","expressionEvaluationOptions":{"scope":"inner"},"template":%s%s}}`, name, where, template, more)
}

// A subscription's deployment makes a group and, in it, by a nested deployment, a resource whose output comes back.
func TestSubscriptionScope(t *testing.T) {
	w := newWorld(t)
	inner := document(`"parameters":{"n":{"type":"string"}},` + list(resource("Test.Fake/sync", "[parameters('n')]", `"properties":{"value":"[resourceGroup().location]"}`)) + `,"outputs":{"id":{"type":"string","value":"[resourceId('Test.Fake/sync', parameters('n'))]"}}`)
	doc := document(list(
		`{"type":"Microsoft.Resources/resourceGroups","apiVersion":"2021-04-01","name":"fresh","location":"[deployment().location]"}`,
		nested("in", `,"resourceGroup":"fresh","dependsOn":["fresh"]`, inner, `,"parameters":{"n":{"value":"x"}}`)) +
		`,"outputs":{"id":{"type":"string","value":"[reference('in').outputs.id.value]"}}`)
	want := "/subscriptions/" + subA + "/resourceGroups/fresh/providers/Test.Fake/sync/x"
	v := w.Decode(w.OK(inA, "POST", subDeployed+"d/validate", scoped(doc)).Body)
	if at(v, "properties.validatedResources.1.id") != want {
		t.Errorf("validate: %v", v)
	}
	w.Refused(inA, "GET", "/subscriptions/"+subA+"/resourceGroups/fresh", "", "404 ResourceGroupNotFound", "fresh")
	if status := w.Follow(inA, w.OK(inA, "PUT", subDeployed+"d", scoped(doc))); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	d := w.Get(inA, subDeployed+"d")
	if at(d, "properties.outputs.id.value") != want || d["location"] != "westus" || d["id"] != subDeployed+"d" {
		t.Errorf("%v", d)
	}
	if got := w.Get(inA, want+"?api-version=2020-01-01"); at(got, "properties.value") != "westus" {
		t.Errorf("%v", got)
	}
	if all := w.Get(inA, subDeployed)["value"].([]any); len(all) != 1 {
		t.Errorf("the subscription's list: %v", all)
	}
	if all := w.Get(inA, deployed)["value"].([]any); len(all) != 0 {
		t.Errorf("the group's list: %v", all)
	}
	if ops := w.Get(inA, subDeployed+"d/operations")["value"].([]any); len(ops) != 2 {
		t.Errorf("operations: %v", ops)
	}
	if x := w.Decode(w.OK(inA, "POST", subDeployed+"d/exportTemplate", "").Body); at(x, "template.resources.0.name") != "fresh" {
		t.Errorf("exported %v", x)
	}
	w.Refused(inA, "PUT", subDeployed+"d", strings.Replace(scoped(doc), "West US", "eastus", 1), "409 InvalidDeploymentLocation", "already exists in location 'westus'")
	w.Refused(inA, "PUT", subDeployed+"e", strings.Replace(scoped(doc), "West US", "moon", 1), "400 LocationNotAvailableForDeployment", "moon")
	w.Refused(inA, "PUT", subDeployed+"e", strings.Replace(scoped(doc), "Incremental", "Complete", 1), "400 InvalidDeployment", "'Complete'")
	w.Refused(inGuest, "PUT", subDeployed+"d", scoped(doc), "403 AuthorizationFailed", "Microsoft.Resources/deployments/write")
	if status := w.Follow(inA, w.OK(inA, "DELETE", subDeployed+"d", "")); status["status"] != "Succeeded" {
		t.Errorf("%v", status)
	}
	w.Refused(inA, "GET", subDeployed+"d", "", "404 DeploymentNotFound", "d")
}

// Mode Complete keeps what a deployment nested in it wrote into the group by way of the tenant.
func TestCompleteByTenant(t *testing.T) {
	w := newWorld(t)
	w.rootOwner(ownerA)
	into := nested("into", `,"subscriptionId":"`+subA+`","resourceGroup":"Rg"`, document(list(resource("Test.Fake/sync", "deep", ""))), "")
	doc := document(list(nested("up", `,"scope":"/","location":"westus"`, document(list(into)), "")))
	w.OK(inA, "PUT", things+"sync/other?api-version=2020-01-01", `{"location":"eastus"}`)
	if status := w.Follow(inA, w.OK(inA, "PUT", deployed+"c", strings.Replace(request(doc, "{}"), "incremental", "Complete", 1))); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	if w.Left("/sync/deep") != 1 || w.Left("/sync/other") != 0 {
		t.Errorf("left: %d of the template's, %d others", w.Left("/sync/deep"), w.Left("/sync/other"))
	}
}

// At the scope of the tenant and of a management group; each tenant's own.
func TestTenantScope(t *testing.T) {
	w := newWorld(t)
	w.rootOwner(ownerA)
	w.rootOwner(ownerB)
	w.Update(func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: "/tenants/" + tenantA + "/providers/microsoft.management/managementgroups/mg", Kind: "microsoft.management/managementgroups", Body: []byte(`{"id":"/providers/Microsoft.Management/managementGroups/mg","name":"mg"}`)})
		return err
	})
	inner := document(list(resource("Test.Fake/sync", "deep", "")))
	doc := document(list(nested("below", `,"subscriptionId":"`+subA+`","resourceGroup":"Rg"`, inner, "")) + `,"outputs":{"t":{"type":"string","value":"[tenant().tenantId]"}}`)
	for _, base := range []string{tenantDeployed, mgDeployed} {
		if status := w.Follow(inA, w.OK(inA, "PUT", base+"d", scoped(doc))); status["status"] != "Succeeded" {
			t.Fatalf("%s: %v", base, status)
		}
		d := w.Get(inA, base+"d")
		if d["id"] != base+"d" || at(d, "properties.outputs.t.value") != tenantA || at(d, "properties.provisioningState") != "Succeeded" {
			t.Errorf("%v", d)
		}
		if all := w.Get(inA, base)["value"].([]any); len(all) != 1 {
			t.Errorf("%s: %v", base, all)
		}
		w.Get(inA, things+"sync/deep?api-version=2020-01-01")
		if v := w.Decode(w.OK(inA, "POST", base+"e/validate", scoped(doc)).Body); at(v, "properties.validatedResources.0.id") != things+"sync/deep" {
			t.Errorf("validate: %v", v)
		}
		if p := w.whatIf(inA, base+"e", scoped(doc)); at(p, "properties.changes.0.changeType") != "NoChange" {
			t.Errorf("%v", p)
		}
		w.Refused(inGuest, "PUT", base+"d", scoped(doc), "403 AuthorizationFailed", "deployments/write")
		w.Refused(inB, "GET", base+"d", "", "404 DeploymentNotFound", "")
	}
	w.Refused(inA, "PUT", strings.Replace(mgDeployed, "/mg/", "/nope/", 1)+"d", scoped(doc), "404 NotFound", "management group 'nope'")
	// Another tenant's subscription is out of reach, however the template names it.
	status := w.Follow(inB, w.OK(inB, "PUT", tenantDeployed+"d", scoped(doc)))
	if status["status"] != "Failed" || !strings.Contains(fmt.Sprint(status), "InvalidAuthenticationTokenTenant") {
		t.Errorf("%v", status)
	}
}

// Rights are asked where each resource stands, when its turn comes; a nested deployment needs its own.
func TestNestedRights(t *testing.T) {
	w := newWorld(t)
	other := "/subscriptions/" + subA + "/resourceGroups/other"
	w.OK(inA, "PUT", other, `{"location":"eastus"}`)
	w.Give(guestA, contributor, group)
	doc := document(list(nested("n", `,"resourceGroup":"other"`, document(list(resource("Test.Fake/sync", "x", ""))), "")))
	status := w.Deploy(inGuest, "d", doc)
	if at(status, "error.details.0.code") != "AuthorizationFailed" || !strings.Contains(fmt.Sprint(status), "other/providers/Microsoft.Resources/deployments/n") {
		t.Errorf("%v", status)
	}
	w.Refused(inGuest, "POST", deployed+"d2/validate", request(doc, "{}"), "400 InvalidTemplateDeployment", "1 of 1")
	w.Give(guestA, machines, other) // deployments, and none of the fakes
	if status = w.Deploy(inGuest, "d", doc); !strings.Contains(fmt.Sprint(status), "Test.Fake/sync/write") {
		t.Errorf("%v", status)
	}
	w.Refused(inGuest, "GET", other+"/providers/Test.Fake/sync/x", "", "403 AuthorizationFailed", "read")
}

// Templates that multiply one another come to an end: by depth, and by a share for each.
func TestBombs(t *testing.T) {
	w := newWorld(t)
	doc := document(list(resource("Test.Fake/sync", "x", "")))
	for i := range 10 {
		doc = document(list(nested(fmt.Sprint("n", i), "", doc, "")))
	}
	w.Refused(inA, "POST", deployed+"d/validate", request(doc, "{}"), "400 InvalidTemplateDeployment", "1 of 1")
	if status := w.Deploy(inA, "deep", doc); !strings.Contains(fmt.Sprint(status), "nested deeper than 8 levels") {
		t.Errorf("%v", status)
	}
	wide := document(list(strings.Replace(nested("[concat('c', copyIndex())]", "", document(list()), ""), `"apiVersion"`, `"copy":{"name":"l","count":90},"apiVersion"`, 1)))
	for i := range 3 {
		wide = document(list(strings.Replace(nested(fmt.Sprintf("[concat('w%d', copyIndex())]", i), "", wide, ""), `"apiVersion"`, `"copy":{"name":"l","count":90},"apiVersion"`, 1)))
	}
	e := w.Refused(inA, "POST", deployed+"d/validate", request(wide, "{}"), "400 InvalidTemplateDeployment", "")
	if !strings.Contains(fmt.Sprint(e.Details[0]), "begin more than 4000 deployments") {
		t.Errorf("%v", e.Details[0])
	}
}

// whatIf asks and waits for the answer.
func (w *world) whatIf(as authn.Caller, deployment, body string) map[string]any {
	w.Helper()
	r := w.OK(as, "POST", deployment+"/whatIf", body)
	u, err := url.Parse(r.Header.Get("Location"))
	w.Must(err)
	if r.Status != 202 || u.Path == "" || len(r.Body) != 0 {
		w.Fatalf("%d %v %s", r.Status, r.Header, r.Body)
	}
	var answer map[string]any
	w.Until("the prediction", func() bool {
		r := w.OK(as, "GET", u.Path+"?"+u.RawQuery, "")
		if r.Status == 200 {
			answer = w.Decode(r.Body)
		}
		return r.Status == 200
	})
	return answer
}
