package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/template"
)

// shape renders a plan as lines: index, ID below the group, what it waits for.
func shape(p *template.Plan) []string {
	var lines []string
	for i, r := range p.Resources {
		lines = append(lines, fmt.Sprintf("%d %s %v", i, strings.TrimPrefix(r.ID, groupID+"/providers/"), r.DependsOn))
	}
	return lines
}

func body(t *testing.T, p *template.Plan, i int) string {
	t.Helper()
	b, err := p.Body(i, state{})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVMCreate(t *testing.T) {
	doc, err := os.ReadFile("testdata/vm_create.json")
	if err != nil {
		t.Fatal(err)
	}
	p := mustExpand(t, string(doc), `{}`)
	want := []string{
		"0 Microsoft.Network/virtualNetworks/myVMVNET []",
		"1 Microsoft.Network/networkSecurityGroups/myVMNSG []",
		"2 Microsoft.Network/publicIPAddresses/myVMPublicIP []",
		"3 Microsoft.Network/networkInterfaces/myVMVMNic [0 1 2]",
		"4 Microsoft.Compute/virtualMachines/myVM [3]",
	}
	if diff := cmp.Diff(want, shape(p)); diff != "" {
		t.Error(diff)
	}
	if got, want := body(t, p, 1), `{"location":"eastus","tags":{}}`; got != want {
		t.Errorf("NSG body %s, want %s", got, want)
	}
	if got, want := body(t, p, 2), `{"location":"eastus","tags":{},"properties":{"publicIPAllocationMethod":null}}`; got != want {
		t.Errorf("public IP body %s, want %s", got, want)
	}
	if got := body(t, p, 4); !strings.HasPrefix(got, `{"location":"eastus","tags":{},"properties":{"hardwareProfile":`) || !strings.Contains(got, `"name":null`) {
		t.Errorf("VM body %s", got)
	}
	providers, _ := json.Marshal(p.Providers())
	if want := `[{"namespace":"Microsoft.Network","resourceTypes":[{"resourceType":"virtualNetworks","locations":["eastus"]},{"resourceType":"networkSecurityGroups","locations":["eastus"]},{"resourceType":"publicIPAddresses","locations":["eastus"]},{"resourceType":"networkInterfaces","locations":["eastus"]}]},{"namespace":"Microsoft.Compute","resourceTypes":[{"resourceType":"virtualMachines","locations":["eastus"]}]}]`; string(providers) != want {
		t.Errorf("providers %s", providers)
	}
	dependencies, _ := json.Marshal(p.Dependencies()[1])
	if want := `{"dependsOn":[{"id":"` + groupID + `/providers/Microsoft.Network/networkInterfaces/myVMVMNic","resourceType":"Microsoft.Network/networkInterfaces","resourceName":"myVMVMNic"}],"id":"` + groupID + `/providers/Microsoft.Compute/virtualMachines/myVM","resourceType":"Microsoft.Compute/virtualMachines","resourceName":"myVM"}`; string(dependencies) != want {
		t.Errorf("dependencies %s", dependencies)
	}
}

// What az vm create --count 2 sends: loops, and dependsOn that lists every instance.
func TestVMCreateCount(t *testing.T) {
	p := mustExpand(t, document(`"resources":[
	 {"type":"Microsoft.Network/networkInterfaces","name":"[concat('myVMVMNic', copyIndex())]","apiVersion":"2015-06-15","location":"eastus",
	  "dependsOn":["Microsoft.Network/publicIpAddresses/myVMPublicIP0","Microsoft.Network/publicIpAddresses/myVMPublicIP1"],
	  "copy":{"name":"nicsLoop","mode":"parallel","count":2},"properties":{"ip":"[concat('/x/myVMPublicIP', copyIndex())]"}},
	 {"type":"Microsoft.Network/publicIPAddresses","name":"[concat('myVMPublicIP', copyIndex())]","apiVersion":"2022-01-01","location":"eastus",
	  "copy":{"name":"publicIPLoop","mode":"parallel","count":2}}]`), "")
	want := []string{
		"0 Microsoft.Network/publicIPAddresses/myVMPublicIP0 []",
		"1 Microsoft.Network/publicIPAddresses/myVMPublicIP1 []",
		"2 Microsoft.Network/networkInterfaces/myVMVMNic0 [0 1]",
		"3 Microsoft.Network/networkInterfaces/myVMVMNic1 [0 1]",
	}
	if diff := cmp.Diff(want, shape(p)); diff != "" {
		t.Error(diff)
	}
	if got, want := body(t, p, 3), `{"location":"eastus","properties":{"ip":"/x/myVMPublicIP1"}}`; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
}

// resource is a resource of a template, with more members.
func resource(typ, name, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"type":%q,"name":%q,"apiVersion":"2020-01-01"%s}`, typ, name, more)
}

func resources(list ...string) string {
	return document(`"resources":[` + strings.Join(list, ",") + `]`)
}

func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		resources []string
		want      []string
	}{
		"by full ID, in another case": {
			[]string{resource("M.N/a", "x", `"dependsOn":["[toUpper(resourceId('M.N/b', 'y'))]"]`), resource("M.N/b", "y", "")},
			[]string{"0 M.N/b/y []", "1 M.N/a/x [0]"},
		},
		"by bare name": {
			[]string{resource("M.N/a", "x", `"dependsOn":["Y"]`), resource("M.N/b", "y", "")},
			[]string{"0 M.N/b/y []", "1 M.N/a/x [0]"},
		},
		"child by type/name and by ID form, waits for its parent": {
			[]string{resource("M.N/a", "x", `"dependsOn":["M.N/v/s/p/c"]`), resource("M.N/a", "y", `"dependsOn":["M.N/v/p/s/c"]`), resource("M.N/v", "p", `"resources":[`+resource("s", "c", "")+`]`)},
			[]string{"0 M.N/v/p []", "1 M.N/v/p/s/c [0]", "2 M.N/a/x [1]", "3 M.N/a/y [1]"},
		},
		"all of a loop": {
			[]string{resource("M.N/a", "x", `"dependsOn":["loop"]`), resource("M.N/b", "[format('y{0}', copyIndex(1))]", `"copy":{"name":"loop","count":2}`)},
			[]string{"0 M.N/b/y1 []", "1 M.N/b/y2 []", "2 M.N/a/x [0 1]"},
		},
		"serial loop in batches": {
			[]string{resource("M.N/b", "[concat('y', copyIndex('l'))]", `"copy":{"name":"l","count":5,"mode":"serial","batchSize":2}`)},
			[]string{"0 M.N/b/y0 []", "1 M.N/b/y1 []", "2 M.N/b/y2 [0 1]", "3 M.N/b/y3 [0 1]", "4 M.N/b/y4 [2 3]"},
		},
		"empty loop": {
			[]string{resource("M.N/b", "y", `"copy":{"name":"l","count":0}`), resource("M.N/a", "x", `"dependsOn":["l"]`)},
			[]string{"0 M.N/a/x []"},
		},
		"false condition": {
			[]string{resource("M.N/a", "x", `"dependsOn":["y"]`), resource("M.N/b", "y", `"condition":"[equals(1,2)]"`)},
			[]string{"0 M.N/a/x []"},
		},
		"reference by name and by ID, listKeys": {
			[]string{
				resource("M.N/a", "x", `"properties":{"v":["[reference('y').p]","[listKeys(resourceId('M.N/c','z'), '2020-01-01').keys]","[reference('/elsewhere/w','1').q]"]}`),
				resource("M.N/b", "y", ""), resource("M.N/c", "z", "")},
			[]string{"0 M.N/b/y []", "1 M.N/c/z []", "2 M.N/a/x [0 1]"},
		},
		"extension resource": {
			[]string{resource("Microsoft.Compute/virtualMachines/providers/roleAssignments", "vm/Microsoft.Authorization/g", `"dependsOn":["Microsoft.Compute/virtualMachines/vm"]`), resource("Microsoft.Compute/virtualMachines", "vm", "")},
			[]string{"0 Microsoft.Compute/virtualMachines/vm []", "1 Microsoft.Compute/virtualMachines/vm/providers/Microsoft.Authorization/roleAssignments/g [0]"},
		},
		"scope": {
			[]string{resource("M.A/locks", "l", `"scope":"M.N/a/x"`)},
			[]string{"0 M.N/a/x/providers/M.A/locks/l []"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustExpand(t, resources(c.resources...), "")
			if diff := cmp.Diff(c.want, shape(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExtensionResourceIdentity(t *testing.T) {
	p := mustExpand(t, resources(resource("Microsoft.Compute/virtualMachines/providers/roleAssignments", "vm/Microsoft.Authorization/g", "")), "")
	want := template.Resource{
		ID:           groupID + "/providers/Microsoft.Compute/virtualMachines/vm/providers/Microsoft.Authorization/roleAssignments/g",
		Type:         "Microsoft.Authorization/roleAssignments",
		DeclaredType: "Microsoft.Compute/virtualMachines/providers/roleAssignments",
		Name:         "vm/Microsoft.Authorization/g",
		APIVersion:   "2020-01-01",
		Scope:        groupID + "/providers/Microsoft.Compute/virtualMachines/vm",
	}
	if diff := cmp.Diff(want, p.Resources[0]); diff != "" {
		t.Error(diff)
	}
}

func TestBodies(t *testing.T) {
	for name, c := range map[string]struct{ resource, want string }{
		"template-only members are left out": {
			resource("M.N/a", "x", `"comments":"c","condition":true,"dependsOn":[],"location":"[resourceGroup().location]","zones":["1"],"sku":{"name":"s"},"kind":"k","identity":null`),
			`{"location":"eastus","zones":["1"],"sku":{"name":"s"},"kind":"k","identity":null}`,
		},
		"escapes": {
			resource("M.N/a", "x", `"properties":{"a":"[[concat('x')]","b":"[not closed","c":"[parameters('s')]","d":"x[y]"}`),
			`{"properties":{"a":"[concat('x')]","b":"[not closed","c":"[evil()]","d":"x[y]"}}`,
		},
		"property copy": {
			resource("M.N/a", "x", `"properties":{"copy":[{"name":"disks","count":2,"input":{"lun":"[copyIndex('disks')]","n":"[copyIndex('disks', 1)]","r":"[reference(concat('/i/', copyIndex('disks')), '1').id]"}}],"z":1}`),
			`{"properties":{"disks":[{"lun":0,"n":1,"r":"/i/0"},{"lun":1,"n":2,"r":"/i/1"}],"z":1}}`,
		},
		"late": {
			resource("M.N/a", "x", `"properties":{"principalId":"[reference('/subscriptions/S/v', '2019-07-01', 'Full').identity.principalId]"}`),
			`{"properties":{"principalId":"pid"}}`,
		},
		"numbers stay exact": {
			resource("M.N/a", "x", `"properties":{"big":9223372036854775807,"f":1.10,"e":1E3}`),
			`{"properties":{"big":9223372036854775807,"f":1.10,"e":1E3}}`,
		},
		"nested deployment that evaluates itself": {
			resource("Microsoft.Resources/deployments", "x", `"properties":{"expressionEvaluationOptions":{"scope":"inner"},"parameters":{"p":{"value":"[parameters('s')]"}},"template":{"a":"[parameters('theirs')]"}}`),
			`{"properties":{"expressionEvaluationOptions":{"scope":"inner"},"parameters":{"p":{"value":"[evil()]"}},"template":{"a":"[parameters('theirs')]"}}}`,
		},
		"nested deployment that we evaluate: a value never becomes an expression": {
			resource("Microsoft.Resources/deployments", "x", `"properties":{"template":{"a":"[parameters('s')]","b":"c"}}`),
			`{"properties":{"template":{"a":"[[evil()]","b":"c"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustExpand(t, document(`"parameters":{"s":{"type":"string"}},"resources":[`+c.resource+`]`), `{"s":{"value":"[evil()]"}}`)
			if got := body(t, p, 0); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestBodiesInParallel(t *testing.T) {
	p := mustExpand(t, document(`"variables":{"v":{"a":[1,2]}},"resources":[`+
		resource("M.N/a", "[concat('x', copyIndex())]", `"copy":{"name":"l","count":50},"properties":{"v":"[union(variables('v'), createObject('i', copyIndex()))]","r":"[reference('/y', '1')]"}`)+`]`), "")
	var wg sync.WaitGroup
	for i := range p.Resources {
		wg.Go(func() {
			b, err := p.Body(i, state{})
			if err != nil || !strings.Contains(string(b), fmt.Sprintf(`"i":%d}`, i)) {
				t.Errorf("%d: %s, %v", i, b, err)
			}
		})
	}
	wg.Wait()
}

func TestLate(t *testing.T) {
	p := mustExpand(t, resources(resource("M.N/a", "x", `"properties":{"v":["[resourceGroup().name]"]}`), resource("M.N/a", "y", `"properties":{"v":["[reference('x').p]"]}`)), "")
	if p.Late(0) || !p.Late(1) {
		t.Errorf("late: %v, %v; want false, true", p.Late(0), p.Late(1))
	}
	if b, err := p.Body(0, nil); err != nil || string(b) != `{"properties":{"v":["rg"]}}` {
		t.Errorf("body without Runtime: %s, %v", b, err)
	}
	if b, err := p.Body(1, nil); err == nil {
		t.Errorf("late body without Runtime: %s", b)
	}
}

func TestRuntimeErrorsComeBackAsTheyAre(t *testing.T) {
	p := mustExpand(t, document(`"outputs":{"o":{"type":"string","value":"[reference('/x/absent', '1').id]"}},"resources":[`+
		resource("M.N/a", "x", `"properties":{"v":"[reference('/x/absent', '1').id]"}`)+`]`), "")
	if _, err := p.Body(0, state{}); err != errAbsent {
		t.Errorf("Body: %v", err)
	}
	if _, err := p.Outputs(state{}); err != errAbsent {
		t.Errorf("Outputs: %v", err)
	}
}

func TestOutputs(t *testing.T) {
	p := mustExpand(t, document(`"outputs":{"s":{"type":"string","value":"[resourceGroup().name]"},"k":{"type":"secureString","value":"secret"},
		"no":{"condition":false,"type":"int","value":1},"all":{"type":"array","copy":{"count":3,"input":"[copyIndex()]"}},"r":{"type":"object","value":"[reference('/x','1')]"}}`), "")
	got, err := p.Outputs(state{})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(got)
	want := `{"all":{"type":"Array","value":[0,1,2]},"k":{"type":"SecureString"},"r":{"type":"Object","value":{"apiVersion":"1","full":false,"id":"/x","identity":{"principalId":"pid"}}},"s":{"type":"String","value":"rg"}}`
	if string(data) != want {
		t.Errorf("\n got %s\nwant %s", data, want)
	}
	p = mustExpand(t, document(`"outputs":{"s":{"type":"string","value":1}}`), "")
	var e *template.Error
	if _, err = p.Outputs(state{}); !errors.As(err, &e) || e.Code != template.CodeOutputEvaluation || e.Target != "s" {
		t.Errorf("mistyped output: %v", err)
	}
}

func TestParameters(t *testing.T) {
	doc := document(`"parameters":{"name":{"type":"string","minLength":2,"maxLength":4},"n":{"type":"INT","defaultValue":3,"minValue":1,"maxValue":5},
		"password":{"type":"securestring","defaultValue":"[newGuid()]"},"pair":{"type":"string","defaultValue":"[concat(parameters('late'),'-',parameters('name'))]"},
		"late":{"type":"string","defaultValue":"[utcNow('yyyy-MM-dd')]"},"size":{"type":"string","defaultValue":"S","allowedValues":["S","M"]},
		"cfg":{"type":"secureObject","defaultValue":{"k":"secret"}},"list":{"type":"array","defaultValue":[1],"allowedValues":[1,2]},"b":{"type":"bool","defaultValue":true}}`)
	p := mustExpand(t, doc, `{"NAME":{"value":"vm"},"list":{"value":[2,1]}}`)
	got, _ := json.Marshal(p.Echo())
	want := `{"b":{"type":"Bool","value":true},"cfg":{"type":"SecureObject"},"late":{"type":"String","value":"2026-11-22"},"list":{"type":"Array","value":[2,1]},"n":{"type":"Int","value":3},` +
		`"name":{"type":"String","value":"vm"},"pair":{"type":"String","value":"2026-11-22-vm"},"password":{"type":"SecureString"},"size":{"type":"String","value":"S"}}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for parameters, want := range map[string]string{
		`{}`:                                                       "The value for the template parameter 'name' at line '1' and column",
		`{"name":{"value":null}}`:                                  "The value for the template parameter 'name'",
		`{"name":{"value":"x"}}`:                                   "The length is less than the minimum '2'",
		`{"name":{"value":"xxxxx"}}`:                               "The length is greater than the maximum '4'",
		`{"name":{"value":1}}`:                                     "Expected 'String, Uri'. Actual 'Integer'.",
		`{"name":{"value":"vm"},"n":{"value":6}}`:                  "The value is greater than the maximum '5'",
		`{"name":{"value":"vm"},"size":{"value":"L"}}`:             `not part of the allowed value(s): '"S","M"'`,
		`{"name":{"value":"vm"},"zz":{"value":1},"yy":{}}`:         "The template parameters 'zz, yy' in the parameters file are not valid",
		`{"name":{"value":"vm"},"n":{"reference":{"keyVault":1}}}`: "key vault",
		`{"name":"vm"}`:                                            "must be given as an object with a 'value'",
		`[]`:                                                       "the parameters must be an object",
		`{"name":{"value":"vm"},"cfg":{"value":""}}`:               "Expected 'Object'. Actual 'String'.",
	} {
		_, errs := expand(t, doc, parameters)
		if len(errs) == 0 || !strings.Contains(errs[0].Message, want) || errs[0].Code != template.CodeInvalidTemplate {
			t.Errorf("%s: %v, want %s", parameters, errs, want)
		}
	}
}

// A plan that is made again after a crash is the same plan; another deployment's newGuid differs.
func TestNewGuid(t *testing.T) {
	doc := document(`"parameters":{"a":{"type":"string","defaultValue":"[newGuid()]"},"b":{"type":"string","defaultValue":"[newGuid()]"}}`)
	parsed, _ := template.Parse(json.RawMessage(doc))
	guids := func(seed string) string {
		e := env()
		e.Seed = seed
		p, errs := template.Expand(parsed, e, nil)
		if errs != nil {
			t.Fatal(errs[0])
		}
		a, b := string(p.Echo()["a"].Value), string(p.Echo()["b"].Value)
		if a == b || len(a) != 38 {
			t.Errorf("%s and %s", a, b)
		}
		return a + b
	}
	if first, again := guids("1"), guids("1"); first != again || first == guids("2") {
		t.Error("newGuid() must follow from the seed")
	}
}

func TestHash(t *testing.T) {
	a, _ := template.Parse(json.RawMessage(document(`"variables":{"v":1}`)))
	b, _ := template.Parse(json.RawMessage(strings.ReplaceAll(document(`"variables":{"v":1}`), ",", ",\n  ")))
	c, _ := template.Parse(json.RawMessage(document(`"variables":{"v":2}`)))
	if a.Hash() != b.Hash() || a.Hash() == c.Hash() || strings.Trim(a.Hash(), "0123456789") != "" || a.Hash() == "" {
		t.Errorf("%s %s %s", a.Hash(), b.Hash(), c.Hash())
	}
}

func TestVariables(t *testing.T) {
	p := mustExpand(t, document(`"variables":{"late":"[concat(variables('early'),'!')]","early":"e","copy":[{"name":"names","count":2,"input":"[concat('n', copyIndex('names'))]"}],
		"o":{"copy":[{"name":"in","count":2,"input":"[copyIndex('in')]"}],"k":"v"}},
		"outputs":{"x":{"type":"object","value":{"a":"[variables('late')]","b":"[variables('names')]","c":"[variables('O')]"}}}`), "")
	out, err := p.Outputs(state{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out["x"].Value), `{"a":"e!","b":["n0","n1"],"c":{"in":[0,1],"k":"v"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
