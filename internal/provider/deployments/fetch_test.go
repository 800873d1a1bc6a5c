package deployments_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

// files is a Fetcher over a map; it remembers what it was asked.
type files struct {
	texts map[string]string
	asked []string
}

func (f *files) Get(_ context.Context, address string) ([]byte, error) {
	f.asked = append(f.asked, address)
	if strings.Contains(address, "169.254") {
		return nil, fmt.Errorf("%w: %s", web.ErrFetchRefused, address)
	}
	text, ok := f.texts[address]
	if !ok {
		return nil, errors.New("dial tcp 10.0.0.1:443: connection refused")
	}
	return []byte(text), nil
}

func TestLinkedTemplates(t *testing.T) {
	w := newWorld(t)
	leaf := document(`"parameters":{"n":{"type":"string"}},` + list(resource("Test.Fake/sync", "[parameters('n')]", `"tags":{"from":"[deployment().properties.templateLink.uri]"}`)))
	w.files.texts = map[string]string{
		"https://files/a/main.json":         "{ // a comment\n" + document(`"parameters":{"n":{"type":"string"}},` + list(`{"type":"Microsoft.Resources/deployments","name":"inner","apiVersion":"2021-04-01","properties":{"mode":"Incremental","templateLink":{"relativePath":"parts/leaf.json"},"parameters":{"n":{"value":"[concat(parameters('n'), '-leaf')]"}}}}`))[1:],
		"https://files/a/parts/leaf.json":   leaf,
		"https://files/a/p.json":            `{"$schema":"x","contentVersion":"1.0.0.0","parameters":{"n":{"value":"linked"}}}`,
		"https://files/loop.json":           document(list(`{"type":"Microsoft.Resources/deployments","name":"[concat('l', uniqueString(deployment().name))]","apiVersion":"2021-04-01","properties":{"mode":"Incremental","templateLink":{"uri":"https://files/loop.json"}}}`)),
		"https://files/text":                "no JSON",
		"https://files/sas.json?sig=s3cret": leaf,
	}
	main := `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://files/a/main.json","contentVersion":"1.0.0.0"},"parametersLink":{"uri":"https://files/a/p.json"}}}`
	if v := w.Decode(w.OK(inA, "POST", deployed+"d/validate", main).Body); at(v, "properties.validatedResources.0.id") != things+"sync/linked-leaf" {
		t.Errorf("validate: %v", v)
	}
	if status := w.Follow(inA, w.OK(inA, "PUT", deployed+"d", main)); status["status"] != "Succeeded" {
		t.Fatalf("%v", status)
	}
	d := w.Get(inA, deployed+"d")
	if at(d, "properties.templateLink.uri") != "https://files/a/main.json" || at(d, "properties.parameters.n.value") != "linked" || strings.Contains(fmt.Sprint(d), "vitrineFetched") {
		t.Errorf("%v", d)
	}
	if x := w.Get(inA, things+"sync/linked-leaf?api-version=2020-01-01"); at(x, "tags.from") != "https://files/a/parts/leaf.json" {
		t.Errorf("%v", x)
	}
	sas := `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://files/sas.json","queryString":"sig=s3cret"},"parameters":{"n":{"value":"s"}}}}`
	w.Follow(inA, w.OK(inA, "PUT", deployed+"sas", sas))
	if text := fmt.Sprint(w.Get(inA, deployed+"sas")); strings.Contains(text, "s3cret") || !strings.Contains(text, "https://files/sas.json") {
		t.Errorf("%s", text)
	}
	for link, want := range map[string]string{
		`"uri":"https://files/none.json"`:                              "Unable to download deployment content from 'https://files/none.json'.",
		`"uri":"https://169.254.169.254/x"`:                            "templates may not be fetched from there",
		`"uri":"https://files/a/main.json","contentVersion":"2.0.0.0"`: "does not match the version '2.0.0.0'",
		`"uri":"https://files/text"`:                                   "is no valid JSON",
		`"uri":"x"`:                                                    "is not a valid one",
		`"uri":"https://user:pw@files/x"`:                              "is not a valid one",
		`"uri":"https://files/a/main.json","relativePath":"b"`:         "either a 'uri' or a 'relativePath'",
	} {
		e := w.Refused(inA, "PUT", deployed+"x", `{"properties":{"mode":"Incremental","templateLink":{`+link+`}}}`, "400 InvalidContentLink", want)
		if strings.Contains(e.Message, "10.0.0.1") {
			t.Errorf("%s tells how it failed: %s", link, e.Message)
		}
	}
	// A template that links to itself ends; who may not deploy makes nobody fetch.
	if status := w.Follow(inA, w.OK(inA, "PUT", deployed+"loop", `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://files/loop.json"}}}`)); !strings.Contains(fmt.Sprint(status), "nested deeper than 8 levels") {
		t.Errorf("%v", status)
	}
	w.Refused(inA, "POST", deployed+"loop2/validate", `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://files/loop.json"}}}`, "400 InvalidTemplateDeployment", "")
	before := len(w.files.asked)
	w.Refused(inGuest, "PUT", deployed+"g", main, "403 AuthorizationFailed", "deployments/write")
	w.Refused(inGuest, "POST", deployed+"g/validate", main, "403 AuthorizationFailed", "validate/action")
	w.Refused(inGuest, "POST", deployed+"g/whatIf", main, "403 AuthorizationFailed", "whatIf/action")
	w.Refused(inB, "PUT", deployed+"g", main, "401 InvalidAuthenticationTokenTenant", "")
	if len(w.files.asked) != before {
		t.Errorf("fetched for a stranger: %v", w.files.asked[before:])
	}
}

// The oldest deployments make room for new ones, those under way excepted.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	empty := request(document(list()), "{}")
	w.Hold("held", true)
	w.OK(inA, "PUT", deployed+"first", request(document(list(resource("Test.Fake/slow", "held", ""))), "{}"))
	w.fill(774, "old")
	w.OK(inA, "PUT", deployed+"next", empty)
	if n := w.Left("/deployments/"); n != 751 {
		t.Errorf("%d deployments are left", n)
	}
	w.Get(inA, deployed+"first")
	w.Refused(inA, "GET", deployed+"old000", "", "404 DeploymentNotFound", "old000")
	w.Hold("held", false)
	// A lock keeps the history: then the limit is met.
	w.fill(800, "more")
	w.Update(func(tx store.Tx) error {
		key := strings.ToLower(group) + "/providers/microsoft.authorization/locks/l"
		_, err := tx.Put(store.Document{Key: key, Kind: rbac.LockKind, Terms: []string{rbac.LockTerm(strings.ToLower(group))}, Body: []byte(`{"id":"` + group + `/providers/Microsoft.Authorization/locks/l","properties":{"level":"CanNotDelete"}}`)})
		return err
	})
	w.Refused(inA, "PUT", deployed+"beyond", empty, "409 DeploymentQuotaExceeded", "'800'")
}
