package arm

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	sub     = "11111111-0000-4000-8000-000000000001"
	inSub   = "/subscriptions/" + sub
	inGroup = inSub + "/resourceGroups/g"
	disk    = inGroup + "/providers/Microsoft.Compute/disks/d"
	version = inGroup + "/providers/Microsoft.Compute/galleries/G/images/i/versions/1.0.0"
	guid1   = "22222222-0000-4000-8000-000000000002"
)

func TestParsePath(t *testing.T) {
	for _, row := range []struct{ path, id, tail, typ, name, parent string }{
		{"", "/", "", "Microsoft.Resources/tenants", "", "/"},
		{"/", "/", "", "Microsoft.Resources/tenants", "", "/"},
		{"/subscriptions", "/", "subscriptions", "Microsoft.Resources/tenants", "", "/"},
		{inSub, inSub, "", "Microsoft.Resources/subscriptions", sub, "/"},
		{"//subscriptions///" + sub + "//", inSub, "", "Microsoft.Resources/subscriptions", sub, "/"},
		{inSub + "/locations", inSub, "locations", "Microsoft.Resources/subscriptions", sub, "/"},
		{inSub + "/resourcegroups", inSub, "resourcegroups", "Microsoft.Resources/subscriptions", sub, "/"},
		{"/Subscriptions/" + sub + "/resourcegroups/My.Group(1)", inSub + "/resourceGroups/My.Group(1)", "", "Microsoft.Resources/resourceGroups", "My.Group(1)", inSub},
		{inGroup + "/resources", inGroup, "resources", "Microsoft.Resources/resourceGroups", "g", inSub},
		{inGroup + "/providers/Microsoft.Compute", inGroup, "providers/Microsoft.Compute", "Microsoft.Resources/resourceGroups", "g", inSub},
		{inGroup + "/providers/Microsoft.Compute/disks", inGroup + "/providers/Microsoft.Compute", "disks", "Microsoft.Compute", "g", inGroup},
		{disk, disk, "", "Microsoft.Compute/disks", "d", inGroup},
		{strings.Replace(disk, "resourceGroups", "RESOURCEGROUPS", 1) + "/", disk, "", "Microsoft.Compute/disks", "d", inGroup},
		{disk + "/beginGetAccess", disk, "beginGetAccess", "Microsoft.Compute/disks", "d", inGroup},
		{version, version, "", "Microsoft.Compute/galleries/images/versions", "1.0.0", inGroup + "/providers/Microsoft.Compute/galleries/G/images/i"},
		{inGroup + "/providers/Microsoft.Compute/galleries/G/images", inGroup + "/providers/Microsoft.Compute/galleries/G", "images", "Microsoft.Compute/galleries", "G", inGroup},
		{inGroup + "/deployments/d", inGroup + "/providers/Microsoft.Resources/deployments/d", "", "Microsoft.Resources/deployments", "d", inGroup},
		{inSub + "/resourcegroups/g/Deployments/d/operations", inGroup + "/providers/Microsoft.Resources/Deployments/d", "operations", "Microsoft.Resources/Deployments", "d", inGroup},
		{inSub + "/providers/Microsoft.Authorization/roleAssignments/" + guid1, inSub + "/providers/Microsoft.Authorization/roleAssignments/" + guid1, "", "Microsoft.Authorization/roleAssignments", guid1, inSub},
		{"/providers/Microsoft.Authorization/roleDefinitions/" + guid1, "/providers/Microsoft.Authorization/roleDefinitions/" + guid1, "", "Microsoft.Authorization/roleDefinitions", guid1, "/"},
		{"/providers/Microsoft.Authorization/roleDefinitions", "/providers/Microsoft.Authorization", "roleDefinitions", "Microsoft.Authorization", "", "/"},
		{disk + "/providers/Microsoft.Authorization/roleAssignments/" + guid1, disk + "/providers/Microsoft.Authorization/roleAssignments/" + guid1, "", "Microsoft.Authorization/roleAssignments", guid1, disk},
		{disk + "/providers/Microsoft.Authorization/roleAssignments", disk + "/providers/Microsoft.Authorization", "roleAssignments", "Microsoft.Authorization", "g", disk},
		{inSub + "/providers/Microsoft.Compute/locations/eastus/operations/" + guid1, inSub + "/providers/Microsoft.Compute/locations/eastus/operations/" + guid1, "", "Microsoft.Compute/locations/operations", guid1, inSub + "/providers/Microsoft.Compute/locations/eastus"},
		{inSub + "/operationresults/" + guid1, inSub, "operationresults/" + guid1, "Microsoft.Resources/subscriptions", sub, "/"},
		{inSub + "/resourceGroups/gruppe-ÄÖ", inSub + "/resourceGroups/gruppe-ÄÖ", "", "Microsoft.Resources/resourceGroups", "gruppe-ÄÖ", inSub},
	} {
		t.Run(row.path, func(t *testing.T) {
			p, err := ParsePath(row.path)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{p.ID.String(), p.Tail, p.ID.Type(), p.ID.Parent().String()}
			if want := []string{row.id, row.tail, row.typ, row.parent}; !cmp.Equal(got, want) {
				t.Error(cmp.Diff(want, got))
			}
			if len(p.ID.Types) > 0 || p.ID.Namespace == "" {
				if p.ID.Name() != row.name {
					t.Errorf("name %q, want %q", p.ID.Name(), row.name)
				}
			}
		})
	}
}

func TestParsePathRefuses(t *testing.T) {
	long := strings.Repeat("a", 261)
	for name, row := range map[string]struct {
		path, code string
		status     int
	}{
		"dot":                       {inGroup + "/./x", "InvalidRequestUri", 400},
		"dots":                      {inGroup + "/providers/../x", "InvalidRequestUri", 400},
		"NUL":                       {inGroup + "/\x00", "InvalidRequestUri", 400},
		"line end":                  {inGroup + "/a\r\nSet-Cookie: x", "InvalidRequestUri", 400},
		"backslash":                 {inGroup + `/a\b`, "InvalidRequestUri", 400},
		"percent":                   {inGroup + "/a%2fb", "InvalidRequestUri", 400},
		"markup":                    {inGroup + "/<script>", "InvalidRequestUri", 400},
		"query":                     {inGroup + "/a?b", "InvalidRequestUri", 400},
		"fragment":                  {inGroup + "/a#b", "InvalidRequestUri", 400},
		"broken UTF-8":              {inGroup + "/a\xff", "InvalidRequestUri", 400},
		"long segment":              {inSub + "/resourceGroups/" + long, "InvalidRequestUri", 400},
		"long path":                 {strings.Repeat("/abcdefghi", 200), "InvalidRequestUri", 414},
		"long only in lower case":   {strings.Repeat("/Ⱥ", 400) + strings.Repeat("/a", 50), "InvalidRequestUri", 414},
		"slashes without an end":    {strings.Repeat("/", 5000), "InvalidRequestUri", 414},
		"megabyte":                  {strings.Repeat("x", 1<<20), "InvalidRequestUri", 414},
		"delete":                    {inGroup + "/a\x7f", "InvalidRequestUri", 400},
		"ampersand":                 {inGroup + "/a&b", "InvalidRequestUri", 400},
		"tab within a subscription": {"/subscriptions/\t", "InvalidRequestUri", 400},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePath(row.path)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code != row.code || e.Status != row.status {
				t.Fatalf("got %v, %v; want %s with %d", p, err, row.code, row.status)
			}
			if strings.ContainsAny(e.Message, "\x00\r\n\t\x7f") {
				t.Errorf("the message repeats control characters: %q", e.Message)
			}
		})
	}
}

func TestParseID(t *testing.T) {
	for _, good := range []string{"/", inSub, inGroup, disk, version, disk + "/providers/Microsoft.Authorization/locks/l"} {
		if id, err := ParseID(good); err != nil || id.String() != good {
			t.Errorf("%s: %v, %v", good, id, err)
		}
	}
	for _, bad := range []string{"", "d", disk[1:], disk + "/extra", inGroup + "/providers/Microsoft.Compute", inGroup + "/providers/Microsoft.Compute/disks"} {
		_, err := ParseID(bad)
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != "LinkedInvalidPropertyId" || e.Status != 400 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ParseID("/a\x00"); err == nil {
		t.Error("a NUL passed")
	}
}

func TestScopes(t *testing.T) {
	low := strings.ToLower
	for path, want := range map[string][]string{
		"/":     {"/"},
		inSub:   {"/", low(inSub)},
		inGroup: {"/", low(inSub), low(inGroup)},
		version: {"/", low(inSub), low(inGroup), low(inGroup + "/providers/Microsoft.Compute/galleries/G"),
			low(inGroup + "/providers/Microsoft.Compute/galleries/G/images/i"), low(version)},
		disk + "/providers/A.B/c/e/f/h": {"/", low(inSub), low(inGroup), low(disk), low(disk + "/providers/A.B/c/e"), low(disk + "/providers/A.B/c/e/f/h")},
		"/providers/A.B/c/d":            {"/", "/providers/a.b/c/d"},
	} {
		id, err := ParseID(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := id.Scopes(); !cmp.Equal(got, want) {
			t.Errorf("%s: %s", path, cmp.Diff(want, got))
		}
	}
}

func TestChildAndGroup(t *testing.T) {
	group := ID{Subscription: sub, ResourceGroup: "g"}
	gallery := group.Child("Microsoft.Compute/galleries", "G")
	image := gallery.Child("images", "i")
	one, two := image.Child("versions", "1.0.0"), image.Child("versions", "2.0.0")
	if one.String() != version || !strings.HasSuffix(two.String(), "/2.0.0") {
		t.Errorf("children share their slices: %s, %s", one, two)
	}
	if one.Group().String() != inGroup || one.Parent().String() != image.String() {
		t.Errorf("group %s, parent %s", one.Group(), one.Parent())
	}
	if broken := (ID{Scope: "/\x00", Namespace: "A.B", Types: []string{"c"}, Names: []string{"d"}}).Parent(); broken.String() != "/" {
		t.Errorf("the parent of a broken scope is %s", broken)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/", inSub, inGroup, disk, version, inGroup + "/deployments/d", "/providers/providers/providers/providers",
		disk + "/providers/A/b/c/providers/D/e/f", "//a//b", "/subscriptions/x/resourceGroups/ſ", "/subscriptions/x/resourceGroups/İ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		text := p.ID.String()
		again, err := ParsePath(text)
		if err != nil {
			if len(text) > maxPath { // the long form of a short one
				return
			}
			t.Fatalf("%q gave %q, which is refused: %v", s, text, err)
		}
		if len(p.ID.Types) > 0 && !cmp.Equal(again.ID, p.ID) {
			t.Fatalf("%q gave %#v, and its text %#v", s, p.ID, again.ID)
		}
		key := p.ID.Key()
		if strings.ToLower(key) != key {
			t.Fatalf("key %q is not in lower case", key)
		}
		if scopes := p.ID.Scopes(); scopes[0] != "/" || scopes[len(scopes)-1] != key {
			t.Fatalf("scopes %q of %q", scopes, key)
		}
	})
}

func TestVersionOf(t *testing.T) {
	for query, want := range map[string]string{
		"api-version=2022-03-03":                        "2022-03-03",
		"API-Version=2022-03-03-Preview":                "2022-03-03-preview",
		"api-version=%202022-03-03%20":                  "2022-03-03",
		"api-version=2022-03-03&api-version=2019-01-01": "2022-03-03",
		"API-VERSION=2019-01-01&api-version=2022-03-03": "2022-03-03",
		"api-version=2024-02-29":                        "2024-02-29",
		"":                                              "MissingApiVersionParameter",
		"x=1":                                           "MissingApiVersionParameter",
		"api-version=":                                  "MissingApiVersionParameter",
		"api-version=2023-02-29":                        "InvalidApiVersionParameter",
		"api-version=2022-13-01":                        "InvalidApiVersionParameter",
		"api-version=latest":                            "InvalidApiVersionParameter",
		"api-version=2022-03-03-":                       "InvalidApiVersionParameter",
		"api-version=2022-03-03%00":                     "InvalidApiVersionParameter",
		"api-version=12022-03-03":                       "InvalidApiVersionParameter",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 { // a map's order must not matter
			v, err := VersionOf(q)
			if e, ok := errors.AsType[*Error](err); ok {
				v = Version(e.Code)
				if e.Status != 400 || strings.Contains(e.Message, "\x00") {
					t.Errorf("%s: %d %q", query, e.Status, e.Message)
				}
			} else if v.Date() != want[:10] {
				t.Errorf("%s: date %s", query, v.Date())
			}
			if string(v) != want {
				t.Errorf("%s: %s, want %s", query, v, want)
			}
		}
	}
}

func TestLocations(t *testing.T) {
	for name, want := range map[string]string{"eastus": "eastus", "East US 2": "eastus2", "WESTEUROPE": "westeurope", " north europe ": "northeurope", "mars": "", "": "", "east-us": ""} {
		l, ok := LocationOf(name)
		if l.Name != want || ok != (want != "") {
			t.Errorf("%q: %v, %v", name, l, ok)
		}
	}
	zones := map[string]bool{}
	for _, l := range Locations() {
		if found, ok := LocationOf(l.DisplayName); !ok || found != l || l.Group == "" || zones[l.Zone] {
			t.Errorf("%v is not found by its display name, or shares its zone", l)
		}
		zones[l.Zone] = true
	}
	for _, must := range []string{"eastus", "eastus2", "westus", "westus2", "northeurope", "westeurope"} {
		if _, ok := LocationOf(must); !ok {
			t.Errorf("%s is missing", must)
		}
	}
	Locations()[0].Name = "changed"
	if Locations()[0].Name != "eastus" {
		t.Error("a caller can change the table")
	}
}

func TestProvisioning(t *testing.T) {
	var p Provisioning
	p.SetState(Creating)
	if p.State() != Creating {
		t.Error(p.State())
	}
}

func TestErrorRender(t *testing.T) {
	cause := errors.New("disk full on /srv")
	e := Errorf(409, "Conflict", "The %s is busy.", "disk").At("properties.a").Because(cause)
	e.Details = []*Error{Errorf(0, "Inner", "a<b")}
	e.AdditionalInfo = []Info{{Type: "T", Info: map[string]int{"n": 1}}}
	status, contentType, body := e.Render()
	want := `{"error":{"code":"Conflict","message":"The disk is busy.","target":"properties.a","details":[{"code":"Inner","message":"a\u003cb"}],"additionalInfo":[{"type":"T","info":{"n":1}}]}}`
	if status != 409 || contentType != "application/json; charset=utf-8" || string(body) != want {
		t.Errorf("%d %s\n%s\nwant\n%s", status, contentType, body, want)
	}
	if strings.Contains(string(body), "/srv") {
		t.Error("the private cause is shown")
	}
	if !errors.Is(e, cause) || !strings.Contains(e.Error(), "/srv") {
		t.Error("the log loses the cause")
	}
	if status, _, _ := Errorf(0, "X", "y").Render(); status != 400 {
		t.Errorf("no status gives %d", status)
	}
	e.AdditionalInfo = []Info{{Info: make(chan int)}}
	if status, _, body := e.Render(); status != 500 || !json.Valid(body) {
		t.Errorf("%d %s", status, body)
	}
	internal := Internal("req-1", cause)
	if _, _, body := internal.Render(); internal.Status != 500 || !strings.Contains(string(body), "req-1") || strings.Contains(string(body), "/srv") {
		t.Errorf("%s", body)
	}
	e.Header = map[string]string{"A": "b"}
	if e.Headers()["A"] != "b" {
		t.Error("header lost")
	}
}

func TestErrorRoundTrip(t *testing.T) {
	e := &Error{Code: "A", Message: "b", Target: "c", Details: []*Error{{Code: "D", Message: "e", Details: []*Error{{Code: "F"}}}}}
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Error
	if err := json.Unmarshal(raw, &back); err != nil || !cmp.Equal(&back, e) {
		t.Error(err, cmp.Diff(e, &back))
	}
	if err := json.Unmarshal([]byte(`{"code":"A","details":[null,{"code":"B"}]}`), &back); err != nil || len(back.Details) != 1 {
		t.Errorf("%v %v", err, back.Details)
	}
	if err := json.Unmarshal([]byte(`[]`), &back); err == nil {
		t.Error("a list is no error")
	}
}

func TestJoin(t *testing.T) {
	a, b := Errorf(409, "First", "one").At("x"), Errorf(400, "Second", "two").At("y")
	if Join(nil) != nil || Join([]*Error{a}) != error(a) {
		t.Error("none or one is changed")
	}
	e, ok := errors.AsType[*Error](Join([]*Error{a, b}))
	if !ok || e.Status != 409 || e.Code != "First" || e.Target != "x" || e.Message != "one\ntwo" || len(e.Details) != 2 {
		t.Errorf("%#v", e)
	}
	if _, _, body := e.Render(); !strings.Contains(string(body), "Second") {
		t.Errorf("%s", body)
	}
}
