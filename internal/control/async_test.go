package control_test

import (
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

const plain = `{"location":"East US"}`

// followed checks the headers by which an operation is followed, and gives the URLs.
func (a answer) followed(prefix string, async, location bool) (status, result string) {
	a.t.Helper()
	status, result = a.header.Get("Azure-AsyncOperation"), a.header.Get("Location")
	if a.header.Get("Retry-After") != "1" || (status != "") != async || (result != "") != location {
		a.t.Fatalf("%s: %v", a.what, a.header)
	}
	for _, u := range []string{status, result} {
		if u != "" && (!strings.HasPrefix(u, "https://management.azure.com/subscriptions/"+subA+prefix) || !strings.Contains(u, "api-version=2022-03-03")) {
			a.t.Errorf("%s: %s", a.what, u)
		}
	}
	return status, result
}

const operations = "/providers/Vitrine.Test/locations/eastus/operations/"

func TestLongRunningPutAndDelete(t *testing.T) {
	w := newWorld(t)
	w.gate.shut()
	a := w.do("owner", "PUT", engines+"/e", plain).is(201, "").has("properties.provisioningState", "Creating").has("location", "eastus")
	status, _ := a.followed(operations, true, false)
	s := w.do("owner", "GET", status, "").is(200, "").has("status", "InProgress").has("endTime", nil).has("error", nil)
	if s.header.Get("Retry-After") != "1" || !strings.HasSuffix(s.at("startTime").(string), "+00:00") || !strings.Contains(status, s.at("name").(string)) {
		t.Errorf("%v %v", s.header, s.body)
	}
	w.do("owner", "PUT", engines+"/e", plain).is(409, "Conflict")
	w.do("owner", "POST", engines+"/e/reveal", "").is(409, "Conflict")
	w.do("owner", "DELETE", engines+"/e", "").is(409, "Conflict").says("in progress")
	w.do("owner", "GET", engines+"/e", "").is(200, "").has("properties.provisioningState", "Creating")
	w.gate.lift()
	done := w.finish("owner", status).is(200, "").has("status", "Succeeded").has("properties", nil)
	if done.header.Get("Retry-After") != "" || done.at("endTime") == nil {
		t.Errorf("%v %v", done.header, done.body)
	}
	w.do("owner", "GET", engines+"/e", "").has("properties.provisioningState", "Succeeded")
	w.do("owner", "PUT", status, "{}").is(405, "MethodNotAllowed")

	a = w.do("owner", "PUT", engines+"/e", plain).is(200, "").has("properties.provisioningState", "Updating")
	status, _ = a.followed(operations, true, false)
	w.finish("owner", status).has("status", "Succeeded")

	w.gate.shut()
	a = w.do("owner", "DELETE", engines+"/e", "").is(202, "")
	status, result := a.followed(operations, true, true)
	if a.body != nil || !strings.Contains(result, "?monitor=true&") {
		t.Errorf("%v %s", a.body, result)
	}
	w.do("owner", "GET", engines+"/e", "").is(200, "").has("properties.provisioningState", "Deleting")
	again := w.do("owner", "DELETE", engines+"/e", "").is(202, "")
	if status2, result2 := again.followed(operations, true, true); status2 != status || result2 != result {
		t.Errorf("a repeated DELETE began another operation: %s, %s", status, status2)
	}
	w.do("owner", "PUT", engines+"/e", plain).is(409, "Conflict")
	m := w.do("owner", "GET", result, "").is(202, "")
	if m.body != nil || m.header.Get("Retry-After") != "1" || m.header.Get("Location") == "" {
		t.Errorf("%v %v", m.header, m.body)
	}
	w.do("owner", "GET", m.header.Get("Location"), "").is(202, "")
	w.gate.lift()
	if m = w.finish("owner", result).is(200, ""); m.body != nil {
		t.Errorf("%v", m.body)
	}
	w.do("owner", "GET", status, "").is(200, "").has("status", "Succeeded")
	w.do("owner", "GET", engines+"/e", "").is(404, "ResourceNotFound")
	w.do("owner", "DELETE", engines+"/e", "").is(204, "")
}

func TestAFailedOperation(t *testing.T) {
	w := newWorld(t)
	status, _ := w.do("owner", "PUT", engines+"/e", `{"location":"eastus","properties":{"fail":true}}`).is(201, "").followed(operations, true, false)
	w.finish("owner", status).is(200, "").has("status", "Failed").has("error.code", "OddEngine").has("error.message", "The engine fails.")
	w.do("owner", "GET", strings.Replace(status, "?", "?monitor=true&", 1), "").is(409, "OddEngine")
	w.do("owner", "GET", engines+"/e", "").has("properties.provisioningState", "Failed")
}

func TestADiskShowsItsOperationAsAzureDoes(t *testing.T) {
	w := newWorld(t)
	a := w.do("owner", "PUT", disks+"/d", plain).is(202, "").has("properties.provisioningState", "Updating")
	status, result := a.followed("/providers/Vitrine.Test/locations/eastus/DiskOperations/", true, true)
	if !strings.Contains(status, "?p=") || !strings.Contains(result, "?p=") || !strings.Contains(result, "&monitor=true&api-version=") {
		t.Errorf("the form of a disk's operation: %s %s", status, result)
	}
	w.finish("owner", status).has("status", "Succeeded")
	w.do("owner", "GET", result, "").is(200, "")
	w.do("owner", "PUT", disks+"/d", plain).is(202, "")
}

func TestAnActionsResult(t *testing.T) {
	w := newWorld(t)
	status, _ := w.do("owner", "PUT", engines+"/e", plain).followed(operations, true, false)
	w.finish("owner", status)
	a := w.do("owner", "POST", engines+"/e/reveal", "").is(202, "")
	status, result := a.followed(operations, true, true)
	w.finish("owner", status).is(200, "").has("properties.output.accessSAS", "https://x")
	w.do("owner", "GET", result, "").is(200, "").has("accessSAS", "https://x")

	// A signed URL is for who may ask for one, not for every reader.
	w.grant("reader", readerRole, group)
	w.grant("contributor", contributorRole, group)
	w.do("reader", "GET", status, "").is(404, "NotFound")
	w.do("contributor", "GET", status, "").is(200, "")
}

func TestWhoSeesAnOperation(t *testing.T) {
	w := newWorld(t)
	w.grant("maker", contributorRole, group)
	w.grant("reader", readerRole, group)
	w.grant("aside", readerRole, group+"x")
	status, _ := w.do("maker", "PUT", engines+"/e", plain).is(201, "").followed(operations, true, false)
	w.finish("maker", status).has("status", "Succeeded")
	w.do("reader", "GET", status, "").is(200, "")
	w.do("aside", "GET", status, "").is(404, "NotFound")
	w.do("nobody", "GET", status, "").is(404, "NotFound")
	w.do("owner-b", "GET", status, "").is(401, "InvalidAuthenticationTokenTenant")
	w.do("owner-b", "GET", strings.Replace(status, subA, subB, 1), "").is(404, "NotFound")
	w.do("owner", "GET", status[:strings.LastIndexByte(status, '/')]+"/99999999-0000-4000-8000-000000000009", "").is(404, "NotFound")
	w.update(func(tx store.Tx) error {
		return control.WriteSubscription(tx, control.Subscription{ID: "dddddddd-0000-4000-8000-00000000000d", Tenant: tenantA})
	})
	w.do("maker", "GET", strings.Replace(status, subA, "dddddddd-0000-4000-8000-00000000000d", 1), "").is(404, "NotFound")
	// Who began it still follows it when the role is gone.
	w.update(func(tx store.Tx) error {
		p, err := arm.ParsePath(group)
		if err != nil {
			return err
		}
		return control.Remove(tx, p.ID) // the group, with every assignment below
	})
	w.do("reader", "GET", status, "").is(404, "NotFound")
	w.do("maker", "GET", status, "").is(200, "")
}

func TestAGroupsDeletion(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "PUT", "/subscriptions/"+subA+"/resourceGroups/Größe", plain).is(201, "")
	w.gate.shut()
	_, result := w.do("owner", "DELETE", group, "").is(202, "").followed("/operationresults/", false, true)
	if a := w.do("owner", "GET", result, "").is(202, ""); a.body != nil {
		t.Errorf("%v", a.body)
	}
	w.do("owner", "DELETE", group, "").is(202, "")
	w.gate.lift()
	if a := w.finish("owner", result).is(200, ""); a.body != nil {
		t.Errorf("%v", a.body)
	}
	w.do("owner", "HEAD", group, "").is(404, "")
	w.do("owner", "DELETE", group, "").is(404, "ResourceGroupNotFound")
	w.do("owner", "HEAD", "/subscriptions/"+subA+"/resourceGroups/Gr%C3%B6%C3%9Fe", "").is(204, "")
}

func TestAGroupThatIsBeingDeleted(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "PUT", widgets+"/w", square).is(201, "")
	w.update(func(tx store.Tx) error {
		d, err := tx.Get(strings.ToLower(group))
		if err != nil {
			return err
		}
		d.Body = []byte(`{"id":"` + group + `","name":"g","properties":{"provisioningState":"Deleting"}}`)
		_, err = tx.Put(d)
		return err
	})
	w.do("owner", "PUT", widgets+"/x", square).is(409, "ResourceGroupBeingDeleted")
	w.do("owner", "GET", widgets+"/w", "").is(200, "")
	w.do("owner", "DELETE", widgets+"/w", "").is(200, "")
}
