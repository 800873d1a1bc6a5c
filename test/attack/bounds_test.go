package attack

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// deployment is a body with these resources in its template.
func deployment(resources string) string {
	return `{"properties":{"mode":"Incremental","template":{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[` + resources + `]}}}`
}

// pathRows name things in ways that a check might read differently than what acts. All are sent byte by byte.
func pathRows() []row {
	by := func(name, sent string, status int, code string, target func(w *world) string) row {
		return row{"path: " + name, sent, status, code, func(w *world) outcome {
			return w.path("GET", target(w)+"?api-version="+version, w.token(w.one.TenantID, w.worker.AppID))
		}}
	}
	const bad = "InvalidRequestUri"
	other := func(w *world) string { return "/subscriptions/" + w.two.SubscriptionID }
	return []row{
		by("dots", "…/resourceGroups/images/../../../fabrikam", 400, bad, func(w *world) string { return w.group + "/../../.." + other(w) }),
		by("escaped dots", "…/images/%2e%2e/other", 400, bad, func(w *world) string { return w.group + "/%2e%2e/other" }),
		by("escaped slash", "/subscriptions%2f of fabrikam", 401, "InvalidAuthenticationTokenTenant", func(w *world) string { return "/subscriptions%2f" + w.two.SubscriptionID }),
		by("escaped twice", "…/images%252f..", 400, bad, func(w *world) string { return w.group + "%252f.." }),
		by("NUL", "…/resourceGroups/images%00", 400, bad, func(w *world) string { return w.group + "%00" }),
		by("backslash", `…/resourceGroups/images%5c..`, 400, bad, func(w *world) string { return w.group + "%5c.." }),
		by("line break", "…/images%0d%0aX: y", 400, bad, func(w *world) string { return w.group + "%0d%0aX:y" }),
		by("not UTF-8", "…/images%ff%fe", 400, bad, func(w *world) string { return w.group + "%ff%fe" }),
		by("too long", "a name of 3000 letters", 414, bad, func(w *world) string { return w.group + "/" + strings.Repeat("a", 3000) }),
		by("case of another's subscription", "/SUBSCRIPTIONS/fabrikam in capitals", 401, "InvalidAuthenticationTokenTenant", func(w *world) string { return strings.ToUpper(other(w)) }),
		by("case of a group without a right", "RESOURCEGROUPS/OTHER", 403, unauthorized, func(w *world) string { return strings.ToUpper(w.sub()) + "/RESOURCEGROUPS/OTHER" }),
		by("doubled slashes", "//subscriptions//fabrikam", 401, "InvalidAuthenticationTokenTenant", func(w *world) string { return "/" + strings.ReplaceAll(other(w), "/", "//") }),
		by("a letter that folds", "re\u017fourceGroups (long s) of a foreign group", 403, unauthorized, func(w *world) string { return w.sub() + "/re%C5%BFourceGroups/other" }),
		by("scope inside a scope", "B's subscription, then A's group as an extension's name", 404, "InvalidResourceType", func(w *world) string {
			return other(w) + "/providers/Microsoft.Authorization/roleAssignments/x" + w.group
		}),
		{"path: subscription that is no GUID", "/subscriptions/..;/x", 400, "InvalidSubscriptionId", func(w *world) outcome {
			return w.path("GET", "/subscriptions/..;/resourceGroups?api-version="+version, w.token(w.one.TenantID, ""))
		}},
	}
}

func sizeRows() []row {
	put := func(name, sent string, status int, code string, body func() string) row {
		return row{name, sent, status, code, func(w *world) outcome {
			return w.arm("PUT", w.group+"/providers/Microsoft.Compute/galleries/big", body(), w.token(w.one.TenantID, w.worker.AppID))
		}}
	}
	return []row{
		put("oversized JSON", "a body of 5 MiB", 413, "RequestEntityTooLarge", func() string { return `{"location":"` + strings.Repeat("a", 5<<20) + `"}` }),
		put("deeply nested JSON", "100000 arrays in each other", 400, "InvalidRequestContent", func() string {
			return `{"tags":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`
		}),
		put("nested objects", "1000 objects in each other", 400, "InvalidRequestContent", func() string {
			return strings.Repeat(`{"properties":`, 1000) + "1" + strings.Repeat("}", 1000)
		}),
		put("half a JSON", "a body that ends early", 400, "InvalidRequestContent", func() string { return `{"location":"eastus",` }),
		put("two values", "a second object behind the first", 400, "InvalidRequestContent", func() string { return `{"location":"eastus"}{"location":"westus"}` }),
		put("tags without end", "10000 tags", 400, "TooManyTags", func() string {
			tags := map[string]string{}
			for i := range 10_000 {
				tags[fmt.Sprint("t", i)] = "v"
			}
			raw, err := json.Marshal(object{"location": "eastus", "tags": tags})
			if err != nil {
				panic(err) // texts always encode
			}
			return string(raw)
		}),
		{"oversized form", "a token request of 200 KiB", 413, "AADSTS9002313", func(w *world) outcome {
			return w.secret(w.one.TenantID, w.worker.AppID, strings.Repeat("a", 200<<10))
		}},
	}
}

// templateRows are small texts that would become large.
func templateRows() []row {
	by := func(name, sent, code, members string) row {
		return row{"template: " + name, sent, 400, code, func(w *world) outcome {
			body := `{"properties":{"mode":"Incremental","template":{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",` + members + `}}}`
			return w.deploy(body)
		}}
	}
	expression := func(text string) string {
		return `"resources":[],"outputs":{"o":{"type":"string","value":"` + text + `"}}`
	}
	doubling := `"resources":[],"variables":{"v0":"aaaaaaaaaaaaaaaa"`
	for i := 1; i < 40; i++ {
		doubling += fmt.Sprintf(`,"v%d":"[concat(variables('v%d'),variables('v%d'))]"`, i, i-1, i-1)
	}
	doubling += `},"outputs":{"o":{"type":"string","value":"[variables('v39')]"}}`
	many := `"resources":[],"parameters":{`
	for i := range 300 {
		many += fmt.Sprintf(`"p%d":{"type":"string","defaultValue":""},`, i)
	}
	gallery := `{"type":"Microsoft.Compute/galleries","apiVersion":"2024-03-03","location":"eastus","name":`
	const wrong = "InvalidTemplate"
	return []row{
		by("billion laughs", "40 variables, each twice the one before", wrong, doubling),
		by("range without end", "range(0, 1000000000)", wrong, expression("[string(range(0,1000000000))]")),
		by("copies without end", "a resource with a copy count of 1000000", wrong, `"resources":[`+gallery+`"[concat('g',copyIndex())]","copy":{"name":"c","count":1000000}}]`),
		by("padding without end", "padLeft('a', 2000000000)", wrong, expression("[padLeft('a',2000000000)]")),
		by("nested calls", "5000 concat in each other", wrong, expression("["+strings.Repeat("concat(", 5000)+"'a'"+strings.Repeat(")", 5000)+"]")),
		by("expression too long", "an expression of 30000 characters", wrong, expression("[concat('"+strings.Repeat("a", 30_000)+"')]")),
		by("too many parameters", "300 parameters", wrong, many[:len(many)-1]+"}"),
		by("circular dependencies", "two resources that wait for each other", wrong, `"resources":[`+gallery+`"a","dependsOn":["b"]},`+gallery+`"b","dependsOn":["a"]}]`),
		by("variable of itself", "a variable that names itself", wrong, `"resources":[],"variables":{"v":"[variables('v')]"},"outputs":{"o":{"type":"string","value":"[variables('v')]"}}`),
		{"template: link to the inside", "templateLink to the metadata service", 400, "InvalidContentLink", func(w *world) outcome {
			return w.arm("PUT", w.group+"/providers/Microsoft.Resources/deployments/link", `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://`+w.trap+`/t.json"}}}`, w.token(w.one.TenantID, w.worker.AppID))
		}},
	}
}

// innerRows need a clock, a resolver or a key of the server's own: tests of the packages, run by name.
func innerRows() []row {
	by := func(name, sent, pkg, test string) row {
		return row{name, sent, 0, "PASS", func(w *world) outcome {
			out, err := exec.CommandContext(w.t.Context(), "go", "test", "-count=1", "-v", "-run", "^"+test+"$", "vitrine/internal/"+pkg).CombinedOutput()
			if err == nil && strings.Contains(string(out), "--- PASS: "+test+" ") {
				return outcome{0, "PASS", ""}
			}
			return outcome{0, "FAIL", fmt.Sprint(err, "\n", string(out))}
		}}
	}
	return []row{
		by("SSRF by DNS rebinding", "go test internal/web TestFetchRebinding", "web", "TestFetchRebinding"),
		by("not yet valid", "a token whose nbf is in the future: go test internal/token TestLifetime", "token", "TestLifetime"),
		by("forged with the right key", "issuer, tenant and version that disagree: go test internal/token TestAttacks", "token", "TestAttacks"),
		by("SSRF by a package's link", "a VM application whose mediaLink leads elsewhere: go test internal/dataplane/account TestOpenBlob", "dataplane/account", "TestOpenBlob"),
		by("another's package", "a mediaLink that the caller may not read: go test internal/provider/gallery TestApplicationSourceRights", "provider/gallery", "TestApplicationSourceRights"),
		by("SSRF by redirect", "go test internal/web TestFetch", "web", "TestFetch"),
	}
}
