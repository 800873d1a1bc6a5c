package deployments_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"vitrine/internal/provider/planetest"
)

// TestVMCreate sends what az vm create sends, and follows it as az does.
func TestVMCreate(t *testing.T) {
	w := newWorld(t)
	raw, err := os.ReadFile("../../template/testdata/vm_create.json")
	w.Must(err)
	r := w.OK(inA, "PUT", strings.Replace(deployed, "resourceGroups/Rg", "resourcegroups/rg", 1)+"vm_deploy_x", request(string(raw), "{}"))
	first := w.Decode(r.Body)
	if r.Status != 201 || r.Header.Get("Location") != "" || r.Header.Get("Retry-After") != "1" {
		t.Errorf("first answer: %d %v", r.Status, r.Header)
	}
	if u := r.Header.Get("Azure-AsyncOperation"); !regexp.MustCompile(`^https://management\.azure\.com/.*/deployments/vm_deploy_x/operationStatuses/\d{19}\?api-version=2021-04-01$`).MatchString(u) {
		t.Errorf("operation's URL: %s", u)
	}
	for path, want := range map[string]any{"type": "Microsoft.Resources/deployments", "name": "vm_deploy_x", "properties.mode": "Incremental",
		"properties.provisioningState": "Accepted", "properties.duration": "PT0S", "properties.template": nil, "location": nil,
		"properties.providers.0.namespace": "Microsoft.Network", "properties.dependencies.0.resourceName": "myVMVMNic"} {
		if at(first, path) != want {
			t.Errorf("%s: %v, want %v in %s", path, at(first, path), want, r.Body)
		}
	}
	if !regexp.MustCompile(`^\d+$`).MatchString(at(first, "properties.templateHash").(string)) {
		t.Errorf("hash: %s", r.Body)
	}
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	order := strings.Fields(w.Written())
	if len(order) != 5 || order[3] != "myVMVMNic" || order[4] != "myVM" {
		t.Errorf("written: %v", order)
	}
	last := w.Get(inA, deployed+"vm_deploy_x")
	if at(last, "properties.provisioningState") != "Succeeded" || len(at(last, "properties.outputResources").([]any)) != 5 || at(last, "properties.outputs") == nil {
		t.Errorf("at the end: %v", last)
	}
	if r := w.OK(inA, "PUT", deployed+"vm_deploy_x", request(string(raw), "{}")); r.Status != 200 || at(w.Decode(r.Body), "properties.outputs") != nil {
		t.Errorf("again: %d %s", r.Status, r.Body)
	} else if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Errorf("again: %v", status)
	}
}

// lenient is the body of az deployment group create: no JSON.
const lenient = `{"properties": {"parameters": {"n": {"value": "x"}}, "mode": "Incremental", template:{
  // a comment
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
  "parameters": { "n": { "type": "string" }, "pw": { "type": "securestring", "defaultValue": "tiger" } },
  /* another */
  "resources": [ { "type": "Test.Fake/sync", "apiVersion": "2020-01-01", "name": "[parameters('n')]", "location": "[resourceGroup().location]",
     "properties": { "value": "[subscription().displayName]", "secret": "[parameters('pw')]" }, }, ],
  "outputs": { "v": { "type": "string", "value": "[reference(parameters('n')).value]" },
     "id": { "type": "string", "value": "[resourceId('Test.Fake/sync', 'x')]" },
     "k": { "type": "string", "value": "[listKeys(parameters('n'), '2020-01-01').key]" },
     "l": { "type": "string", "value": "[reference(parameters('n'), '2020-01-01', 'Full').location]" } }
}}}`

func TestGroupCreate(t *testing.T) {
	w := newWorld(t)
	v := w.OK(inA, "POST", deployed+"d/validate", lenient)
	if seen := w.Decode(v.Body); v.Status != 200 || at(seen, "properties.validatedResources.0.id") != things+"sync/x" || at(seen, "properties.provisioningState") != "Succeeded" {
		t.Errorf("validate: %d %s", v.Status, v.Body)
	}
	w.Refused(inA, "GET", things+"sync/x", "", "404 ResourceNotFound", "x") // validate writes nothing
	w.Refused(inA, "GET", deployed+"d", "", "404 DeploymentNotFound", "d")
	r := w.OK(inA, "PUT", deployed+"d", lenient)
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	d := w.Get(inA, deployed+"d")
	for path, want := range map[string]any{"v.value": "name of " + subA, "id.value": things + "sync/x", "k.value": "key of x", "l.value": "eastus", "v.type": "String"} {
		if got := at(d, "properties.outputs."+path); got != want {
			t.Errorf("output %s: %v, want %v", path, got, want)
		}
	}
	for path, want := range map[string]any{"n.value": "x", "n.type": "String", "pw.type": "SecureString", "pw.value": nil} {
		if got := at(d, "properties.parameters."+path); got != want {
			t.Errorf("parameter %s: %v, want %v", path, got, want)
		}
	}
	exported := w.Decode(w.OK(inA, "POST", deployed+"d/exportTemplate", "").Body)
	if at(exported, "template.resources.0.name") != "[parameters('n')]" {
		t.Errorf("exported: %v", exported)
	}
}

// What az asks afterwards: the list with its trailing slash, operations without the provider, HEAD, DELETE.
func TestReading(t *testing.T) {
	w := newWorld(t)
	status := w.Deploy(inA, "d1", document(list(resource("Test.Fake/sync", "a", ""), resource("Test.Fake/broken", "b", `"dependsOn":["Test.Fake/sync/a"]`))))
	if status["status"] != "Failed" {
		t.Fatalf("%v", status)
	}
	if d := w.Deploy(inA, "d2", document(list())); d["status"] != "Succeeded" {
		t.Fatalf("%v", d)
	}
	if all := w.Get(inA, deployed); len(all["value"].([]any)) != 2 {
		t.Errorf("list: %v", all)
	}
	if some := w.Get(inA, deployed+"?$filter=provisioningState+eq+'Failed'"); len(some["value"].([]any)) != 1 || at(some, "value.0.name") != "d1" {
		t.Errorf("filtered: %v", some)
	}
	if none := w.Get(inA, "/subscriptions/"+subA+"/providers/Microsoft.Resources/deployments"); len(none["value"].([]any)) != 0 {
		t.Errorf("at the subscription: %v", none)
	}
	ops := w.Get(inA, strings.Replace(group, "resourceGroups", "resourcegroups", 1)+"/deployments/d1/operations")
	if len(ops["value"].([]any)) != 2 {
		t.Fatalf("operations: %v", ops)
	}
	for path, want := range map[string]any{"0.properties.provisioningState": "Succeeded", "0.properties.statusCode": "Created", "0.properties.provisioningOperation": "Create",
		"0.properties.targetResource.id": things + "sync/a", "0.properties.targetResource.resourceType": "Test.Fake/sync",
		"1.properties.provisioningState": "Failed", "1.properties.statusCode": "Conflict", "1.properties.statusMessage.error.code": "ResourceDeploymentFailure", "1.properties.statusMessage.error.details.0.code": "Broken"} {
		if got := at(ops, "value."+path); got != want {
			t.Errorf("operation %s: %v, want %v", path, got, want)
		}
	}
	one := at(ops, "value.1.operationId").(string)
	if got := w.Get(inA, deployed+"d1/operations/"+one); !regexp.MustCompile(`^[0-9A-F]{16}$`).MatchString(one) || at(got, "id") != deployed+"d1/operations/"+one {
		t.Errorf("operation %s: %v", one, got)
	}
	w.Refused(inA, "GET", deployed+"d1/operations/0", "", "404 DeploymentOperationNotFound", "'0'")
	if r := w.OK(inA, "HEAD", deployed+"d1", ""); r.Status != 204 {
		t.Errorf("HEAD: %d", r.Status)
	}
	r := w.OK(inA, "DELETE", deployed+"d1", "")
	if r.Status != 202 || r.Header.Get("Location") == "" {
		t.Errorf("DELETE: %d %v", r.Status, r.Header)
	}
	if status := w.Follow(inA, r); status["status"] != "Succeeded" {
		t.Errorf("DELETE: %v", status)
	}
	if path, _ := strings.CutPrefix(r.Header.Get("Location"), "https://management.azure.com"); w.OK(inA, "GET", path, "").Status != 200 {
		t.Error("the result of DELETE")
	}
	if r := w.OK(inA, "HEAD", deployed+"d1", ""); r.Status != 404 {
		t.Errorf("HEAD of what is gone: %d", r.Status)
	}
	if r := w.OK(inA, "DELETE", deployed+"d1", ""); r.Status != 204 {
		t.Errorf("DELETE of what is gone: %d", r.Status)
	}
}

// TestRefusals has one row per fault that is told at once; nothing may be left of it.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	sync := resource("Test.Fake/sync", "a", "")
	for _, row := range []struct{ name, path, body, code, part string }{
		{"mode", "d", strings.Replace(request(document(list(sync)), "{}"), "incremental", "Odd", 1), "InvalidParameter", "mode"},
		{"no mode", "d", `{"properties":{"template":{}}}`, "InvalidParameter", "mode"},
		{"template link", "d", `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://x"}}}`, "InvalidContentLink", "--allow-template-source"},
		{"template spec", "d", `{"properties":{"mode":"Incremental","templateLink":{"id":"/subscriptions/x"}}}`, "NotSupported", "Template specs"},
		{"relative path", "d", `{"properties":{"mode":"Incremental","templateLink":{"relativePath":"x.json"}}}`, "InvalidContentLink", "needs a deployment around it"},
		{"both templates", "d", `{"properties":{"mode":"Incremental","template":{"a":1},"templateLink":{"uri":"https://x"}}}`, "InvalidRequestContent", "either a 'template' or a 'templateLink'"},
		{"forged mark", "d", `{"properties":{"mode":"Incremental","template":{"a":1},"templateLink":{"uri":"https://x"},"vitrineFetched":true}}`, "InvalidRequestContent", "either a 'template'"},
		{"parameters link", "d", `{"properties":{"mode":"Incremental","template":{},"parametersLink":{"uri":"https://x"}}}`, "InvalidContentLink", "https://x"},
		{"rollback", "d", `{"properties":{"mode":"Incremental","template":{},"onErrorDeployment":{"type":"Any"}}}`, "InvalidOnErrorDeployment", "LastSuccessful"},
		{"no template", "d", `{"properties":{"mode":"Incremental"}}`, "InvalidTemplate", "missing"},
		{"no JSON", "d", `{"properties":{"mode":`, "InvalidRequestContent", "Unexpected end"},
		{"long name", strings.Repeat("d", 65), request(document(list()), "{}"), "DeploymentNameLengthLimitExceeded", "'65'"},
		{"bad name", "d,e", request(document(list()), "{}"), "DeploymentNameInvalidCharacters", "d,e"},
		{"unknown function", "d", request(document(list(resource("Test.Fake/sync", "[sing('x')]", ""))), "{}"), "InvalidTemplate", "sing"},
		{"unknown namespace", "d", request(document(list(sync, resource("Acme.Rockets/pads", "p", ""))), "{}"), "InvalidResourceNamespace", "Acme.Rockets"},
		{"unknown type", "d", request(document(list(sync, resource("Test.Fake/rockets", "p", ""))), "{}"), "NoRegisteredProviderFound", "rockets"},
		{"unknown types", "d", request(document(list(resource("Acme.Rockets/pads", "p", ""), resource("Test.Fake/rockets", "p", ""))), "{}"), "InvalidTemplateDeployment", "2 of 2"},
		{"bad api-version", "d", request(document(list(strings.Replace(sync, "2020-01-01", "soon", 1))), "{}"), "NoRegisteredProviderFound", "soon"},
		{"no api-version", "d", request(document(list(`{"type":"Test.Fake/sync","name":"a"}`)), "{}"), "InvalidTemplate", "apiVersion"},
		{"missing parameter", "d", request(document(`"parameters":{"p":{"type":"string"}},`+list()), "{}"), "InvalidTemplate", "'p'"},
		{"circle", "d", request(document(list(resource("Test.Fake/sync", "a", `"dependsOn":["b"]`), resource("Test.Fake/sync", "b", `"dependsOn":["a"]`))), "{}"), "InvalidTemplate", "Circular"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := &planetest.World{T: t, Control: w.Control}
			e := sub.Refused(inA, "PUT", deployed+row.path, row.body, "400 "+row.code, row.part)
			if row.code == "InvalidTemplate" && row.name != "no template" {
				raw, _ := json.Marshal(e)
				if v := sub.Decode(raw); at(v, "additionalInfo.0.type") != "TemplateViolation" || at(v, "additionalInfo.0.info.lineNumber") == nil {
					t.Errorf("%s", raw)
				}
			}
			if row.code != "InvalidParameter" { // where the two read the body differently, both name the member
				sub.Refused(inA, "POST", deployed+row.path+"/validate", row.body, "400 "+row.code, row.part)
			}
		})
	}
	if w.Left("/sync/") != 0 || len(w.Get(inA, deployed)["value"].([]any)) != 0 {
		t.Errorf("left: %s, %v", w.Written(), w.Get(inA, deployed))
	}
	w.Refused(inA, "PUT", things+"sync/a/providers/Microsoft.Resources/deployments/d", request(document(list()), "{}"), "404 InvalidResourceType", "scope")
	w.Refused(inA, "PUT", "/subscriptions/"+subA+"/providers/Microsoft.Resources/deployments/d", request(document(list()), "{}"), "400 InvalidDeployment", "'location'")
	w.Refused(inA, "PUT", "/providers/Microsoft.Resources/deployments/d", request(document(list()), "{}"), "403 AuthorizationFailed", "deployments/write")
	w.Refused(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/none/providers/Microsoft.Resources/deployments/d", request(document(list()), "{}"), "404 ResourceGroupNotFound", "none")
	w.Refused(inA, "POST", "/subscriptions/"+subA+"/resourceGroups/none/providers/Microsoft.Resources/deployments/d/validate", request(document(list()), "{}"), "404 ResourceGroupNotFound", "none")
}
