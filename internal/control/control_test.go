package control_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

const square = `{"location":"East US","properties":{"shape":"square"}}`

func TestTheOrderOfChecks(t *testing.T) {
	w := newWorld(t)
	w.grant("reader", readerRole, "/subscriptions/"+subA)
	w.grant("nosy", contributorRole, group+"x")
	w.do("owner", "PUT", widgets+"/w", square).is(201, "")
	other := strings.Replace(widgets, "/resourceGroups/g/", "/resourceGroups/none/", 1)
	for _, row := range []struct {
		who, method, target, body string
		status                    int
		code                      string
	}{
		{"owner", "PUT", widgets + "/w?api-version=", "", 400, "MissingApiVersionParameter"},
		{"owner", "PUT", widgets + "/w?api-version=new", "", 400, "InvalidApiVersionParameter"},
		{"owner", "GET", "/subscriptions/nonsense/resourceGroups/g", "", 400, "InvalidSubscriptionId"},
		{"owner", "GET", group + "/../x", "", 400, "InvalidRequestUri"},
		{"owner-b", "PUT", widgets + "/w", "not JSON", 401, "InvalidAuthenticationTokenTenant"},
		{"owner-b", "GET", widgets + "/w", "", 401, "InvalidAuthenticationTokenTenant"},
		{"owner-b", "GET", widgets, "", 401, "InvalidAuthenticationTokenTenant"},
		{"owner-b", "DELETE", widgets + "/w", "", 401, "InvalidAuthenticationTokenTenant"},
		{"owner-b", "POST", widgets + "/w/poke", "", 401, "InvalidAuthenticationTokenTenant"},
		{"owner-b", "GET", "/subscriptions/" + subA + "/locations", "", 401, "InvalidAuthenticationTokenTenant"},
		{"owner", "GET", "/subscriptions/cccccccc-0000-4000-8000-00000000000c/resourceGroups/g", "", 404, "SubscriptionNotFound"},
		// Who may not read learns nothing about what exists.
		{"nobody", "GET", widgets + "/w", "", 403, "AuthorizationFailed"},
		{"nobody", "GET", widgets + "/none", "", 403, "AuthorizationFailed"},
		{"nobody", "GET", other + "/none", "", 403, "AuthorizationFailed"},
		{"nobody", "HEAD", widgets + "/none", "", 403, "AuthorizationFailed"},
		{"nobody", "PUT", other + "/none", "not JSON", 403, "AuthorizationFailed"},
		{"nobody", "PATCH", widgets + "/none", "{}", 403, "AuthorizationFailed"},
		{"nobody", "DELETE", widgets + "/none", "", 403, "AuthorizationFailed"},
		{"nobody", "POST", widgets + "/none/poke", "not JSON", 403, "AuthorizationFailed"},
		{"nobody", "GET", widgets, "", 403, "AuthorizationFailed"},
		{"nobody", "GET", widgets + "/none/gauge", "", 403, "AuthorizationFailed"},
		{"nosy", "GET", widgets + "/w", "", 403, "AuthorizationFailed"},
		{"reader", "PUT", widgets + "/w", square, 403, "AuthorizationFailed"},
		{"reader", "DELETE", widgets + "/w", "", 403, "AuthorizationFailed"},
		{"reader", "POST", widgets + "/w/poke", "", 403, "AuthorizationFailed"},
		{"reader", "POST", widgets + "/w/hush", "", 200, ""},
		{"reader", "GET", widgets + "/w", "", 200, ""},
		{"reader", "GET", widgets + "/none", "", 404, "ResourceNotFound"},
		// Then the group, the outer resource, the body.
		{"owner", "PUT", other + "/w", "not JSON", 404, "ResourceGroupNotFound"},
		{"owner", "GET", other + "/w", "", 404, "ResourceGroupNotFound"},
		{"owner", "GET", other, "", 404, "ResourceGroupNotFound"},
		{"owner", "DELETE", other + "/w", "", 404, "ResourceGroupNotFound"},
		{"owner", "DELETE", group + "none", "", 404, "ResourceGroupNotFound"},
		{"owner", "PUT", widgets + "/none/parts/p", "not JSON", 404, "ParentResourceNotFound"},
		{"owner", "GET", widgets + "/none/parts/p", "", 404, "ResourceNotFound"},
		{"owner", "GET", widgets + "/none/parts", "", 404, "ResourceNotFound"},
		{"owner", "PUT", widgets + "/w2", "not JSON", 400, "InvalidRequestContent"},
		{"owner", "PUT", widgets + "/bad", square, 400, "InvalidParameter"},
		{"owner", "PATCH", widgets + "/none", "{}", 404, "ResourceNotFound"},
		// What is not there at all.
		{"owner", "GET", group + "/providers/Nobody.Test/x/y", "", 404, "InvalidResourceNamespace"},
		{"owner", "GET", group + "/providers/Vitrine.Test/x/y", "", 404, "InvalidResourceType"},
		{"owner", "GET", group + "/providers/Vitrine.Test/x", "", 404, "InvalidResourceType"},
		{"owner", "GET", widgets + "/w/nothing", "", 404, "InvalidResourceType"},
		{"owner", "PUT", "/subscriptions/" + subA + "/providers/Vitrine.Test/widgets/w", square, 404, "InvalidResourceType"},
		{"owner", "PUT", group + "/providers/Vitrine.Test/plans/p", "{}", 404, "InvalidResourceType"},
		{"owner", "GET", "/providers/Vitrine.Test/widgets", "", 404, "InvalidResourceType"},
		{"owner", "GET", "/subscriptions/" + subA + "/providers/Vitrine.Test/widgets/w/parts", "", 404, "InvalidResourceType"},
		{"owner", "GET", group + "/providers/Vitrine.Test/plans", "", 404, "InvalidResourceType"},
		{"owner", "GET", widgets + "/w/providers/Vitrine.Test/widgets", "", 404, "InvalidResourceType"},
		{"owner", "POST", widgets + "/w/nothing", "", 404, "NotFound"},
		// Verbs that are off.
		{"owner", "PUT", group + "/providers/Vitrine.Test/fixed/f", "{}", 405, "MethodNotAllowed"},
		{"owner", "DELETE", group + "/providers/Vitrine.Test/fixed/f", "", 405, "MethodNotAllowed"},
		{"owner", "PATCH", widgets + "/w/parts/p", "{}", 405, "MethodNotAllowed"},
		{"owner", "POST", widgets + "/w", "{}", 405, "MethodNotAllowed"},
		{"owner", "PUT", widgets, "{}", 405, "MethodNotAllowed"},
		{"owner", "PUT", widgets + "/w/parts", "{}", 405, "MethodNotAllowed"},
		{"owner", "DELETE", widgets, "", 405, "MethodNotAllowed"},
		{"owner", "HEAD", widgets + "/w/gauge", "", 405, "MethodNotAllowed"},
		{"owner", "OPTIONS", widgets + "/w", "", 405, "MethodNotAllowed"},
		{"owner", "POST", "/providers/Vitrine.Test/clash", "", 409, "Conflict"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", row.who, row.method, row.target), func(t *testing.T) {
			a := w.do(row.who, row.method, row.target, row.body)
			a.t = t
			a.is(row.status, row.code)
		})
	}
}

func TestWordings(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "GET", widgets+"/w", "").is(404, "ResourceNotFound").
		says("The Resource 'Vitrine.Test/widgets/w' under resource group 'g' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix")
	w.do("owner", "GET", group+"2", "").is(404, "ResourceGroupNotFound").says("Resource group 'g2' could not be found.")
	w.do("nobody", "PUT", widgets+"/w", "").is(403, "AuthorizationFailed").
		says("The client 'app-nobody' with object id 'nobody' does not have authorization to perform action 'Vitrine.Test/widgets/write' over scope '" + widgets + "/w' or the scope is invalid.")
	w.do("nobody", "GET", group, "").says("Microsoft.Resources/subscriptions/resourceGroups/read")
	w.do("owner", "GET", group+"/providers/Vitrine.Test/x/y", "").says("'x' could not be found in the namespace 'Vitrine.Test' for api version '2022-03-03'. The supported api-versions are '2021-01-01,2022-01-01'")
	a := w.do("owner-b", "GET", group, "").is(401, "InvalidAuthenticationTokenTenant")
	if !strings.Contains(a.err.Headers()["WWW-Authenticate"], "Bearer ") {
		t.Errorf("no challenge: %v", a.err.Headers())
	}
	w.do("owner", "GET", "/subscriptions/"+subA+"/providers/Vitrine.Test/plans/p", "").says("The Resource 'Vitrine.Test/plans/p' was not found.")
}

func TestReadsAndWrites(t *testing.T) {
	w := newWorld(t)
	a := w.do("owner", "PUT", "//subscriptions/"+subA+"/resourcegroups/G//providers/vitrine.test/WIDGETS/W/",
		`{"location":"East US","tags":{"k":"v"},"properties":{"COLOUR":"rED","shape":"square","size":null,"secret":"s3cret","serial":"forged","inner":"forged","future":{"x":[1,null]}},"name":"forged","id":"forged","novel":true}`)
	a.is(201, "").has("name", "W").has("type", "Vitrine.Test/widgets").has("location", "eastus").has("tags.k", "v").
		has("properties.colour", "Red").has("properties.shape", "square").has("properties.size", nil).has("properties.secret", nil).
		has("properties.inner", nil).has("properties.serial", "serial-1").has("novel", true).has("createdAt", nil).has("properties.provisioningState", nil)
	if a.at("properties.future.x") == nil {
		t.Errorf("an unknown member is lost: %v", a.body)
	}
	got := w.do("owner", "GET", widgets+"/w", "").is(200, "").has("name", "W").has("properties.secret", nil).has("properties.colour", "Red")
	if got.header.Get("ETag") != a.header.Get("ETag") || got.header.Get("ETag") == "" {
		t.Errorf("ETag %q, then %q", a.header.Get("ETag"), got.header.Get("ETag"))
	}
	w.do("owner", "HEAD", widgets+"/w", "").is(204, "")
	w.do("owner", "HEAD", widgets+"/x", "").is(404, "")
	w.do("owner", "PUT", widgets+"/w", `{"properties":{"shape":"square","size":"3"}}`).is(200, "").has("properties.size", 3.0).
		has("properties.colour", nil).has("location", "eastus").has("properties.serial", "serial-1").has("name", "W")
	w.do("owner", "PATCH", widgets+"/w", `{"tags":{"a":"b"},"properties":{"colour":"blue"}}`).is(200, "").has("properties.colour", "Blue").
		has("properties.size", 3.0).has("tags.a", "b").has("tags.k", nil)
	w.do("owner", "PATCH", widgets+"/w", `{"tags":null,"properties":{"size":null}}`).is(200, "").has("properties.size", nil).has("tags", nil)
	w.do("owner", "POST", widgets+"/w/POKE", "").is(200, "").has("inner", "poked")
	w.do("owner", "GET", widgets+"/w/Gauge", "").is(200, "").has("inner", "poked").has("gauge", "")
	w.do("owner", "GET", widgets+"/w/gauge/seven", "").is(200, "").has("gauge", "seven")
	w.do("owner", "GET", widgets+"/w/gauge/none", "").is(404, "NotFound")
	w.do("owner", "GET", group+"/providers/Vitrine.Test/wdgts/w", "").is(404, "ResourceNotFound") // a synonym of the type, not of the ID
	w.do("owner", "PUT", widgets+"/w/parts/p", `{"properties":{"n":7}}`).is(201, "").has("properties.n", 7.0)
	w.do("owner", "DELETE", widgets+"/w/parts/p", "").is(200, "").has("properties.n", 7.0)
	w.do("owner", "DELETE", widgets+"/w/parts/p", "").is(204, "")
	if a := w.do("owner", "DELETE", widgets+"/w", "").is(200, ""); a.body != nil {
		t.Errorf("a body without Echo: %v", a.body)
	}
	w.do("owner", "DELETE", widgets+"/w", "").is(204, "")
	w.do("owner", "GET", widgets+"/w", "").is(404, "ResourceNotFound")
	w.do("owner", "GET", "/subscriptions/"+subA+"/Locations", "").is(200, "")
	w.do("owner", "POST", "/providers/Vitrine.Test/nothing", "").is(202, "").has("n", 1.0)
}

func TestFaultsOfABody(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "PUT", widgets+"/w", square).is(201, "")
	long := strings.Repeat("ä", 257)
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf(`"t%d":"v"`, i))
	}
	for name, row := range map[string]struct {
		method, name, body string
		status             int
		code, target       string
	}{
		"missing required":   {"PUT", "x", `{"location":"eastus"}`, 400, "InvalidParameter", "widget.properties.shape"},
		"null required":      {"PUT", "x", `{"location":"eastus","properties":{"shape":null}}`, 400, "InvalidParameter", "widget.properties.shape"},
		"enum":               {"PUT", "x", `{"location":"eastus","properties":{"shape":"s","colour":"pink"}}`, 400, "InvalidParameter", "widget.properties.colour"},
		"type":               {"PUT", "x", `{"location":"eastus","properties":{"shape":"s","size":"big"}}`, 400, "InvalidParameter", "widget.properties.size"},
		"not an object":      {"PUT", "x", `{"location":"eastus","properties":[]}`, 400, "InvalidParameter", "properties"},
		"validate":           {"PUT", "x", `{"location":"eastus","properties":{"shape":"s","size":10}}`, 400, "InvalidParameter", "widget.properties.size"},
		"no location":        {"PUT", "x", `{"properties":{"shape":"s"}}`, 400, "LocationRequired", ""},
		"unknown location":   {"PUT", "x", `{"location":"mars","properties":{"shape":"s"}}`, 400, "LocationNotAvailableForResourceType", ""},
		"another location":   {"PUT", "w", `{"location":"westus","properties":{"shape":"square"}}`, 409, "InvalidResourceLocation", ""},
		"immutable":          {"PUT", "w", `{"location":"eastus","properties":{"shape":"round"}}`, 409, "PropertyChangeNotAllowed", "widget.properties.shape"},
		"immutable by PATCH": {"PATCH", "w", `{"properties":{"shape":"round"}}`, 409, "PropertyChangeNotAllowed", "widget.properties.shape"},
		"too many tags":      {"PUT", "x", `{"location":"eastus","properties":{"shape":"s"},"tags":{` + strings.Join(many, ",") + `}}`, 400, "TooManyTags", "tags"},
		"long tag value":     {"PUT", "x", `{"location":"eastus","properties":{"shape":"s"},"tags":{"k":"` + long + `"}}`, 400, "InvalidTagNameOrValue", "tags"},
		"long tag name":      {"PUT", "x", `{"location":"eastus","properties":{"shape":"s"},"tags":{"` + long + long + `":"v"}}`, 400, "InvalidTagNameOrValue", "tags"},
		"empty":              {"PUT", "x", ``, 400, "InvalidParameter", "widget.properties.shape"},
		"an array":           {"PUT", "x", `[]`, 400, "InvalidRequestContent", ""},
		"null":               {"PUT", "x", `null`, 400, "InvalidRequestContent", ""},
		"half":               {"PUT", "x", `{"location":`, 400, "InvalidRequestContent", ""},
		"two":                {"PUT", "x", `{} {}`, 400, "InvalidRequestContent", ""},
		"deep":               {"PUT", "x", `{"x":` + strings.Repeat(`{"x":`, 70) + "1" + strings.Repeat("}", 71), 400, "InvalidRequestContent", ""},
		"very deep":          {"PUT", "x", strings.Repeat("[", 1<<20), 400, "InvalidRequestContent", ""},
		"broken UTF-8":       {"PUT", "x", "{\"location\":\"eastus\",\"properties\":{\"shape\":\"s\",\"novel\":\"\xff\"}}", 400, "InvalidRequestContent", ""},
		"broken in action":   {"POST", "w/poke", `{`, 400, "InvalidRequestContent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.do("owner", row.method, widgets+"/"+row.name, row.body)
			a.t = t
			a.is(row.status, row.code)
			if a.err.Target != row.target {
				t.Errorf("target %q, want %q", a.err.Target, row.target)
			}
		})
	}
	w.do("owner", "GET", widgets+"/x", "").is(404, "ResourceNotFound")
	w.do("owner", "PUT", widgets+"/w", `{"properties":{"shape":"round"}}`).says("Changing property 'widget.properties.shape' is not allowed.")
	a := w.do("owner", "PUT", widgets+"/x", `{"location":"eastus","properties":{"colour":"pink","size":"big"}}`).is(400, "InvalidParameter")
	if len(a.err.Details) != 3 {
		t.Errorf("every fault at once: %v", a.err.Details)
	}
	braces := `{"location":"eastus","properties":{"shape":"` + strings.Repeat(`{[\"`, 100) + `"}}`
	w.do("owner", "PUT", widgets+"/braces", braces).is(201, "")
	w.do("owner", "PUT", widgets+"/w/parts/p", `{"location":"`+strings.Repeat("x", 3000)+`"}`).is(201, "")
	w.do("owner", "PUT", widgets+"/tags", `{"location":"eastus","properties":{"shape":"s"},"tags":{"k":"`+strings.Repeat("ä", 256)+`"}}`).is(201, "")
}

func TestHostilePathsAreNoFaultsOfOurs(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("n", 250)
	name := "/" + long + "/parts/" + long + "/providers/Vitrine.Test/marks/" + long
	w.do("owner", "PUT", widgets+"/"+long, square).is(201, "")
	w.do("owner", "PUT", widgets+"/"+long+"/parts/"+long, "{}").is(201, "")
	w.do("owner", "PUT", widgets+name, "{}").is(201, "")
	w.do("owner", "PUT", engines+"/"+long+long, "{}").is(400, "InvalidRequestUri")
	w.do("owner", "GET", widgets+"/"+strings.Repeat(long+"/", 6), "").is(414, "InvalidRequestUri")
	for _, token := range []string{"%00", "%ff", strings.Repeat("x", 2000)} {
		w.do("owner", "GET", widgets+"?$skiptoken="+token, "").is(400, "InvalidQueryParameterValue")
	}
	w.do("owner", "GET", widgets+"?$filter=tagName%20eq%20'x'", "").is(400, "InvalidFilterInQueryString")
	w.do("owner", "GET", "/subscriptions/"+subA+"/operationresults/"+long, "").is(404, "NotFound")
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "PUT", widgets+"/w", square, "If-Match: *").is(412, "PreconditionFailed")
	a := w.do("owner", "PUT", widgets+"/w", square, "If-None-Match: *").is(201, "")
	w.do("owner", "PUT", widgets+"/w", square, "If-None-Match: *").is(412, "PreconditionFailed")
	first := a.header.Get("ETag")
	second := w.do("owner", "PUT", widgets+"/w", square, "If-Match: "+first).is(200, "").header.Get("ETag")
	if first == second {
		t.Error("a write leaves the ETag as it was")
	}
	w.do("owner", "PUT", widgets+"/w", square, "If-Match: "+first).is(412, "PreconditionFailed")
	w.do("owner", "PATCH", widgets+"/w", "{}", "If-Match: "+first).is(412, "PreconditionFailed")
	w.do("owner", "DELETE", widgets+"/w", "", "If-Match: "+first).is(412, "PreconditionFailed")
	w.do("owner", "PUT", widgets+"/w", square, "If-Match: *").is(200, "")
	w.update(func(tx store.Tx) error { // a provider with an ETag of its own
		r, err := control.Find[widget](tx, widgets+"/w")
		if err != nil {
			return err
		}
		r.Etag = `W/"own"`
		return control.Save(tx, r)
	})
	if got := w.do("owner", "GET", widgets+"/w", "").is(200, "").header.Get("ETag"); got != `W/"own"` {
		t.Errorf("the header is %s, not the provider's", got)
	}
	for n := range 200 { // the store's counts otherwise: a number of its own would be another write's
		w.do("owner", "DELETE", widgets+"/w", "", fmt.Sprintf(`If-Match: "%d"`, n)).is(412, "PreconditionFailed")
	}
	w.do("owner", "DELETE", widgets+"/w", "", `If-Match: W/"other"`).is(412, "PreconditionFailed")
	w.do("owner", "DELETE", widgets+"/w", "", `If-Match: W/"own"`).is(200, "")
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	w := newWorld(t)
	etag := w.do("owner", "PUT", widgets+"/w", square).is(201, "").header.Get("ETag")
	var group sync.WaitGroup
	won := make(chan string, 16)
	for i := range 16 {
		group.Go(func() {
			a := w.do("owner", "PATCH", widgets+"/w", fmt.Sprintf(`{"tags":{"by":"%d"}}`, i), "If-Match: "+etag)
			switch a.status {
			case 200:
				won <- fmt.Sprint(i)
			case 409, 412:
			default:
				t.Errorf("%d %v", a.status, a.err)
			}
		})
	}
	group.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d writers won with the same ETag", len(won))
	}
	w.do("owner", "GET", widgets+"/w", "").has("tags.by", <-won)
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "PUT", group+"2", `{"location":"eastus"}`).is(201, "")
	for _, name := range []string{group + "/providers/Vitrine.Test/widgets/a", group + "/providers/Vitrine.Test/widgets/b", group + "2/providers/Vitrine.Test/widgets/c"} {
		w.do("owner", "PUT", name, square).is(201, "")
	}
	for _, name := range []string{"/a/parts/1", "/a/parts/2", "/b/parts/3"} {
		w.do("owner", "PUT", widgets+name, "{}").is(201, "")
	}
	all := "/subscriptions/" + subA + "/providers/Vitrine.Test/widgets"
	w.grant("one", readerRole, widgets+"/a")
	w.grant("deep", readerRole, widgets+"/a/parts/1")
	for _, row := range []struct {
		who, target string
		n           int
	}{
		{"owner", widgets, 2}, {"owner", group + "2/providers/Vitrine.Test/widgets", 1}, {"owner", all, 3}, {"owner", widgets + "/a/parts", 2},
		{"owner", "/subscriptions/" + subA + "/resourcegroups", 2}, {"owner", all + "/", 3}, {"owner", engines, 0},
		{"owner", "/subscriptions/" + subA + "/providers/Vitrine.Test/plans", 0},
		{"one", widgets, 1}, {"one", all, 1}, {"one", widgets + "/a/parts", 2}, {"one", "/subscriptions/" + subA + "/resourcegroups", 0},
		{"deep", widgets + "/a/parts", 1}, {"deep", all, 0},
	} {
		a := w.do(row.who, "GET", row.target, "").is(200, "")
		if a.count() != row.n || a.at("nextLink") != nil || a.at("value") == nil {
			t.Errorf("%s lists %d at %s, want %d: %v", row.who, a.count(), row.target, row.n, a.body)
		}
	}
	w.do("one", "GET", widgets+"/b/parts", "").is(403, "AuthorizationFailed")
}

// pages follows nextLink and counts the names.
func (w *world) pages(target string) (pages, names int) {
	w.t.Helper()
	seen := map[string]bool{}
	for target != "" && pages < 10 {
		a := w.do("owner", "GET", target, "").is(200, "")
		pages++
		list, _ := a.at("value").([]any)
		for _, item := range list {
			seen[item.(map[string]any)["id"].(string)] = true
		}
		target, _ = a.at("nextLink").(string)
	}
	return pages, len(seen)
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx store.Tx) error {
		for n := range 1001 {
			id, err := arm.ParseID(fmt.Sprintf("%s/w%d", widgets, n))
			if err != nil {
				return err
			}
			if err := control.Save(tx, &control.Resource[widget]{Name: id.Name(), ID: id.String(), Type: id.Type(), Location: "eastus"}); err != nil {
				return err
			}
		}
		return nil
	})
	if pages, names := w.pages(widgets + "?detail=a%20b"); pages != 3 || names != 1001 {
		t.Errorf("%d pages with %d names", pages, names)
	}
	if pages, names := w.pages("/subscriptions/" + subA + "/providers/Vitrine.Test/marks"); pages != 2 || names != 501 {
		t.Errorf("a list of its own: %d pages with %d names", pages, names)
	}
	if pages, names := w.pages(widgets + "?$top=150"); pages != 7 || names != 1001 {
		t.Errorf("$top=150: %d pages with %d names", pages, names)
	}
	if a := w.do("owner", "GET", widgets+"?$top=5000", "").is(200, ""); a.count() != 500 {
		t.Errorf("$top=5000: %d rows", a.count())
	}
	if a := w.do("owner", "GET", "/subscriptions/"+subA+"/providers/Vitrine.Test/marks?$top=1", "").is(200, ""); a.count() != 500 {
		t.Errorf("a list that knows no $top: %d rows", a.count())
	}
	for _, top := range []string{"0", "-1", "x", "1.5", "99999999999999999999"} {
		w.do("owner", "GET", widgets+"?$top="+top, "").is(400, "InvalidQueryParameterValue")
	}
	for _, name := range []string{"w0", "w1", "w999"} { // of these w0, w1, w10 … w999 the rest is nobody's business
		w.grant("few", readerRole, widgets+"/"+name)
	}
	if a := w.do("few", "GET", widgets, "").is(200, ""); a.count() != 3 || a.at("nextLink") != nil {
		t.Errorf("three of a thousand: %d rows, %v", a.count(), a.at("nextLink"))
	}
	a := w.do("few", "GET", widgets+"?$top=2", "").is(200, "")
	next, _ := a.at("nextLink").(string)
	if a.count() != 2 || !strings.Contains(next, "widgets%2Fw1&") {
		t.Errorf("%d rows, %q: the token is the last that was shown", a.count(), next)
	}
	if a := w.do("few", "GET", next, "").is(200, ""); a.count() != 1 || a.at("nextLink") != nil {
		t.Errorf("the rest: %d rows, %v", a.count(), a.at("nextLink"))
	}
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	foreign := "/subscriptions/" + subB + "/resourceGroups/g/providers/Vitrine.Test/widgets/w"
	body := fmt.Sprintf(`{"location":"eastus","properties":{"shape":"s","leansOn":%q}}`, foreign)
	w.do("owner", "PUT", widgets+"/w", body).is(403, "LinkedAuthorizationFailed").
		says("The client has permission to perform action 'Vitrine.Test/widgets/join/action' on scope '" + widgets + "/w', however the current tenant '" + tenantA + "' is not authorized to access linked subscription '" + subB + "'.")
	both := caller("owner")
	both.Auxiliary = append(both.Auxiliary, caller("stranger-b").Primary)
	w.as(both, "PUT", widgets+"/w", body).is(403, "LinkedAuthorizationFailed").says("on the linked scope(s) '" + foreign + "'")
	w.do("owner", "GET", widgets+"/w", "").is(404, "ResourceNotFound")
	both.Auxiliary[0] = caller("owner-b").Primary
	w.as(both, "PUT", widgets+"/w", body).is(201, "")
	w.do("owner", "PATCH", widgets+"/w", `{"tags":{}}`).is(403, "LinkedAuthorizationFailed") // links come from the merged model
}

func TestRemovingTakesTheGrantsAlong(t *testing.T) {
	w := newWorld(t)
	w.do("owner", "PUT", widgets+"/w", square).is(201, "")
	w.grant("guest", readerRole, widgets+"/w")
	w.grant("guest", readerRole, widgets+"/w2")
	w.do("guest", "GET", widgets+"/w", "").is(200, "")
	w.do("owner", "DELETE", widgets+"/w", "").is(200, "")
	w.do("owner", "PUT", widgets+"/w", square).is(201, "")
	w.do("guest", "GET", widgets+"/w", "").is(403, "AuthorizationFailed")
	w.do("guest", "GET", widgets+"/w2", "").is(404, "ResourceNotFound")
}

func TestTable(t *testing.T) {
	w := newWorld(t)
	if !w.control.Tracked("vitrine.test/widgets") || w.control.Tracked("vitrine.test/widgets/parts") || w.control.Tracked("x") {
		t.Error("tracked")
	}
	names := []string{}
	for _, typ := range w.control.Namespaces()["Vitrine.Test"] {
		names = append(names, typ.Name)
	}
	if strings.Join(names, " ") != "disks engines fixed marks plans widgets widgets/parts" {
		t.Error(names)
	}
	if w.control.Store() != w.store || w.control.RBAC() == nil {
		t.Error("accessors")
	}
	var missing error
	w.update(func(tx store.Tx) error { _, missing = control.Find[widget](tx, "nonsense"); return nil })
	if missing != store.ErrNotFound {
		t.Error(missing)
	}
	r := &control.Resource[widget]{}
	if r.SetState(arm.Failed); r.State() != arm.Succeeded {
		t.Error("a type without a state has one")
	}
	if r.ID = "/\x00"; r.ParsedID().String() != "/" {
		t.Error("a broken ID")
	}
}

// A route that names a right is for who holds it, in a transaction or alone, and the right is among those that are told.
func TestRouteRight(t *testing.T) {
	w := newWorld(t)
	const numbers = "/subscriptions/" + subA + "/providers/Vitrine.Test/numbers"
	w.grant("member", readerRole, "/subscriptions/"+subA+"/resourceGroups/g")
	w.grant("reader", readerRole, "/subscriptions/"+subA)
	for _, method := range []string{"GET", "POST"} {
		w.do("owner", method, numbers, "").is(200, "")
		w.do("reader", method, numbers, "").is(200, "")
		w.do("member", method, numbers, "").is(403, "AuthorizationFailed")
		w.do("nobody", method, numbers, "").is(403, "AuthorizationFailed")
		w.do("owner-b", method, numbers, "").is(401, "InvalidAuthenticationTokenTenant")
	}
	all := strings.Join(w.control.Rights(), " ")
	for _, right := range []string{"Vitrine.Test/numbers/read", "Vitrine.Test/widgets/poke/action", "Vitrine.Test/engines/delete"} {
		if strings.Count(" "+all+" ", " "+right+" ") != 1 {
			t.Errorf("%s is not once in %s", right, all)
		}
	}
	if strings.Contains(all, "Vitrine.Test/fixed/write") || strings.HasPrefix(all, " ") {
		t.Errorf("rights that nothing asks for: %q", all)
	}
}
