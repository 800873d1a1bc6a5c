package deployments_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// Two resources run side by side, a third waits for both, a fourth for a condition that drops its dependency.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.Hold("a", true)
	w.Hold("b", true)
	r := w.OK(inA, "PUT", deployed+"d", request(document(list(
		resource("Test.Fake/sync", "c", `"dependsOn":["Test.Fake/slow/a","Test.Fake/SLOW/B"]`),
		resource("Test.Fake/slow", "a", ""), resource("Test.Fake/slow", "b", ""),
		resource("Test.Fake/sync", "no", `"condition":false`), resource("Test.Fake/sync", "d", `"dependsOn":["no"]`),
		resource("Test.Fake/sync", "[concat('n', copyIndex())]", `"dependsOn":["c"],"copy":{"name":"l","count":2}`))), "{}"))
	w.Until("both operations", func() bool {
		return w.Begun("a") && w.Begun("b")
	})
	w.Until("Running", func() bool { return at(w.Get(inA, deployed+"d"), "properties.provisioningState") == "Running" })
	if strings.Contains(w.Written(), "c") {
		t.Errorf("c came too early: %s", w.Written())
	}
	w.Until("both running", func() bool {
		ops := fmt.Sprint(w.Get(inA, deployed+"d/operations"))
		return strings.Count(ops, "provisioningState:Running") == 2 && strings.Count(ops, "provisioningState:Succeeded") == 1
	})
	w.Hold("a", false)
	w.Hold("b", false)
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	if got := w.Written(); got != "a b d c n0 n1" {
		t.Errorf("written: %s", got)
	}
}

// More resources than may be under way at a time.
func TestMany(t *testing.T) {
	w := newWorld(t)
	status := w.Deploy(inA, "d", document(list(resource("Test.Fake/slow", "[concat('s', copyIndex())]", `"copy":{"name":"l","count":70}`),
		resource("Test.Fake/sync", "[concat('n', copyIndex())]", `"dependsOn":["l"],"copy":{"name":"m","count":70,"mode":"serial","batchSize":20}`))))
	if status["status"] != "Succeeded" || len(strings.Fields(w.Written())) != 140 {
		t.Errorf("%v, written %s", status, w.Written())
	}
}

// The rights on each resource are asked when its turn comes, and the refusal stands in the details as the provider worded
// it; what succeeded before stays.
func TestLinkedAuthorization(t *testing.T) {
	w := newWorld(t)
	image := "/subscriptions/" + subB + "/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"
	template := document(list(resource("Test.Fake/sync", "first", ""), resource("Test.Fake/linked", "vm", `"dependsOn":["first"],"properties":{"link":"`+image+`"}`),
		resource("Test.Fake/sync", "last", `"dependsOn":["vm"]`)))
	r := w.OK(inA, "PUT", deployed+"d", request(template, "{}"))
	if r.Status != 201 {
		t.Errorf("PUT: %d", r.Status)
	}
	status := w.Follow(inA, r)
	want := "The client has permission to perform action 'Microsoft.Compute/galleries/images/versions/read' on scope '" + things + "linked/vm', however the current tenant '" + tenantA + "' is not authorized to access linked subscription '" + subB + "'."
	for path, want := range map[string]any{"status": "Failed", "error.code": "DeploymentFailed", "error.target": deployed + "d", "error.details.0.code": "LinkedAuthorizationFailed",
		"error.details.0.message": want, "error.details.0.target": things + "linked/vm", "error.details.1": nil,
		"error.message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details."} {
		if got := at(status, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	d := w.Get(inA, deployed+"d")
	if at(d, "properties.error.details.0.message") != want || at(d, "properties.provisioningState") != "Failed" || at(d, "properties.outputResources.0.id") != things+"sync/first" {
		t.Errorf("%v", d)
	}
	w.OK(inA, "GET", things+"sync/first", "")
	w.Refused(inA, "GET", things+"linked/vm", "", "404 ResourceNotFound", "vm")
	if w.Written() != "first" {
		t.Errorf("written: %s", w.Written())
	}
	both := caller(ownerA, ownerB) // with the auxiliary token
	if status := w.Deploy(both, "d", template); status["status"] != "Succeeded" {
		t.Errorf("with both: %v", status)
	}
	// Who may deploy but not write the resource is told so in the details, and by validate at once.
	w.Give(guestA, reader, group)
	w.Refused(inGuest, "PUT", deployed+"d2", request(template, "{}"), "403 AuthorizationFailed", "Microsoft.Resources/deployments/write")
	w.Refused(inGuest, "POST", deployed+"d2/validate", request(template, "{}"), "403 AuthorizationFailed", "deployments/validate/action")
	w.Revoke(guestA, group)
	w.Give(guestA, machines, group)
	e := w.Refused(inGuest, "POST", deployed+"d2/validate", request(template, "{}"), "400 InvalidTemplateDeployment", "3 of 3")
	if len(e.Details) != 3 || e.Details[0].Code != "AuthorizationFailed" || !strings.Contains(e.Details[0].Message, "Test.Fake/sync/write") {
		t.Errorf("validate: %v", e.Details)
	}
	if status := w.Deploy(inGuest, "d2", template); at(status, "error.details.0.code") != "AuthorizationFailed" {
		t.Errorf("%v", status)
	}
}

// Secure parameters stand nowhere: not in any document, answer or log line.
func TestSecureParameters(t *testing.T) {
	w := newWorld(t)
	const secret = "Tiger#4711"
	w.Hold("a", true)
	template := document(`"parameters":{"pw":{"type":"securestring"},"o":{"type":"secureObject"},"n":{"type":"int","defaultValue":3}},` + list(
		resource("Test.Fake/slow", "a", `"properties":{"secret":"[parameters('pw')]"}`),
		resource("Test.Fake/sync", "b", `"dependsOn":["a"],"properties":{"secret":"[parameters('o').x]"}`)) +
		`,"outputs":{"s":{"type":"securestring","value":"[parameters('pw')]"}}`)
	parameters := `{"pw":{"value":"` + secret + `"},"o":{"value":{"x":"` + secret + `2"}}}`
	r := w.OK(inA, "PUT", deployed+"d", request(template, parameters))
	clean := func(when string) {
		t.Helper()
		answers := string(r.Body) + string(w.OK(inA, "GET", deployed+"d", "").Body) + string(w.OK(inA, "GET", deployed+"d/operations", "").Body)
		if strings.Contains(answers, secret) || strings.Contains(w.Logged(), secret) {
			t.Errorf("%s: an answer or the log has the secret", when)
		}
		w.Must(w.Store.View(t.Context(), func(tx store.Tx) error {
			docs, err := tx.List(store.Query{})
			for _, d := range docs {
				if strings.Contains(string(d.Body), secret) || strings.Contains(strings.Join(d.Terms, " "), secret) {
					t.Errorf("%s: %s has the secret: %s", when, d.Key, d.Body)
				}
			}
			return err
		}))
	}
	w.Until("the operation", func() bool { return w.Begun("a") })
	clean("under way")
	w.Hold("a", false)
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	clean("at the end")
	if strings.Join(w.Secrets(), " ") != secret+" "+secret+"2" {
		t.Errorf("the resources were told %q", w.Secrets())
	}
	d := w.Get(inA, deployed+"d")
	if raw, _ := json.Marshal(at(d, "properties.parameters")); string(raw) != `{"n":{"type":"Int","value":3},"o":{"type":"SecureObject"},"pw":{"type":"SecureString"}}` {
		t.Errorf("parameters: %s", raw)
	}
	if raw, _ := json.Marshal(at(d, "properties.outputs")); string(raw) != `{"s":{"type":"SecureString"}}` {
		t.Errorf("outputs: %s", raw)
	}
	exported := string(w.OK(inA, "POST", deployed+"d/exportTemplate", "").Body)
	if strings.Contains(exported, secret) || !strings.Contains(exported, "parameters('pw')") {
		t.Errorf("exported: %s", exported)
	}
}

// A deployment that runs cannot be replaced, removed or exported; cancelling ends it, and what it wrote stays.
func TestActiveAndCancel(t *testing.T) {
	w := newWorld(t)
	w.Hold("a", true)
	template := request(document(list(resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", `"dependsOn":["a"]`))), "{}")
	r := w.OK(inA, "PUT", deployed+"d", template)
	w.Refused(inA, "PUT", deployed+"D", template, "409 DeploymentActive", "still active")
	w.Refused(inA, "DELETE", deployed+"d", "", "409 Conflict", "in progress")
	w.Until("the operation", func() bool { return w.Begun("a") })
	if r := w.OK(inA, "POST", deployed+"d/cancel", ""); r.Status != 204 {
		t.Errorf("cancel: %d", r.Status)
	}
	if status := w.Follow(inA, r); status["status"] != "Canceled" {
		t.Errorf("%v", status)
	}
	d := w.Get(inA, deployed+"d")
	if at(d, "properties.provisioningState") != "Canceled" || at(w.Get(inA, deployed+"d/operations"), "value.0.properties.provisioningState") != "Canceled" {
		t.Errorf("%v", d)
	}
	w.Refused(inA, "POST", deployed+"d/cancel", "", "409 DeploymentCannotBeCancelled", "'Canceled'")
	w.Refused(inA, "POST", deployed+"none/cancel", "", "404 DeploymentNotFound", "'none'")
	w.Hold("a", false)
	w.Until("the resource", func() bool { return at(w.Get(inA, things+"slow/a"), "properties.provisioningState") == "Succeeded" })
	if w.Written() != "a" {
		t.Errorf("written: %s", w.Written())
	}
	w.Refused(inGuest, "GET", strings.TrimPrefix(r.Header.Get("Azure-AsyncOperation"), "https://management.azure.com"), "", "403 AuthorizationFailed", "operationStatuses")
}

// The engine dies right after the n-th write of the deployment, before it is recorded; the next engine goes on.
func TestCrash(t *testing.T) {
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t)
			crashed, stop := make(chan struct{}), w.Stop
			var seen atomic.Int32
			w.OnCommit(func() {
				if seen.Add(1) == int32(n) {
					w.Cancel() // before the write is recorded
					go func() { stop(); close(crashed) }()
				}
			})
			r := w.OK(inA, "PUT", deployed+"d", request(document(list(
				resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", ""), resource("Test.Fake/slow", "c", `"dependsOn":["a","b"]`),
				resource("Test.Fake/sync", "d", `"dependsOn":["c"]`), resource("Test.Fake/slow", "e", `"dependsOn":["d"]`))), "{}"))
			select {
			case <-crashed:
			case <-t.Context().Done():
			}
			w.Start()
			if status := w.Follow(inA, r); status["status"] != "Succeeded" {
				t.Fatalf("%v", status)
			}
			// Twice at most: once before the crash and once after it.
			count := map[string]int{}
			for _, name := range strings.Fields(w.Written()) {
				if count[name]++; count[name] > 2 {
					t.Errorf("written: %s", w.Written())
				}
			}
			if len(count) != 5 {
				t.Errorf("written: %s", w.Written())
			}
			if ops := w.Get(inA, deployed+"d/operations"); strings.Count(fmt.Sprint(ops), "provisioningState:Succeeded") != 5 {
				t.Errorf("operations: %v", ops)
			}
		})
	}
}

// A nested deployment that was under way when the server crashed is waited for; one that is around it, or itself, is not.
func TestCrashNested(t *testing.T) {
	w := newWorld(t)
	w.Hold("deep", true)
	inner := document(list(resource("Test.Fake/slow", "deep", "")))
	r := w.OK(inA, "PUT", deployed+"d", request(document(list(nested("n", "", inner, ""))), "{}"))
	w.Until("the nested one", func() bool { return w.Left("/slow/deep") == 1 })
	w.Cancel()
	w.Stop()
	w.Update(func(tx store.Tx) error { // as if the crash came before the step was recorded
		docs, err := tx.List(store.Query{Kind: operation.Kind})
		for _, d := range docs {
			if err == nil && strings.Contains(string(d.Body), "deployments/run") {
				var body map[string]any
				w.Must(json.Unmarshal(d.Body, &body))
				delete(body, "state")
				d.Body, err = json.Marshal(body)
				w.Must(err)
				_, err = tx.Put(d)
			}
		}
		return err
	})
	w.Start()
	w.Hold("deep", false)
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Errorf("%v", status)
	}
	for name, doc := range map[string]string{
		"self":   document(list(nested("self", "", document(list()), ""))),
		"around": document(list(nested("between", "", document(list(nested("around", "", document(list()), ""))), ""))),
	} {
		if status := w.Deploy(inA, name, doc); !strings.Contains(fmt.Sprint(status), "DeploymentActive") {
			t.Errorf("%s: %v", name, status)
		}
	}
}

// A resource that another operation holds is waited for; a conflict of the provider's own is not.
func TestBusyResource(t *testing.T) {
	w := newWorld(t)
	w.Hold("a", true)
	w.OK(inA, "PUT", things+"slow/a", `{"location":"eastus"}`)
	r := w.OK(inA, "PUT", deployed+"d", request(document(list(resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", ""))), "{}"))
	w.Until("b", func() bool { return strings.Contains(w.Written(), "b") })
	w.Hold("a", false)
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Errorf("%v", status)
	}
	if got := w.Written(); got != "a b a" {
		t.Errorf("written: %s", got)
	}
}

// A nested deployment is a resource like any other; one that names its own parent is refused, not waited for.
func TestNested(t *testing.T) {
	w := newWorld(t)
	nest := func(name, inner string) string {
		return `{"type":"Microsoft.Resources/deployments","name":"` + name + `","apiVersion":"2021-04-01","properties":{"mode":"Incremental","template":` + inner + `}}`
	}
	inner := document(list(resource("Test.Fake/slow", "in", "")) + `,"outputs":{"o":{"type":"string","value":"[resourceId('Test.Fake/slow','in')]"}}`)
	status := w.Deploy(inA, "outer", document(list(nest("inner", inner))+`,"outputs":{"o":{"type":"string","value":"[reference('inner').outputs.o.value]"}}`))
	if status["status"] != "Succeeded" || w.Written() != "in" {
		t.Fatalf("%v, written %s", status, w.Written())
	}
	if got := at(w.Get(inA, deployed+"outer"), "properties.outputs.o.value"); got != things+"slow/in" {
		t.Errorf("output: %v", got)
	}
	status = w.Deploy(inA, "outer", document(list(nest("outer", inner))))
	if at(status, "error.details.0.code") != "DeploymentActive" {
		t.Errorf("%v", status)
	}
	bad := document(list(resource("Test.Fake/broken", "bad", "")))
	status = w.Deploy(inA, "outer", document(list(nest("inner", bad))))
	const failure = "ResourceDeploymentFailure" // of what was accepted and failed then: the resource's own error is inside
	for path, want := range map[string]any{"error.code": "DeploymentFailed", "error.details.0.code": failure, "error.details.0.target": deployed + "inner",
		"error.details.0.message":        "The resource write operation failed to complete successfully, because it reached terminal provisioning state 'Failed'.",
		"error.details.0.details.0.code": "DeploymentFailed", "error.details.0.details.0.details.0.code": failure,
		"error.details.0.details.0.details.0.details.0.code": "Broken", "error.details.0.details.0.details.0.details.0.target": "properties.value"} {
		if at(status, path) != want {
			t.Errorf("%s: %v, want %v in %v", path, at(status, path), want, status)
		}
	}
}

// What can only fail late: an output, and a resource that is asked about but is not there.
func TestLateFaults(t *testing.T) {
	w := newWorld(t)
	status := w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""))+`,"outputs":{"o":{"type":"string","value":"[reference('a').none]"}}`))
	if status["status"] != "Failed" || at(status, "error.code") != "DeploymentOutputEvaluationFailed" {
		t.Errorf("%v", status)
	}
	status = w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "b", `"properties":{"value":"[reference('`+things+`sync/none', '2020-01-01').x]"}`))))
	if at(status, "error.details.0.code") != "ResourceNotFound" {
		t.Errorf("%v", status)
	}
	// The principals who sent it are asked, not the server: who lost the right in between fails.
	w.Give(guestA, contributor, group)
	w.Hold("s", true)
	r := w.OK(inGuest, "PUT", deployed+"d", request(document(list(resource("Test.Fake/slow", "s", ""), resource("Test.Fake/sync", "c", `"dependsOn":["s"]`))), "{}"))
	w.Until("the operation", func() bool { return w.Begun("s") })
	w.Revoke(guestA, group)
	w.Hold("s", false)
	status = w.Follow(inA, r)
	if at(status, "error.details.0.code") != "AuthorizationFailed" || strings.Contains(w.Written(), "c") {
		t.Errorf("%v, written %s", status, w.Written())
	}
}
