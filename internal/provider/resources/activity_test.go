package resources_test

import (
	"slices"
	"strings"
	"testing"

	"vitrine/internal/audit"
	"vitrine/internal/store"
)

// events are those of a correlation ID in the order in which they happened, in short: "name verb status", and "end" for how
// long-running work ended.
func (w *world) events(correlation string) (lines []string) {
	w.Helper()
	w.Must(w.Store.View(w.Context(), func(tx store.Tx) error {
		found, _, err := audit.List(tx, audit.Query{Tenant: tenantA, Subscription: subA, Limit: 1000,
			Match: func(e *audit.Event) bool { return e.Request.CorrelationID == correlation }})
		lines = nil
		for _, e := range slices.Backward(found) {
			if e.Caller.ObjectID != ownerA.ObjectID || e.Request.Source != "192.0.2.7" {
				w.Errorf("an event is not the caller's: %+v", e)
			}
			line := e.Resource[strings.LastIndexByte(e.Resource, '/')+1:] + " " + strings.TrimPrefix(e.Action[strings.LastIndexByte(e.Action, '/'):], "/") + " " + string(e.Status)
			if e.End {
				line += " end"
			}
			lines = append(lines, line)
		}
		return err
	}))
	return lines
}

func (w *world) wantEvents(correlation string, want ...string) {
	w.Helper()
	got := w.events(correlation)
	slices.Sort(got) // events of one microsecond have no order
	slices.Sort(want)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.Errorf("%s:\n%s\nwant\n%s", correlation, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each write of a deployment is an event of its own, under the correlation ID of the request that sent the deployment, which
// the deployment shows too. Those of another deployment are not.
func TestDeploymentInTheLog(t *testing.T) {
	w := newWorld(t)
	w.Correlation = "00000000-0000-4000-8000-00000000c001"
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "a", ""), resource("Test.Fake/slow", "b", `"dependsOn":["a"]`),
		resource("Test.Fake/broken", "c", `"dependsOn":["b"]`))+`,"outputs":{}`))
	shown := at(w.Get(inA, deployed+"d"), "properties.correlationId")
	w.Correlation = "00000000-0000-4000-8000-00000000c002"
	w.Deploy(inA, "e", document(list(resource("Test.Fake/sync", "other", ""), resource("Test.Fake/linked", "refused", `"properties":{"link":"/subscriptions/`+subB+`/resourceGroups/g"}`))))
	w.wantEvents("00000000-0000-4000-8000-00000000c001", "d write Accepted", "a write Succeeded", "b write Accepted", "b write Succeeded end",
		"c write Accepted", "c write Failed end", "d write Failed end")
	w.wantEvents(w.Correlation, "e write Accepted", "other write Succeeded", "refused write Failed", "e write Failed end")
	if shown != "00000000-0000-4000-8000-00000000c001" {
		t.Errorf("the deployment shows the correlation ID %v", shown)
	}
}

// Each deletion in a group's is an event of its own, once, however many rounds it takes.
func TestGroupDeletionInTheLog(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"sync/a", "sync/b", "sync/a/children/c"} {
		w.OK(inA, "PUT", things+name, `{"location":"eastus"}`)
	}
	w.Correlation = "00000000-0000-4000-8000-00000000c003"
	r := w.OK(inA, "DELETE", group, "")
	w.Until("the end", func() bool {
		return w.OK(inA, "GET", strings.TrimPrefix(r.Header.Get("Location"), "https://management.azure.com"), "").Status == 200
	})
	w.wantEvents(w.Correlation, "Rg delete Accepted", "c delete Succeeded", "a delete Succeeded", "b delete Succeeded", "Rg delete Succeeded end")
}
