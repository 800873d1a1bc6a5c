package deployments_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"vitrine/internal/authn"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// Two resources run side by side, a third waits for both, a fourth for a condition that drops its dependency.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.hold("a", true)
	w.hold("b", true)
	r := w.ok(inA, "PUT", deployed+"d", request(document(list(
		resource("Test.Fake/sync", "c", `"dependsOn":["Test.Fake/slow/a","Test.Fake/SLOW/B"]`),
		resource("Test.Fake/slow", "a", ""), resource("Test.Fake/slow", "b", ""),
		resource("Test.Fake/sync", "no", `"condition":false`), resource("Test.Fake/sync", "d", `"dependsOn":["no"]`),
		resource("Test.Fake/sync", "[concat('n', copyIndex())]", `"dependsOn":["c"],"copy":{"name":"l","count":2}`))), "{}"))
	w.until("both operations", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiting["a"] != nil && w.waiting["b"] != nil
	})
	w.until("Running", func() bool { return at(w.get(inA, deployed+"d"), "properties.provisioningState") == "Running" })
	if strings.Contains(w.written(), "c") {
		t.Errorf("c came too early: %s", w.written())
	}
	w.until("both running", func() bool {
		ops := fmt.Sprint(w.get(inA, deployed+"d/operations"))
		return strings.Count(ops, "provisioningState:Running") == 2 && strings.Count(ops, "provisioningState:Succeeded") == 1
	})
	w.hold("a", false)
	w.hold("b", false)
	if status := w.follow(inA, r); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	if got := w.written(); got != "a b d c n0 n1" {
		t.Errorf("written: %s", got)
	}
}

// More resources than may be under way at a time.
func TestMany(t *testing.T) {
	w := newWorld(t)
	status := w.deploy(inA, "d", document(list(resource("Test.Fake/slow", "[concat('s', copyIndex())]", `"copy":{"name":"l","count":70}`),
		resource("Test.Fake/sync", "[concat('n', copyIndex())]", `"dependsOn":["l"],"copy":{"name":"m","count":70,"mode":"serial","batchSize":20}`))))
	if status["status"] != "Succeeded" || len(strings.Fields(w.written())) != 140 {
		t.Errorf("%v, written %s", status, w.written())
	}
}

// The rights on each resource are asked when its turn comes, and the refusal stands in the details as the provider worded
// it; what succeeded before stays.
func TestLinkedAuthorization(t *testing.T) {
	w := newWorld(t)
	image := "/subscriptions/" + subB + "/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"
	template := document(list(resource("Test.Fake/sync", "first", ""), resource("Test.Fake/linked", "vm", `"dependsOn":["first"],"properties":{"link":"`+image+`"}`),
		resource("Test.Fake/sync", "last", `"dependsOn":["vm"]`)))
	r := w.ok(inA, "PUT", deployed+"d", request(template, "{}"))
	if r.Status != 201 {
		t.Errorf("PUT: %d", r.Status)
	}
	status := w.follow(inA, r)
	want := "The client has permission to perform action 'Microsoft.Compute/galleries/images/versions/read' on scope '" + things + "linked/vm', however the current tenant '" + tenantA + "' is not authorized to access linked subscription '" + subB + "'."
	for path, want := range map[string]any{"status": "Failed", "error.code": "DeploymentFailed", "error.target": deployed + "d", "error.details.0.code": "LinkedAuthorizationFailed",
		"error.details.0.message": want, "error.details.0.target": things + "linked/vm", "error.details.1": nil,
		"error.message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details."} {
		if got := at(status, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	d := w.get(inA, deployed+"d")
	if at(d, "properties.error.details.0.message") != want || at(d, "properties.provisioningState") != "Failed" || at(d, "properties.outputResources.0.id") != things+"sync/first" {
		t.Errorf("%v", d)
	}
	w.ok(inA, "GET", things+"sync/first", "")
	w.refused(inA, "GET", things+"linked/vm", "", 404, "ResourceNotFound", "vm")
	if w.written() != "first" {
		t.Errorf("written: %s", w.written())
	}
	both := caller(ownerA, ownerB) // with the auxiliary token
	if status := w.deploy(both, "d", template); status["status"] != "Succeeded" {
		t.Errorf("with both: %v", status)
	}
	// Who may deploy but not write the resource is told so in the details, and by validate at once.
	w.give(guestA, reader, group)
	w.refused(inGuest, "PUT", deployed+"d2", request(template, "{}"), 403, "AuthorizationFailed", "Microsoft.Resources/deployments/write")
	w.refused(inGuest, "POST", deployed+"d2/validate", request(template, "{}"), 403, "AuthorizationFailed", "deployments/validate/action")
	w.revoke(guestA, group)
	w.give(guestA, machines, group)
	e := w.refused(inGuest, "POST", deployed+"d2/validate", request(template, "{}"), 400, "InvalidTemplateDeployment", "3 of 3")
	if len(e.Details) != 3 || e.Details[0].Code != "AuthorizationFailed" || !strings.Contains(e.Details[0].Message, "Test.Fake/sync/write") {
		t.Errorf("validate: %v", e.Details)
	}
	if status := w.deploy(inGuest, "d2", template); at(status, "error.details.0.code") != "AuthorizationFailed" {
		t.Errorf("%v", status)
	}
}

// Secure parameters stand nowhere: not in any document, answer or log line.
func TestSecureParameters(t *testing.T) {
	w := newWorld(t)
	const secret = "Tiger#4711"
	w.hold("a", true)
	template := document(`"parameters":{"pw":{"type":"securestring"},"o":{"type":"secureObject"},"n":{"type":"int","defaultValue":3}},` + list(
		resource("Test.Fake/slow", "a", `"properties":{"secret":"[parameters('pw')]"}`),
		resource("Test.Fake/sync", "b", `"dependsOn":["a"],"properties":{"secret":"[parameters('o').x]"}`)) +
		`,"outputs":{"s":{"type":"securestring","value":"[parameters('pw')]"}}`)
	parameters := `{"pw":{"value":"` + secret + `"},"o":{"value":{"x":"` + secret + `2"}}}`
	r := w.ok(inA, "PUT", deployed+"d", request(template, parameters))
	clean := func(when string) {
		t.Helper()
		answers := string(r.Body) + string(w.ok(inA, "GET", deployed+"d", "").Body) + string(w.ok(inA, "GET", deployed+"d/operations", "").Body)
		if strings.Contains(answers, secret) || strings.Contains(w.logged(), secret) {
			t.Errorf("%s: an answer or the log has the secret", when)
		}
		w.must(w.store.View(t.Context(), func(tx store.Tx) error {
			docs, err := tx.List(store.Query{})
			for _, d := range docs {
				if strings.Contains(string(d.Body), secret) || strings.Contains(strings.Join(d.Terms, " "), secret) {
					t.Errorf("%s: %s has the secret: %s", when, d.Key, d.Body)
				}
			}
			return err
		}))
	}
	w.until("the operation", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.waiting["a"] != nil })
	clean("under way")
	w.hold("a", false)
	if status := w.follow(inA, r); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	clean("at the end")
	if strings.Join(w.secrets, " ") != secret+" "+secret+"2" {
		t.Errorf("the resources were told %q", w.secrets)
	}
	d := w.get(inA, deployed+"d")
	if raw, _ := json.Marshal(at(d, "properties.parameters")); string(raw) != `{"n":{"type":"Int","value":3},"o":{"type":"SecureObject"},"pw":{"type":"SecureString"}}` {
		t.Errorf("parameters: %s", raw)
	}
	if raw, _ := json.Marshal(at(d, "properties.outputs")); string(raw) != `{"s":{"type":"SecureString"}}` {
		t.Errorf("outputs: %s", raw)
	}
	exported := string(w.ok(inA, "POST", deployed+"d/exportTemplate", "").Body)
	if strings.Contains(exported, secret) || !strings.Contains(exported, "parameters('pw')") {
		t.Errorf("exported: %s", exported)
	}
}

// A deployment that runs cannot be replaced, removed or exported; cancelling ends it, and what it wrote stays.
func TestActiveAndCancel(t *testing.T) {
	w := newWorld(t)
	w.hold("a", true)
	template := request(document(list(resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", `"dependsOn":["a"]`))), "{}")
	r := w.ok(inA, "PUT", deployed+"d", template)
	w.refused(inA, "PUT", deployed+"D", template, 409, "DeploymentActive", "still active")
	w.refused(inA, "DELETE", deployed+"d", "", 409, "Conflict", "in progress")
	w.until("the operation", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.waiting["a"] != nil })
	if r := w.ok(inA, "POST", deployed+"d/cancel", ""); r.Status != 204 {
		t.Errorf("cancel: %d", r.Status)
	}
	if status := w.follow(inA, r); status["status"] != "Canceled" {
		t.Errorf("%v", status)
	}
	d := w.get(inA, deployed+"d")
	if at(d, "properties.provisioningState") != "Canceled" || at(w.get(inA, deployed+"d/operations"), "value.0.properties.provisioningState") != "Canceled" {
		t.Errorf("%v", d)
	}
	w.refused(inA, "POST", deployed+"d/cancel", "", 409, "DeploymentCannotBeCancelled", "'Canceled'")
	w.refused(inA, "POST", deployed+"none/cancel", "", 404, "DeploymentNotFound", "'none'")
	w.hold("a", false)
	w.until("the resource", func() bool { return at(w.get(inA, things+"slow/a"), "properties.provisioningState") == "Succeeded" })
	if w.written() != "a" {
		t.Errorf("written: %s", w.written())
	}
	w.refused(inGuest, "GET", strings.TrimPrefix(r.Header.Get("Azure-AsyncOperation"), "https://management.azure.com"), "", 403, "AuthorizationFailed", "operationStatuses")
}

// The engine dies right after the n-th write of the deployment, before it is recorded; the next engine goes on.
func TestCrash(t *testing.T) {
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t)
			crashed, seen := make(chan struct{}), 0
			w.mu.Lock()
			w.onCommit = func(w *world) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if seen++; seen == n {
					w.cancel() // before the write is recorded
					stop := w.stop
					go func() { stop(); close(crashed) }()
				}
			}
			w.mu.Unlock()
			r := w.ok(inA, "PUT", deployed+"d", request(document(list(
				resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", ""), resource("Test.Fake/slow", "c", `"dependsOn":["a","b"]`),
				resource("Test.Fake/sync", "d", `"dependsOn":["c"]`), resource("Test.Fake/slow", "e", `"dependsOn":["d"]`))), "{}"))
			select {
			case <-crashed:
			case <-t.Context().Done():
			}
			w.start(slog.New(slog.DiscardHandler))
			if status := w.follow(inA, r); status["status"] != "Succeeded" {
				t.Fatalf("%v", status)
			}
			// Twice at most: once before the crash and once after it.
			count := map[string]int{}
			for _, name := range strings.Fields(w.written()) {
				if count[name]++; count[name] > 2 {
					t.Errorf("written: %s", w.written())
				}
			}
			if len(count) != 5 {
				t.Errorf("written: %s", w.written())
			}
			if ops := w.get(inA, deployed+"d/operations"); strings.Count(fmt.Sprint(ops), "provisioningState:Succeeded") != 5 {
				t.Errorf("operations: %v", ops)
			}
		})
	}
}

// A nested deployment that was under way when the server crashed is waited for; one that is around it, or itself, is not.
func TestCrashNested(t *testing.T) {
	w := newWorld(t)
	w.hold("deep", true)
	inner := document(list(resource("Test.Fake/slow", "deep", "")))
	r := w.ok(inA, "PUT", deployed+"d", request(document(list(nested("n", "", inner, ""))), "{}"))
	w.until("the nested one", func() bool { return w.left("/slow/deep") == 1 })
	w.cancel()
	w.stop()
	w.update(func(tx store.Tx) error { // as if the crash came before the step was recorded
		docs, err := tx.List(store.Query{Kind: operation.Kind})
		for _, d := range docs {
			if err == nil && strings.Contains(string(d.Body), "deployments/run") {
				var body map[string]any
				w.must(json.Unmarshal(d.Body, &body))
				delete(body, "state")
				d.Body, err = json.Marshal(body)
				w.must(err)
				_, err = tx.Put(d)
			}
		}
		return err
	})
	w.start(slog.New(slog.DiscardHandler))
	w.hold("deep", false)
	if status := w.follow(inA, r); status["status"] != "Succeeded" {
		t.Errorf("%v", status)
	}
	for name, doc := range map[string]string{
		"self":   document(list(nested("self", "", document(list()), ""))),
		"around": document(list(nested("between", "", document(list(nested("around", "", document(list()), ""))), ""))),
	} {
		if status := w.deploy(inA, name, doc); !strings.Contains(fmt.Sprint(status), "DeploymentActive") {
			t.Errorf("%s: %v", name, status)
		}
	}
}

// A resource that another operation holds is waited for; a conflict of the provider's own is not.
func TestBusyResource(t *testing.T) {
	w := newWorld(t)
	w.hold("a", true)
	w.ok(inA, "PUT", things+"slow/a", `{"location":"eastus"}`)
	r := w.ok(inA, "PUT", deployed+"d", request(document(list(resource("Test.Fake/slow", "a", ""), resource("Test.Fake/sync", "b", ""))), "{}"))
	w.until("b", func() bool { return strings.Contains(w.written(), "b") })
	w.hold("a", false)
	if status := w.follow(inA, r); status["status"] != "Succeeded" {
		t.Errorf("%v", status)
	}
	if got := w.written(); got != "a b a" {
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
	status := w.deploy(inA, "outer", document(list(nest("inner", inner))+`,"outputs":{"o":{"type":"string","value":"[reference('inner').outputs.o.value]"}}`))
	if status["status"] != "Succeeded" || w.written() != "in" {
		t.Fatalf("%v, written %s", status, w.written())
	}
	if got := at(w.get(inA, deployed+"outer"), "properties.outputs.o.value"); got != things+"slow/in" {
		t.Errorf("output: %v", got)
	}
	status = w.deploy(inA, "outer", document(list(nest("outer", inner))))
	if at(status, "error.details.0.code") != "DeploymentActive" {
		t.Errorf("%v", status)
	}
	bad := document(list(resource("Test.Fake/broken", "bad", "")))
	status = w.deploy(inA, "outer", document(list(nest("inner", bad))))
	if at(status, "error.details.0.code") != "DeploymentFailed" || at(status, "error.details.0.details.0.code") != "Broken" || at(status, "error.details.0.details.0.target") != "properties.value" {
		t.Errorf("%v", status)
	}
}

// What can only fail late: an output, and a resource that is asked about but is not there.
func TestLateFaults(t *testing.T) {
	w := newWorld(t)
	status := w.deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""))+`,"outputs":{"o":{"type":"string","value":"[reference('a').none]"}}`))
	if status["status"] != "Failed" || at(status, "error.code") != "DeploymentOutputEvaluationFailed" {
		t.Errorf("%v", status)
	}
	status = w.deploy(inA, "d", document(list(resource("Test.Fake/sync", "b", `"properties":{"value":"[reference('`+things+`sync/none', '2020-01-01').x]"}`))))
	if at(status, "error.details.0.code") != "ResourceNotFound" {
		t.Errorf("%v", status)
	}
	// The principals who sent it are asked, not the server: who lost the right in between fails.
	w.give(guestA, contributor, group)
	w.hold("s", true)
	r := w.ok(inGuest, "PUT", deployed+"d", request(document(list(resource("Test.Fake/slow", "s", ""), resource("Test.Fake/sync", "c", `"dependsOn":["s"]`))), "{}"))
	w.until("the operation", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.waiting["s"] != nil })
	w.revoke(guestA, group)
	w.hold("s", false)
	status = w.follow(inA, r)
	if at(status, "error.details.0.code") != "AuthorizationFailed" || strings.Contains(w.written(), "c") {
		t.Errorf("%v, written %s", status, w.written())
	}
}

func (w *world) revoke(p authn.Principal, scope string) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		return tx.Delete(strings.ToLower(scope)+"/providers/microsoft.authorization/roleassignments/"+p.ObjectID, 0)
	})
}
