package deployments_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// A deployment may be so large and no larger, compressed: what repeats itself is not.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	noise := make([]byte, 450<<10)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	text := base64.StdEncoding.EncodeToString(noise) // 600 KiB that are 450 compressed
	vars := func(names ...string) string {
		var list []string
		for _, n := range names {
			list = append(list, fmt.Sprintf("%q:%q", n, text))
		}
		return `"variables":{` + strings.Join(list, ",") + `}`
	}
	valued := func(more, value string) string {
		return resource("Test.Fake/sync", "a", more+`"properties":{"value":"`+value+`"}`)
	}
	copied := strings.Replace(valued(`"copy":{"name":"c","count":12},`, "[variables('v')]"), `"name":"a"`, `"name":"[concat('a', copyIndex())]"`, 1)
	for name, row := range map[string]struct{ template, code, part string }{
		"job":       {document(vars("a", "b", "c") + "," + list(resource("Test.Fake/sync", "a", ""))), "DeploymentJobSizeExceeded", "1048576 bytes"},
		"resource":  {document(vars("v") + "," + list(valued("", "[concat(variables('v'), variables('v'), variables('v'))]"))), "JobSizeExceeded", "sync/a' is larger"},
		"resources": {document(vars("v") + "," + list(copied)), "JobSizeExceeded", "4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, target := range []struct{ method, path string }{{"PUT", deployed + "d"}, {"POST", deployed + "d/validate"}} {
				w.Refused(inA, target.method, target.path, request(row.template, "{}"), "400 "+row.code, row.part)
			}
		})
	}
	easy := strings.Repeat("x", 3<<19) // one and a half megabytes of nothing
	if status := w.Deploy(inA, "d", document(`"variables":{"v":"`+easy+`"},`+list(valued("", "[variables('v')]")))); status["status"] != "Succeeded" {
		t.Errorf("%v", status)
	}
}

// A deployment writes to 800 groups at most, with those nested in it.
func TestGroupsOfOneDeployment(t *testing.T) {
	w := newWorld(t)
	nest := func(name, group string, inner ...string) string {
		return fmt.Sprintf(`{"type":"Microsoft.Resources/deployments","name":%q,"apiVersion":"2021-04-01","resourceGroup":%q,"properties":{"mode":"Incremental","template":%s}}`,
			name, group, document(list(inner...)))
	}
	thing := resource("Test.Fake/sync", "a", "")
	half := func(from, n int) (all []string) {
		for i := range n {
			all = append(all, nest(fmt.Sprintf("n%d", from+i), fmt.Sprintf("g%d", from+i), thing))
		}
		return all
	}
	// Two that write nothing themselves, with 400 groups each; and a thing of the outer one's own.
	w.Refused(inA, "PUT", deployed+"d", request(document(list(nest("a", "rg", half(0, 400)...), nest("b", "rg", half(400, 400)...), thing)), "{}"),
		"400 TooManyTargetResourceGroups", "801 resource groups. The limit of a deployment, with those nested in it, is 800.")
	w.Refused(inA, "POST", deployed+"d/validate", request(document(list(nest("a", "rg", half(0, 401)...), nest("b", "rg", half(401, 400)...))), "{}"),
		"400 TooManyTargetResourceGroups", "801 resource groups")
	// Named twice is written to once; with 800 it is only the groups that are missing.
	same := document(list(nest("a", "rg", half(0, 400)...), nest("b", "rg", half(0, 400)...), thing))
	w.OK(inA, "PUT", deployed+"same", request(same, "{}"))
	w.OK(inA, "POST", deployed+"same/cancel", "")
}

// The operations of a deployment come $top at a time, and deployments too.
func TestPagesOfDeployments(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"x", "y", "z"} {
		w.Deploy(inA, name, document(list(resource("Test.Fake/sync", "a", ""), resource("Test.Fake/sync", "b", ""), resource("Test.Fake/sync", "c", ""))))
	}
	for path, want := range map[string]string{
		deployed + "x/operations?$top=2":              "a b | c",
		deployed + "x/operations?$top=1":              "a | b | c",
		deployed + "x/operations":                     "a b c",
		strings.TrimSuffix(deployed, "/") + "?$top=2": "x y | z",
		strings.TrimSuffix(deployed, "/") + "?$top=1&$filter=provisioningState eq 'Succeeded'": "x | y | z",
	} {
		var pages []string
		for next := path; next != "" && len(pages) < 9; {
			l := w.Get(inA, next)
			var names []string
			for _, v := range l["value"].([]any) {
				name, _ := at(v, "properties.targetResource.resourceName").(string)
				if name == "" {
					name = at(v, "name").(string)
				}
				names = append(names, name)
			}
			pages = append(pages, strings.Join(names, " "))
			link, _ := at(l, "nextLink").(string)
			next = strings.TrimPrefix(link, "https://management.azure.com")
		}
		if got := strings.Join(pages, " | "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, query := range []string{"$top=0", "$skiptoken=none"} {
		w.Refused(inA, "GET", deployed+"x/operations?"+query, "", "400 InvalidQueryParameterValue", strings.SplitN(query, "=", 2)[0])
	}
}
