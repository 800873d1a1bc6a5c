package deployments_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// changes are the prediction's by the end of the ID: "sync/a Create".
func changes(p map[string]any) string {
	var all []string
	list, _ := at(p, "properties.changes").([]any)
	for _, c := range list {
		id := at(c, "resourceId").(string)
		all = append(all, id[strings.LastIndex(id, "/")+1:]+" "+at(c, "changeType").(string))
	}
	return strings.Join(all, ", ")
}

func TestWhatIf(t *testing.T) {
	w := newWorld(t)
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "same", `"properties":{"value":1}`), resource("Test.Fake/slow", "altered", `"tags":{"a":"1"},"properties":{"value":[1,2]}`), resource("Test.Fake/sync", "surplus", ""))))
	doc := document(`"parameters":{"pw":{"type":"securestring","defaultValue":"hunter2hunter2"}},` + list(
		resource("Test.Fake/sync", "same", `"properties":{"value":1}`),
		resource("Test.Fake/slow", "altered", `"tags":{"a":"2"},"properties":{"value":[1,3],"link":""}`),
		resource("Test.Fake/sync", "fresh", `"properties":{"value":"[parameters('pw')]","link":"[reference('altered').provisioningState]"}`)))
	p := w.whatIf(inA, deployed+"d", request(doc, "{}"))
	if got := changes(p); got != "same NoChange, altered Modify, fresh Create, surplus Ignore" {
		t.Fatalf("%s: %v", got, p)
	}
	delta, err := json.Marshal(at(p, "properties.changes.1.delta"))
	w.Must(err)
	want := `[{"after":"2","before":"1","children":null,"path":"tags.a","propertyChangeType":"Modify"},{"after":[1,3],"before":[1,2],"children":[{"after":3,"before":2,"children":null,"path":"1","propertyChangeType":"Modify"}],"path":"properties.value","propertyChangeType":"Array"}]`
	if string(delta) != want {
		t.Errorf("got %s\nwant %s", delta, want)
	}
	if raw, _ := json.Marshal(p); strings.Contains(string(raw), "hunter2") {
		t.Errorf("the secret is told: %s", raw)
	}
	if got := at(w.Get(inA, things+"slow/altered?api-version=2020-01-01"), "tags.a"); got != "1" {
		t.Errorf("what-if wrote %v", got)
	}
	w.Refused(inA, "GET", things+"sync/fresh", "", "404 ResourceNotFound", "fresh")
	w.Refused(inA, "GET", deployed+"other", "", "404 DeploymentNotFound", "other")
	full := strings.Replace(request(doc, "{}"), `"mode":"incremental"`, `"mode":"Complete","whatIfSettings":{"resultFormat":"ResourceIdOnly"}`, 1)
	p = w.whatIf(inA, deployed+"d", full)
	if got := changes(p); got != "same Deploy, altered Deploy, fresh Create, surplus Delete" || at(p, "properties.changes.0.before") != nil {
		t.Errorf("%s: %v", got, p)
	}
	w.Refused(inA, "POST", deployed+"d/whatIf", strings.Replace(full, "ResourceIdOnly", "Odd", 1), "400 InvalidRequestContent", "resultFormat")
	w.Refused(inA, "POST", deployed+"d/whatIf", `{"properties":{"mode":"Incremental"}}`, "400 InvalidTemplate", "missing")
}

// What-if says what the deployment itself would meet: rights on resources, on links and those of deletions.
func TestWhatIfRights(t *testing.T) {
	w := newWorld(t)
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "theirs", ""))))
	w.Refused(inGuest, "POST", deployed+"d/whatIf", request(document(list()), "{}"), "403 AuthorizationFailed", "whatIf/action")
	w.Give(guestA, machines, group)
	p := w.whatIf(inGuest, deployed+"d", request(document(list(resource("Test.Fake/sync", "x", ""))), "{}"))
	if p["status"] != "Failed" || at(p, "error.details.0.code") != "AuthorizationFailed" {
		t.Errorf("%v", p)
	}
	if p = w.whatIf(inGuest, deployed+"d", request(document(list()), "{}")); changes(p) != "" {
		t.Errorf("what may not be read is told: %v", p)
	}
	p = w.whatIf(inGuest, deployed+"d", strings.Replace(request(document(list()), "{}"), "incremental", "Complete", 1))
	if p["status"] != "Failed" || !strings.Contains(fmt.Sprint(p), "Test.Fake/sync/delete") || !strings.Contains(fmt.Sprint(p), " 1 of 1 resources") {
		t.Errorf("%v", p)
	}
	image := "/subscriptions/" + subB + "/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"
	linked := request(document(list(resource("Test.Fake/linked", "vm", `"properties":{"link":"`+image+`"}`))), "{}")
	if p = w.whatIf(inA, deployed+"d", linked); at(p, "error.details.0.code") != "LinkedAuthorizationFailed" {
		t.Errorf("%v", p)
	}
	if p = w.whatIf(caller(ownerA, ownerB), deployed+"d", linked); p["status"] != "Succeeded" {
		t.Errorf("with the auxiliary token: %v", p)
	}
	after := request(document(list(resource("Test.Fake/slow", "first", ""), resource("Test.Fake/linked", "vm", `"dependsOn":["first"],"properties":{"link":"`+image+`"}`))), "{}")
	if e := w.Refused(inA, "POST", deployed+"d/validate", after, "400 InvalidTemplateDeployment", "1 of 2"); e.Details[0].Code != "LinkedAuthorizationFailed" {
		t.Errorf("a missing right counts whatever is new around it: %v", e.Details)
	}
	// What only the doing can tell is no fault yet.
	w.OK(inA, "POST", deployed+"d/validate", request(document(list(resource("Test.Fake/sync", "first", ""),
		resource("Test.Fake/sync/children", "first/c", `"dependsOn":["first"],"properties":{"value":"[reference('first').nothing]"}`))), "{}"))
	e := w.Refused(inA, "POST", deployed+"d/validate", linked, "400 InvalidTemplateDeployment", "1 of 1")
	if e.Details[0].Code != "LinkedAuthorizationFailed" {
		t.Errorf("%v", e.Details)
	}
}

// What fails is followed, if that was asked for, by an earlier deployment, as those who sent it.
func TestRollback(t *testing.T) {
	w := newWorld(t)
	failing := func(onError string) string {
		return strings.Replace(request(document(list(resource("Test.Fake/broken", "b", ""), resource("Test.Fake/sync", "x", `"tags":{"v":"2"}`))), "{}"), `"mode":"incremental"`, `"mode":"incremental","onErrorDeployment":`+onError, 1)
	}
	status := w.Follow(inA, w.OK(inA, "PUT", deployed+"lone", failing(`{"type":"LastSuccessful"}`)))
	if at(status, "error.details.1.code") != "DeploymentNotFound" {
		t.Errorf("nothing to go back to: %v", status)
	}
	v := func() any { return at(w.Get(inA, things+"sync/x?api-version=2020-01-01"), "tags.v") }
	good := document(`"parameters":{"v":{"type":"string"}},` + list(resource("Test.Fake/sync", "x", `"tags":{"v":"[parameters('v')]"}`)))
	w.Follow(inA, w.OK(inA, "PUT", deployed+"good", request(good, `{"v":{"value":"1"}}`)))
	w.Follow(inA, w.OK(inA, "PUT", deployed+"better", request(good, `{"v":{"value":"1.5"}}`)))
	for onError, want := range map[string][2]string{`{"type":"lastSuccessful"}`: {"1.5", "better"}, `{"type":"SpecificDeployment","deploymentName":"Good"}`: {"1", "good"}} {
		if status := w.Follow(inA, w.OK(inA, "PUT", deployed+"bad", failing(onError))); status["status"] != "Failed" || v() != want[0] {
			t.Errorf("%s: %v, v is %v", onError, status, v())
		}
		if d := w.Get(inA, deployed+"bad"); at(d, "properties.onErrorDeployment.deploymentName") != want[1] || at(d, "properties.onErrorDeployment.provisioningState") != "Succeeded" {
			t.Errorf("%v", at(d, "properties.onErrorDeployment"))
		}
		w.OK(inA, "DELETE", deployed+"bad-rollback", "")
		w.Until("the rollback's end", func() bool { _, err := w.Do(inA, "GET", deployed+"bad-rollback", ""); return err != nil })
	}
	if status := w.Follow(inA, w.OK(inA, "PUT", deployed+"fine", strings.Replace(request(good, `{"v":{"value":"3"}}`), `"mode"`, `"onErrorDeployment":{"type":"LastSuccessful"},"mode"`, 1))); status["status"] != "Succeeded" || v() != "3" {
		t.Errorf("%v, v is %v", status, v())
	}
}

// A rollback that could not begin for a fault of ours, or that began before a crash which forgot it, is looked after still.
func TestRollbackAgain(t *testing.T) {
	w := newWorld(t)
	good := func(v string) string {
		return request(document(list(resource("Test.Fake/sync", "x", `"tags":{"v":"`+v+`"}`), resource("Test.Fake/slow", "s", ""))), "{}")
	}
	w.Follow(inA, w.OK(inA, "PUT", deployed+"good", good("1")))
	failing := strings.Replace(request(document(list(resource("Test.Fake/broken", "b", ""), resource("Test.Fake/sync", "x", `"tags":{"v":"2"}`))), "{}"),
		`"mode":"incremental"`, `"mode":"incremental","onErrorDeployment":{"type":"SpecificDeployment","deploymentName":"good"}`, 1)
	state := func() any { return at(w.Get(inA, deployed+"bad"), "properties.onErrorDeployment.provisioningState") }
	w.fault.of.Store(new("/bad-rollback"))
	w.Follow(inA, w.OK(inA, "PUT", deployed+"bad", failing))
	if w.fault.of.Load() != nil || state() != "Succeeded" {
		t.Errorf("after a fault (of %v) the rollback is %v", w.fault.of.Load(), state())
	}
	w.Hold("b", true)
	w.Hold("s", true)
	r := w.OK(inA, "PUT", deployed+"bad", failing)
	w.OK(inA, "PUT", deployed+"bad-rollback", good("1")) // what it would have sent before a crash
	w.Hold("b", false)
	w.Until("the rollback", func() bool {
		ops, err := json.Marshal(w.Get(inA, deployed+"bad/operations"))
		return err == nil && strings.Contains(string(ops), `"Failed"`)
	})
	w.Hold("s", false)
	if w.Follow(inA, r); state() != "Succeeded" {
		t.Errorf("the rollback of before a crash is %v", state())
	}
}

// Mode Complete deletes what is not in the template, as those who sent it: no lock is overridden.
func TestComplete(t *testing.T) {
	w := newWorld(t)
	whole := func(template string) string {
		return strings.Replace(request(template, "{}"), "incremental", "Complete", 1)
	}
	kept := document(list(resource("Test.Fake/sync", "a", ""), nested("n", "", document(list(resource("Test.Fake/sync", "by-nested", ""))), "")))
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""), resource("Test.Fake/sync/children", "a/child", `"dependsOn":["a"]`), resource("Test.Fake/slow", "old", ""), resource("Test.Fake/sync", "other", ""))))
	if status := w.Follow(inA, w.OK(inA, "PUT", deployed+"c", whole(kept))); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	if w.Left("/slow/") != 0 || w.Left("/sync/other") != 0 || w.Left("/sync/a") != 2 || w.Left("/sync/by-nested") != 1 {
		t.Errorf("left: %d %d %d %d", w.Left("/slow/"), w.Left("/sync/other"), w.Left("/sync/a"), w.Left("by-nested"))
	}
	ops, err := json.Marshal(w.Get(inA, deployed+"c/operations"))
	w.Must(err)
	if strings.Count(string(ops), `"provisioningOperation":"Delete"`) != 2 {
		t.Errorf("%s", ops)
	}
	if got := at(w.Get(inA, deployed+"c"), "properties.outputResources"); len(got.([]any)) != 2 {
		t.Errorf("%v", got)
	}
	// Who may write but not delete.
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "precious", ""))))
	w.Give(guestA, machines, group)
	status := w.Follow(inGuest, w.OK(inGuest, "PUT", deployed+"c", whole(document(list()))))
	if at(status, "error.details.0.code") != "DeploymentFailedCleanUp" || !strings.Contains(fmt.Sprint(status), "AuthorizationFailed") || w.Left("precious") != 1 {
		t.Errorf("%v", status)
	}
	// Something in use goes when it is free.
	w.Hold("precious", true)
	r := w.OK(inA, "PUT", deployed+"c2", whole(document(list(resource("Test.Fake/sync", "a", "")))))
	w.Until("a try", func() bool { return w.Left("by-nested") == 0 })
	w.Hold("precious", false)
	if status := w.Follow(inA, r); status["status"] != "Succeeded" || w.Left("precious") != 0 {
		t.Errorf("%v", status)
	}
	// A nested deployment cannot be Complete.
	status = w.Deploy(inA, "e", strings.Replace(kept, `"mode":"Incremental"`, `"mode":"Complete"`, 1))
	if !strings.Contains(fmt.Sprint(status), "not nested in another") {
		t.Errorf("%v", status)
	}
}
