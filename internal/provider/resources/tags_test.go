package resources_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const tagContributor = "4a9ae827-6dc8-4573-8ac7-8239d42aa03f"

// tagged are the tags at a scope.
func (w *world) tagged(scope string) string {
	w.Helper()
	raw, err := json.Marshal(at(w.Get(inA, scope+"/providers/Microsoft.Resources/tags/default"), "properties.tags"))
	w.Must(err)
	return string(raw)
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "x", `"tags":{"Env":"dev"},"properties":{"value":1}`), resource("Test.Fake/sync/children", "x/c", `"dependsOn":["x"]`))))
	sub := "/subscriptions/" + subA
	for _, scope := range []string{things + "sync/x", group, sub} {
		tags := scope + "/providers/Microsoft.Resources/tags/default"
		w.OK(inA, "PUT", tags, `{"properties":{"tags":{"a":"1","b":"2"}}}`)
		for _, step := range []struct{ body, want string }{
			{`{"operation":"Merge","properties":{"tags":{"B":"3","c":"4"}}}`, `{"a":"1","b":"3","c":"4"}`},
			{`{"operation":"delete","properties":{"tags":{"a":"other","c":"4"}}}`, `{"a":"1","b":"3"}`},
			{`{"operation":"Delete","properties":{"tags":{"b":""}}}`, `{"a":"1"}`},
			{`{"operation":"Replace","properties":{"tags":{"z":"9"}}}`, `{"z":"9"}`},
		} {
			w.OK(inA, "PATCH", tags, step.body)
			if got := w.tagged(scope); got != step.want {
				t.Errorf("%s after %s: %s", scope, step.body, got)
			}
		}
		if got := at(w.Get(inA, scope+"?api-version=2020-01-01"), "tags.z"); got != "9" {
			t.Errorf("%s itself has %v", scope, got)
		}
		w.Refused(inA, "PATCH", tags, `{"operation":"Odd"}`, "400 InvalidRequestContent", "'Merge', 'Replace' or 'Delete'")
		w.Refused(inA, "PUT", tags, `{"properties":{"tags":{"`+strings.Repeat("n", 513)+`":"1"}}}`, "400 InvalidTagNameOrValue", "too long")
		w.Refused(inA, "PUT", tags, `{"properties":`, "400 InvalidRequestContent", "")
		many := map[string]string{}
		for i := range 51 {
			many[fmt.Sprint(i)] = "x"
		}
		raw, err := json.Marshal(map[string]any{"operation": "Merge", "properties": map[string]any{"tags": many}})
		w.Must(err)
		w.Refused(inA, "PATCH", tags, string(raw), "400 TooManyTags", "at most 50")
		w.Refused(inGuest, "GET", tags, "", "403 AuthorizationFailed", "Microsoft.Resources/tags/read")
		w.Refused(inGuest, "PUT", tags, `{}`, "403 AuthorizationFailed", "Microsoft.Resources/tags/write")
		w.Refused(inB, "GET", tags, "", "401 InvalidAuthenticationTokenTenant", "")
		w.OK(inA, "DELETE", tags, "")
		if got := w.tagged(scope); got != "{}" {
			t.Errorf("%s after the deletion: %s", scope, got)
		}
	}
	// The rest of the document stays; the right to tags is no right to the resource.
	if got := at(w.Get(inA, things+"sync/x?api-version=2020-01-01"), "properties.value"); got != 1.0 {
		t.Errorf("value %v", got)
	}
	w.Give(guestA, tagContributor, things+"sync/x")
	w.OK(inGuest, "PUT", things+"sync/x/providers/Microsoft.Resources/tags/default", `{"properties":{"tags":{"by":"guest"}}}`)
	w.Refused(inGuest, "PUT", things+"sync/x?api-version=2020-01-01", `{"location":"eastus"}`, "403 AuthorizationFailed", "Test.Fake/sync/write")
	w.Refused(inA, "PUT", things+"sync/none/providers/Microsoft.Resources/tags/default", `{}`, "404 ResourceNotFound", "none")
	w.Refused(inA, "PUT", things+"sync/x/children/c/providers/Microsoft.Resources/tags/default", `{}`, "400 ResourceTypeNotSupported", "does not support tags")
	w.Refused(inA, "PUT", things+"sync/x?api-version=2020-01-01", `{"location":"eastus","tags":{"a":1}}`, "400 InvalidParameter", "tags")
}

func TestTagNames(t *testing.T) {
	w := newWorld(t)
	names := "/subscriptions/" + subA + "/tagNames"
	w.OK(inA, "PUT", names+"/cost", "")
	w.OK(inA, "PUT", names+"/cost/tagValues/red", "")
	w.Refused(inA, "PUT", names+"/none/tagValues/red", "", "404 TagNotFound", "none")
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "x", `"tags":{"Cost":"blue","own":"1"}`))))
	all := w.Get(inA, names)
	raw, err := json.Marshal(all)
	w.Must(err)
	for _, want := range []string{`"tagName":"cost"`, `"tagValue":"blue"`, `"tagValue":"red"`, `"tagName":"own"`, `"tagName":"k"`, `{"type":"Total","value":1}`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s in %s", want, raw)
		}
	}
	w.Refused(inA, "DELETE", names+"/cost", "", "409 CannotDeleteTagName", "cost")
	w.Refused(inA, "DELETE", names+"/cost/tagValues/blue", "", "409 CannotDeleteTagValue", "blue")
	w.OK(inA, "DELETE", names+"/cost/tagValues/red", "")
	w.OK(inA, "DELETE", things+"sync/x", "")
	w.OK(inA, "DELETE", names+"/cost", "")
	if raw, _ := json.Marshal(w.Get(inA, names)); strings.Contains(string(raw), "cost") {
		t.Errorf("%s", raw)
	}
	w.Refused(inGuest, "PUT", names+"/x", "", "403 AuthorizationFailed", "tagNames/write")
	w.Refused(inGuest, "GET", names, "", "403 AuthorizationFailed", "tagNames/read")
}

func TestRegistration(t *testing.T) {
	w := newWorld(t)
	provider := "/subscriptions/" + subA + "/providers/Test.Fake"
	w.Deploy(inA, "d", document(list(resource("Test.Fake/sync", "x", ""))))
	w.Refused(inA, "POST", provider+"/unregister", "", "409 CannotUnregisterProvider", "resources of type 'sync'")
	w.Refused(inA, "POST", "/subscriptions/"+subA+"/providers/Microsoft.Resources/unregister", "", "409 CannotUnregisterProvider", "every subscription")
	w.OK(inA, "DELETE", things+"sync/x", "")
	w.Refused(inGuest, "POST", provider+"/unregister", "", "403 AuthorizationFailed", "Test.Fake/unregister/action")
	if v := w.Decode(w.OK(inA, "POST", provider+"/unregister", "").Body); v["registrationState"] != "Unregistered" {
		t.Errorf("%v", v)
	}
	w.Refused(inA, "PUT", things+"sync/y?api-version=2020-01-01", `{"location":"eastus"}`, "409 MissingSubscriptionRegistration", "'Test.Fake'")
	if v := w.Decode(w.OK(inA, "POST", provider+"/register", "").Body); v["registrationState"] != "Registered" {
		t.Errorf("%v", v)
	}
	w.OK(inA, "PUT", things+"sync/y?api-version=2020-01-01", `{"location":"eastus"}`)
	w.Refused(inA, "POST", "/subscriptions/"+subA+"/providers/Acme.Rockets/register", "", "404 InvalidResourceNamespace", "Acme")
	rights, err := json.Marshal(w.Get(inA, "/providers/Microsoft.Authorization/providerOperations/Test.Fake"))
	w.Must(err)
	for _, want := range []string{`"Test.Fake/sync/read"`, `"Test.Fake/sync/write"`, `"Test.Fake/sync/listKeys/action"`} {
		if !strings.Contains(string(rights), want) {
			t.Errorf("no %s in %s", want, rights)
		}
	}
	w.Refused(inA, "GET", "/providers/Microsoft.Authorization/providerOperations/Acme", "", "404 ProviderNotFound", "Acme")
	w.Refused(inA, "POST", group+"/moveResources", `{"resources":["`+things+`sync/y"]}`, "409 ResourceMoveNotSupported", "'Test.Fake/sync'")
	w.Refused(inGuest, "POST", group+"/moveResources", `{}`, "403 AuthorizationFailed", "moveResources/action")
}

// What is exported can be deployed, and changes nothing.
func TestExport(t *testing.T) {
	w := newWorld(t)
	w.Deploy(inA, "d", document(list(
		resource("Test.Fake/sync", "a", `"tags":{"it's":"[[odd]"},"properties":{"value":{"n":[1,"[[x]"]}}`),
		resource("Test.Fake/sync", "z", `"properties":{"value":"[resourceId('Test.Fake/sync','a')]"},"dependsOn":["a"]`),
		resource("Test.Fake/slow", "s", `"properties":{"value":"[concat(resourceId('Test.Fake/sync','z'),'/children/none')]"},"dependsOn":["z"]`))))
	for _, options := range []string{`"IncludeParameterDefaultValue"`, `"SkipAllParameterization"`} {
		v := w.Decode(w.OK(inA, "POST", group+"/exportTemplate", `{"resources":["*"],"options":`+options+`}`).Body)
		doc, err := json.Marshal(v["template"])
		w.Must(err)
		for _, want := range []string{"[[x]", "[[odd]", "dependsOn", "resourceId('Test.Fake/sync/children', "} {
			if !strings.Contains(string(doc), want) {
				t.Errorf("no %s in %s", want, doc)
			}
		}
		if strings.Contains(string(doc), "provisioningState") || strings.Contains(string(doc), "Microsoft.Resources/deployments") {
			t.Errorf("%s", doc)
		}
		before := len(w.Written())
		if status := w.Deploy(inA, "again", string(doc)); status["status"] != "Succeeded" || len(w.Written()) == before {
			t.Errorf("%v\n%s", status, doc)
		}
		if got := at(w.Get(inA, things+"sync/a?api-version=2020-01-01"), "properties.value.n.1"); got != "[x]" {
			t.Errorf("%v", got)
		}
	}
	one := w.Decode(w.OK(inA, "POST", group+"/exportTemplate", `{"resources":["`+things+`sync/a"]}`).Body)
	if list := at(one, "template.resources").([]any); len(list) != 1 || at(list[0], "name") != "[parameters('sync_a_name')]" {
		t.Errorf("%v", one)
	}
	w.Refused(inGuest, "POST", group+"/exportTemplate", `{}`, "403 AuthorizationFailed", "exportTemplate/action")
	w.Refused(inA, "POST", group+"x/exportTemplate", `{}`, "404 ResourceGroupNotFound", "")
}
