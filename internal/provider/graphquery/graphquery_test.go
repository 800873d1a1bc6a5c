package graphquery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/graphquery"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant = "aaaaaaaa-0000-4000-8000-000000000001"
	other  = "bbbbbbbb-0000-4000-8000-000000000002"
	sub    = "aaaaaaaa-0000-4000-8000-00000000000a"
	sub2   = "aaaaaaaa-0000-4000-8000-0000000000a2"
	subB   = "bbbbbbbb-0000-4000-8000-00000000000b"
	reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
)

type thing struct {
	Size   int    `json:"size"`
	Secret string `json:"password" arm:"secret"`
	Own    string `json:"own" arm:"private"`
}

type hidden struct{}

type world struct {
	*testing.T
	control *control.Control
}

func caller(name string) authn.Caller {
	return authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: name, AppID: "app", Kind: authn.ServicePrincipal}}
}

// newWorld has three subscriptions, of which one is another tenant's, with a group and four things each. "all" reads both of its
// tenant's, "one" one thing.
func newWorld(t *testing.T) *world {
	t.Helper()
	s := store.New(memstore.Open())
	c := control.New(control.Config{Store: s, RBAC: rbac.New(control.TenantOf), Now: time.Now, Kick: func() {}, Log: slog.New(slog.DiscardHandler)})
	control.Register(c, control.Spec[thing]{Type: "Vendor.Test/things", Tracked: true})
	control.Register(c, control.Spec[hidden]{Type: "Vendor.Test/secrets"})
	control.Register(c, control.Spec[hidden]{Type: "Microsoft.Resources/resourceGroups", Tracked: true})
	graphquery.Register(c, graphquery.Config{Community: func(store.Tx) ([]json.RawMessage, error) {
		return []json.RawMessage{json.RawMessage(`{"id":"/x","name":"pub","type":"microsoft.compute/locations/communitygalleries","location":"eastus","properties":{"identifier":{"uniqueId":"/CommunityGalleries/pub"}}}`)}, nil
	}})
	err := s.Update(context.Background(), func(tx store.Tx) error {
		for of, owner := range map[string]string{sub: tenant, sub2: tenant, subB: other} {
			if err := control.WriteSubscription(tx, control.Subscription{ID: of, Name: "sub " + of[34:], State: "Enabled", Tenant: owner}); err != nil {
				return err
			}
			group := arm.ID{Subscription: of, ResourceGroup: "RG"}
			if err := control.Save(tx, control.Make[hidden](group, "eastus", time.Now())); err != nil {
				return err
			}
			for n := range 4 {
				r := control.Make[thing](group.Child("Vendor.Test/things", fmt.Sprintf("T%d", n)), "eastus", time.Now())
				r.Properties = thing{n, "hush", "mine"}
				if err := control.Save(tx, r); err != nil {
					return err
				}
			}
			if err := control.Save(tx, control.Make[hidden](group.Child("Vendor.Test/secrets", "s"), "", time.Now())); err != nil {
				return err
			}
		}
		for who, scopes := range map[string][]string{"all": {"/subscriptions/" + sub, "/subscriptions/" + sub2}, "one": {"/subscriptions/" + sub + "/resourcegroups/rg/providers/vendor.test/things/t2"}} {
			for _, scope := range scopes {
				a := rbac.Assignment{Principal: who, Scope: scope, Definition: reader}
				body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, reader, who, scope)
				if _, err := tx.Put(store.Document{Key: scope + "/a/" + who, Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: []byte(body)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, c}
}

type answer struct {
	TotalRecords, Count int
	Data                json.RawMessage
	Facets              []any
	ResultTruncated     string
	Token               string `json:"$skipToken"`
}

func (w *world) ask(who, body, version string) (answer, error) {
	w.Helper()
	r, err := w.control.Do(context.Background(), control.Request{Method: "POST", Path: "/providers/Microsoft.ResourceGraph/resources", Query: url.Values{"api-version": {version}},
		Body: []byte(body), Caller: caller(who), Base: "https://management.azure.com"})
	var a answer
	if err == nil && r.Status == 200 {
		err = json.Unmarshal(r.Body, &a)
	}
	return a, err
}

func (w *world) query(who, query string) string {
	w.Helper()
	body, _ := json.Marshal(map[string]any{"query": query})
	a, err := w.ask(who, string(body), "2021-03-01")
	if err != nil {
		w.Fatalf("%s: %v", query, err)
	}
	return string(a.Data)
}

func TestRows(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ who, query, want string }{
		{"all", "Resources | count", `[{"Count":8}]`},
		{"one", "Resources | project name", `[{"name":"T2"}]`}, // of its own right only
		{"stranger", "Resources | count", `[{"Count":0}]`},
		{"all", "Resources | where subscriptionId == '" + subB + "' | count", `[{"Count":0}]`},
		{"all", "ResourceContainers | summarize count() by type | order by type asc", `[{"count_":2,"type":"microsoft.resources/subscriptions"},{"count_":2,"type":"microsoft.resources/subscriptions/resourcegroups"}]`},
		{"one", "resourcecontainers | count", `[{"Count":0}]`},
		{"stranger", "communitygalleryresources| where type == 'microsoft.compute/locations/communitygalleries' | where location == 'eastus' | project name", `[{"name":"pub"}]`},
		{"all", "Resources | where properties.size >= 2 and subscriptionId =~ '" + strings.ToUpper(sub) + "' | project type, resourceGroup, size = properties.size | order by size desc | limit 1", `[{"resourceGroup":"rg","size":3,"type":"vendor.test/things"}]`},
		{"all", "Resources | where tostring(properties) contains 'hush' or tostring(properties) contains 'mine' | count", `[{"Count":0}]`}, // neither secrets nor the server's own
	} {
		if got := w.query(c.who, c.query); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.who, c.query, got, c.want)
		}
	}
	row := w.query("one", "Resources")
	for _, part := range []string{`"id":"/subscriptions/` + sub + `/resourceGroups/RG/providers/Vendor.Test/things/T2"`, `"tenantId":"` + tenant + `"`, `"kind":""`, `"sku":null`, `"zones":null`, `"properties":{"size":2}`} {
		if !strings.Contains(row, part) {
			t.Errorf("no %s in %s", part, row)
		}
	}
}

// Pages follow one another by $skipToken and lose nothing; a token is good for its own query only.
func TestPages(t *testing.T) {
	w := newWorld(t)
	var names []string
	token := ""
	for range 4 {
		a, err := w.ask("all", fmt.Sprintf(`{"query":"Resources | project id","options":{"$top":3,"$skipToken":%q}}`, token), "2021-03-01")
		if err != nil {
			t.Fatal(err)
		}
		var rows []struct{ ID string }
		if err := json.Unmarshal(a.Data, &rows); err != nil || a.TotalRecords != 8 || a.Count != len(rows) || a.ResultTruncated != "false" {
			t.Fatal(a, err)
		}
		for _, r := range rows {
			names = append(names, r.ID)
		}
		if token = a.Token; token == "" {
			break
		}
	}
	seen := map[string]bool{}
	for _, n := range names {
		seen[n] = true
	}
	if len(names) != 8 || len(seen) != 8 {
		t.Error(names)
	}
	first, err := w.ask("all", `{"query":"Resources | project id","options":{"$top":3}}`, "2021-03-01")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask("all", fmt.Sprintf(`{"query":"Resources | project name","options":{"$skipToken":%q}}`, first.Token), "2021-03-01"); err == nil {
		t.Error("the token of another query is taken")
	}
	if a, err := w.ask("all", `{"subscriptions":["`+strings.ToUpper(sub2)+`","`+subB+`"],"query":"Resources","options":{"$skip":3}}`, "2021-03-01"); err != nil || a.TotalRecords != 4 || a.Count != 1 {
		t.Error(a, err)
	}
	for _, c := range []struct{ version, options string }{{"2021-03-01", `,"options":{"resultFormat":"TABLE"}`}, {"2019-04-01", ""}} {
		a, err := w.ask("one", `{"query":"Resources | project name, n = properties.size"`+c.options+`}`, c.version)
		if err != nil || string(a.Data) != `{"columns":[{"name":"name","type":"string"},{"name":"n","type":"integer"}],"rows":[["T2",2]]}` {
			t.Errorf("%s %v", a.Data, err)
		}
	}
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ body, code, part string }{
		{``, "InvalidRequestContent", ""},
		{`[]`, "InvalidParameter", ""},
		{`{}`, "InvalidParameter", "'query' is missing"},
		{`{"query":5}`, "InvalidParameter", "a string"},
		{`{"query":"Resources | join x"}`, "BadRequest", "'join' is not supported"},
		{`{"query":"Resources | where nothing == 1"}`, "BadRequest", "near 'nothing'. Line: 1, character: 19"},
		{`{"query":"AdvisorResources | count"}`, "BadRequest", "The table 'AdvisorResources'"},
		{`{"query":"Resources","options":{"$top":0}}`, "BadRequest", "between 1 and 1000"},
		{`{"query":"Resources","options":{"$top":1001}}`, "BadRequest", "between 1 and 1000"},
		{`{"query":"Resources","options":{"$skip":-1}}`, "BadRequest", "$skip"},
		{`{"query":"Resources","options":{"$skipToken":"x"}}`, "BadRequest", "$skipToken"},
		{`{"query":"Resources","options":{"resultFormat":"xml"}}`, "InvalidParameter", "objectArray"},
		{`{"query":"Resources","subscriptions":["me"]}`, "InvalidSubscriptionId", "malformed"},
		{`{"query":"Resources","managementGroups":["g"]}`, "NotSupported", "management groups"},
		{`{"query":"Resources","facets":[{"expression":"x"}]}`, "NotSupported", "Facets"},
	} {
		_, err := w.ask("all", c.body, "2021-03-01")
		e, ok := errors.AsType[*arm.Error](err)
		if !ok || e.Status != 400 || e.Code != c.code || !strings.Contains(e.Message, c.part) {
			t.Errorf("%s: %v", c.body, err)
		}
	}
	_, err := w.ask("all", `{"query":"Resources |"}`, "2021-03-01")
	if e, ok := errors.AsType[*arm.Error](err); !ok || len(e.Details) != 2 || e.Details[0].Code != "InvalidQuery" || e.Details[1].Code != "ParserFailure" {
		t.Error(err)
	}
}
