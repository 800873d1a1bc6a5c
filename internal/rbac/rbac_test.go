package rbac

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	subA, subB, subC = "aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b", "cccccccc-0000-4000-8000-00000000000c"
	tenantA, tenantB = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	alice            = "a11ce000-0000-4000-8000-000000000001"
	app              = "a9900000-0000-4000-8000-000000000001"
	owner            = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	contributor      = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	reader           = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	administrator    = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
	publishing       = "85a2d0d9-2eba-4c9c-b355-11c2cc0788ab"
	imageReader      = "cf7c76d2-98a3-4358-a134-615aa78bf44d"
)

func TestMatch(t *testing.T) {
	for _, row := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "Microsoft.Compute/disks/read", true},
		{"*", "", true},
		{"*/read", "Microsoft.Compute/galleries/images/versions/READ", true},
		{"*/read", "Microsoft.Compute/disks/readAll", false},
		{"*/read", "read", false},
		{"Microsoft.Compute/galleries/*", "microsoft.compute/galleries/images/write", true},
		{"Microsoft.Compute/galleries/*", "Microsoft.Compute/galleries", false},
		{"Microsoft.Authorization/*/Write", "Microsoft.Authorization/roleAssignments/write", true},
		{"Microsoft.Authorization/*/Write", "Microsoft.Authorization/write", false},
		{"Microsoft.Compute/disks/write", "Microsoft.Compute/disks/write", true},
		{"Microsoft.Compute/disks/write", "Microsoft.Compute/disks/writes", false},
		{"Microsoft.Compute/disks/write", "xMicrosoft.Compute/disks/write", false},
		{"MicrosoftXCompute/*", "Microsoft.Compute/disks/write", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*a", "abba", true},
		{"a*b*a", "aba", true},
		{"a*b*a", "aa", false},
		{"a**a", "aa", true},
		{"", "", true},
		{"", "a", false},
	} {
		if got := Match(row.pattern, row.action); got != row.want {
			t.Errorf("Match(%q, %q) = %v", row.pattern, row.action, got)
		}
	}
}

// naive is the definition of a pattern, by recursion over its characters.
func naive(pattern, action string) bool {
	if pattern == "" {
		return action == ""
	}
	if pattern[0] == '*' {
		return naive(pattern[1:], action) || action != "" && naive(pattern, action[1:])
	}
	return action != "" && pattern[0] == action[0] && naive(pattern[1:], action[1:])
}

func TestMatchIsTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab/*]{0,8}`).Draw(t, "pattern")
		action := rapid.StringMatching(`[ab/]{0,10}`).Draw(t, "action")
		if got, want := Match(strings.ToUpper(pattern), action), naive(pattern, action); got != want {
			t.Fatalf("Match(%q, %q) = %v, the model says %v", pattern, action, got, want)
		}
	})
}

func TestScopesAbove(t *testing.T) {
	for _, row := range []struct {
		outer, inner string
		want         bool
	}{
		{"/", "/", true},
		{"/", "/subscriptions/a", true},
		{"/subscriptions/a", "/", false},
		{"/subscriptions/a", "/subscriptions/a", true},
		{"/subscriptions/a", "/subscriptions/ab", false},
		{"/subscriptions/a/resourcegroups/rg", "/subscriptions/a/resourcegroups/rg2", false},
		{"/subscriptions/a/resourcegroups/rg", "/subscriptions/a/resourcegroups/rg/providers/x/y/z", true},
		{"/subscriptions/a/resourcegroups/rg2", "/subscriptions/a/resourcegroups/rg", false},
		{"", "/subscriptions/a", false},
		{"", "/", false},
		{"/providers/Microsoft.Management/managementGroups/m", "/", false},
	} {
		g := &Grants{principal: principal(tenantA, alice), owns: func(string) bool { return true },
			list: []held{{Assignment{Principal: alice, Scope: ScopeKey(row.outer, tenantA)}, compile(Role{Permissions: allow("*")})}}}
		if got := g.Allows("a/read", id(row.inner)); got != row.want {
			t.Errorf("a grant at %q, asked at %q: %v", row.outer, row.inner, got)
		}
	}
}

type world struct {
	t      *testing.T
	store  *store.Store
	engine *Engine
	n      int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: store.New(memstore.Open())}
	t.Cleanup(func() { _ = w.store.Close() })
	w.engine = New(func(_ store.Tx, sub string) (string, error) {
		switch sub {
		case subA:
			return tenantA, nil
		case subB:
			return tenantB, nil
		case subC:
			return "", errBroken
		}
		return "", store.ErrNotFound
	})
	return w
}

var errBroken = errors.New("broken")

// grant writes an assignment the way provider/authorization does.
func (w *world) grant(role, principal, scope string) {
	w.t.Helper()
	w.n++
	a := Assignment{Principal: principal, Scope: strings.ToLower(scope)}
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, strings.ToUpper(role), principal, scope)
	w.put(store.Document{Key: fmt.Sprintf("%s/a/%d", a.Scope, w.n), Kind: AssignmentKind, Terms: a.Terms(), Body: []byte(body)})
}

func (w *world) put(d store.Document) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), func(tx store.Tx) error { _, err := tx.Put(d); return err }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) check(p authn.Principal, action, scope string) error {
	w.t.Helper()
	return w.store.View(w.t.Context(), func(tx store.Tx) error { return w.engine.Check(tx, p, action, id(scope)) })
}

func (w *world) linked(c authn.Caller, written, action string, links ...Link) error {
	w.t.Helper()
	return w.store.View(w.t.Context(), func(tx store.Tx) error { return w.engine.Linked(tx, c, id(written), action, links) })
}

func id(s string) arm.ID {
	p, err := arm.ParsePath(s)
	if err != nil {
		panic(err)
	}
	return p.ID
}

func principal(tenant, object string) authn.Principal {
	return authn.Principal{TenantID: tenant, ObjectID: object, AppID: app, Kind: authn.ServicePrincipal}
}

const (
	group   = "/subscriptions/" + subA + "/resourceGroups/rg"
	gallery = group + "/providers/Microsoft.Compute/galleries/g"
	image   = gallery + "/images/i"
	vm      = "/subscriptions/" + subB + "/resourceGroups/myResourceGroup/providers/Microsoft.Compute/virtualMachines/myVM"
)

func TestCheck(t *testing.T) {
	for name, row := range map[string]struct {
		role, at, action, scope string
		want                    bool
	}{
		"owner does anything":                {owner, group, "Microsoft.Compute/galleries/share/action", gallery, true},
		"owner may assign":                   {owner, group, "Microsoft.Authorization/roleAssignments/write", gallery, true},
		"case of the scope":                  {owner, strings.ToUpper(group), "Microsoft.Compute/disks/write", gallery, true},
		"not above":                          {owner, gallery, "Microsoft.Compute/galleries/write", group, false},
		"not beside":                         {owner, group, "Microsoft.Compute/galleries/write", group + "2", false},
		"contributor writes":                 {contributor, group, "Microsoft.Compute/galleries/images/versions/write", image, true},
		"contributor does not share":         {contributor, group, "Microsoft.Compute/galleries/share/action", gallery, false},
		"contributor does not assign":        {contributor, group, "Microsoft.Authorization/roleAssignments/write", gallery, false},
		"contributor does not take away":     {contributor, group, "microsoft.authorization/roleassignments/DELETE", gallery, false},
		"contributor reads assignments":      {contributor, group, "Microsoft.Authorization/roleAssignments/read", gallery, true},
		"reader reads":                       {reader, group, "Microsoft.Compute/galleries/images/versions/read", image, true},
		"reader does not write":              {reader, group, "Microsoft.Compute/galleries/write", gallery, false},
		"reader does not act":                {reader, group, "Microsoft.Compute/disks/beginGetAccess/action", gallery, false},
		"administrator assigns":              {administrator, group, "Microsoft.Authorization/roleAssignments/write", gallery, true},
		"administrator does not write":       {administrator, group, "Microsoft.Compute/galleries/write", gallery, false},
		"publisher does not share":           {publishing, group, "Microsoft.Compute/galleries/share/action", gallery, false},
		"publisher publishes":                {publishing, group, "Microsoft.Compute/galleries/images/versions/write", image, true},
		"image reader reads images":          {imageReader, gallery, "Microsoft.Compute/galleries/images/read", image, true},
		"image reader does not read gallery": {imageReader, gallery, "Microsoft.Compute/galleries/read", gallery, false},
		"unknown role":                       {"00000000-0000-4000-8000-000000000000", group, "Microsoft.Compute/galleries/read", gallery, false},
		"data actions are not actions":       {"959f8984-c045-4866-89c7-12bf9737be2e", group, "Microsoft.Compute/disks/download/action", group, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.grant(row.role, strings.ToUpper(alice), row.at)
			err := w.check(principal(tenantA, alice), row.action, row.scope)
			if (err == nil) != row.want {
				t.Fatal(err)
			}
			if err == nil {
				return
			}
			want := fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.", app, alice, row.action, row.scope)
			if e, ok := errors.AsType[*arm.Error](err); !ok || e.Status != 403 || e.Code != "AuthorizationFailed" || e.Message != want {
				t.Error(err)
			}
		})
	}
}

func TestGrantsAddUp(t *testing.T) {
	w := newWorld(t)
	w.grant(contributor, alice, group)
	w.grant("1ef6a3be-d0ac-425d-8c01-acb62866290b", alice, gallery)
	share := "Microsoft.Compute/galleries/share/action"
	if err := w.check(principal(tenantA, alice), share, gallery); err != nil {
		t.Errorf("a notAction takes away from its own role only: %v", err)
	}
	if err := w.check(principal(tenantA, alice), share, gallery+"2"); err == nil {
		t.Error("the sharing admin of one gallery shares another")
	}
}

func TestTenantsAreIsolated(t *testing.T) {
	w := newWorld(t)
	w.grant(owner, alice, "/subscriptions/"+subA)
	w.grant(owner, alice, "/")
	read := "Microsoft.Compute/galleries/read"
	if err := w.check(principal(strings.ToUpper(tenantA), alice), read, gallery); err != nil {
		t.Error(err)
	}
	for _, scope := range []string{gallery, "/subscriptions/" + subA, "/subscriptions/dddddddd-0000-4000-8000-00000000000d"} {
		if err := w.check(principal(tenantB, alice), read, scope); err == nil {
			t.Errorf("a principal of another tenant reads %s", scope)
		}
	}
	if err := w.check(principal(tenantA, alice), read, "/subscriptions/"+subC+"/resourceGroups/x"); !errors.Is(err, errBroken) {
		t.Errorf("a fault of ours became %v", err)
	}
	if err := w.check(principal(tenantA, alice), read, "/providers/A.B/c/d"); err != nil {
		t.Error(err)
	}
}

func TestWithin(t *testing.T) {
	w := newWorld(t)
	w.grant(reader, alice, gallery)
	var g *Grants
	if err := w.store.View(t.Context(), func(tx store.Tx) (err error) {
		g, err = w.engine.Grants(tx, principal(tenantA, alice))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[string]bool{"/": true, "/subscriptions/" + subA: true, group: true, gallery: true, image: true,
		"/subscriptions/" + subB: false, group + "2": false, gallery + "2": false} {
		if g.Within(id(scope)) != want {
			t.Errorf("within %s: %v", scope, !want)
		}
	}
}

func TestBrokenAssignment(t *testing.T) {
	w := newWorld(t)
	w.put(store.Document{Key: "x", Kind: AssignmentKind, Terms: []string{PrincipalTerm(alice)}, Body: []byte(`{"properties":{"roleDefinitionId":"` + owner + `","principalId":"` + alice + `"}}`)})
	if err := w.check(principal(tenantA, alice), "a/read", gallery); err == nil {
		t.Error("an assignment without a scope grants")
	}
	w.put(store.Document{Key: "y", Kind: AssignmentKind, Terms: []string{PrincipalTerm(alice)}, Body: []byte(`[]`)})
	err := w.check(principal(tenantA, alice), "a/read", gallery)
	if _, visible := errors.AsType[*arm.Error](err); err == nil || visible {
		t.Errorf("a broken document is %v", err)
	}
	err = w.linked(authn.Caller{Primary: principal(tenantA, alice)}, vm, "a/write", Link{id(gallery), "a/read"})
	if _, visible := errors.AsType[*arm.Error](err); err == nil || visible {
		t.Errorf("a broken document is %v", err)
	}
}

func TestScopeTermFitsIntoTheIndex(t *testing.T) {
	short, long := "/subscriptions/a", "/subscriptions/"+strings.Repeat("b", 900)
	if ScopeTerm(short) != "at:"+short {
		t.Error(ScopeTerm(short))
	}
	if a, b := ScopeTerm(long), ScopeTerm(long+"c"); len(a) > store.MaxTerm || a == b {
		t.Errorf("%q, %q", a, b)
	}
}

func TestLinked(t *testing.T) {
	const read, write = "Microsoft.Compute/galleries/images/versions/read", "Microsoft.Compute/virtualMachines/write"
	version := Link{id(image + "/versions/1.0.0"), read}
	other := Link{id(image + "/versions/2.0.0"), read}
	a, b := principal(tenantA, alice), principal(tenantB, "b0b00000-0000-4000-8000-000000000001")
	w := newWorld(t)
	w.grant(contributor, b.ObjectID, "/subscriptions/"+subB)

	wordingA := func(sub string) string {
		return fmt.Sprintf("The client has permission to perform action '%s' on scope '%s', however the current tenant '%s' is not authorized to access linked subscription '%s'.", read, vm, tenantB, sub)
	}
	wordingB := func(actions, scopes string) string {
		return fmt.Sprintf("The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.", app, b.ObjectID, write, vm, actions, scopes)
	}
	expect := func(name, want string, c authn.Caller, links ...Link) {
		t.Helper()
		err := w.linked(c, vm, write, links...)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		e, ok := errors.AsType[*arm.Error](err)
		if !ok || e.Status != 403 || e.Code != "LinkedAuthorizationFailed" || e.Message != want {
			t.Errorf("%s:\n%v\nwant\n%s", name, err, want)
		}
	}
	both := authn.Caller{Primary: b, Auxiliary: []authn.Principal{a}}
	third := authn.Caller{Primary: b, Auxiliary: []authn.Principal{principal("33333333-0000-4000-8000-000000000003", alice)}}
	unknown := "dddddddd-0000-4000-8000-00000000000d"
	strange := Link{id("/subscriptions/" + unknown + "/resourceGroups/x/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"), read}

	expect("no links", "", authn.Caller{Primary: b})
	expect("no auxiliary token", wordingA(subA), authn.Caller{Primary: b}, version)
	expect("a token of a third tenant", wordingA(subA), third, version)
	expect("unknown subscription", wordingA(unknown), both, strange)
	expect("no role", wordingB(read, version.ID.String()), both, version)
	expect("several lacking", wordingB(read+","+read, version.ID.String()+","+other.ID.String()), both, version, other)
	w.grant(reader, alice, image+"/versions/1.0.0")
	expect("one of two", wordingB(read, other.ID.String()), both, version, other)
	expect("the right", "", both, version)
	w.grant(reader, b.ObjectID, gallery)
	expect("the primary's grant in a foreign tenant counts for nothing", wordingB(read, other.ID.String()), both, other)
	own := Link{id("/subscriptions/" + subB + "/resourceGroups/n/providers/Microsoft.Network/networkInterfaces/n"), "Microsoft.Network/networkInterfaces/join/action"}
	expect("one's own subscription", "", authn.Caller{Primary: b}, own)
	if err := w.linked(both, vm, write, Link{id("/subscriptions/" + subC), read}); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

// TestBuiltInRoles holds the GUIDs against gallery.md 20 (Azure's published ones).
func TestBuiltInRoles(t *testing.T) {
	want := map[string]string{
		"Owner": owner, "Contributor": contributor, "Reader": reader, "User Access Administrator": administrator,
		"Role Based Access Control Administrator":             "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
		"Compute Gallery Sharing Admin":                       "1ef6a3be-d0ac-425d-8c01-acb62866290b",
		"Compute Gallery Artifacts Publisher":                 publishing,
		"Compute Gallery Image Reader":                        imageReader,
		"Virtual Machine Contributor":                         "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
		"Virtual Machine Administrator Login":                 "1c0163c0-47e6-4577-8991-ea5c82e286e4",
		"Virtual Machine User Login":                          "fb879df8-f326-4884-b1cf-06f3ad86be52",
		"Data Operator for Managed Disks":                     "959f8984-c045-4866-89c7-12bf9737be2e",
		"Network Contributor":                                 "4d97b98b-1d4f-4787-a291-c67834d212e7",
		"Virtual Machine Local User Login":                    "602da2ba-a5c2-41da-b01d-5360126ab525",
		"Virtual Machine Data Access Administrator (preview)": "66f75aeb-eabe-4b70-9f1e-c350c4c9ad04",
		"Disk Backup Reader":                                  "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24",
		"Disk Pool Operator":                                  "60fc6e62-5479-42d4-8bf4-67625fcc2840",
		"Disk Restore Operator":                               "b50d9833-a0cb-478e-945f-707fcc997c13",
		"Disk Snapshot Contributor":                           "7efff54f-a5b4-42b5-a1c5-5411624893ce",
		"VM Scanner Operator":                                 "d24ecba3-c1f4-40fa-a7bb-4588a071e8fd",
		"Storage Account Contributor":                         "17d1049b-9a84-46fb-8f53-869881c3d3ab",
		"Storage Account Key Operator Service Role":           "81a9662b-bebf-436f-a333-f67b29880f12",
		"Reader and Data Access":                              "c12c1c16-33a1-487b-954d-41c89c60f349",
		"Storage Blob Data Owner":                             "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
		"Storage Blob Data Contributor":                       "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
		"Storage Blob Data Reader":                            "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
		"Storage Blob Delegator":                              "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
		"Managed Identity Contributor":                        "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
		"Managed Identity Operator":                           "f1a07417-d97a-45cb-824c-7a7467783830",
		"Monitoring Reader":                                   "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
		"Management Group Contributor":                        "5d58bcaf-24a5-4b20-bdb6-eed9f69fbe4c",
		"Management Group Reader":                             "ac63b705-f282-497d-ac71-919bf39d939d",
		"Tag Contributor":                                     "4a9ae827-6dc8-4573-8ac7-8239d42aa03f",
		"Log Analytics Contributor":                           "92aaf0da-9dab-42b6-94a3-d43ce8d16293", "Log Analytics Reader": "73c42c96-874c-492b-b04d-ab87d138a893",
		"Monitoring Contributor": "749f88d5-cbae-40b8-bcfc-e573ddc772fa", "Storage Account Backup Contributor": "e5e2a7ff-d759-4cd2-bb51-3152d37e2eb1",
		"Storage Actions Blob Data Operator": "4bad4d9e-2a13-4888-94bb-c8432f6f3040", "VM Restore Operator": "dfce8971-25e3-42e3-ba33-6055438e3080",
		"Locks Contributor": "28bf596f-4eb7-45ce-b5bc-6cf482fec137",
	}
	got := map[string]string{}
	for _, r := range BuiltIn() {
		got[r.Name] = r.GUID
		if !arm.IsGUID(r.GUID) || r.GUID != strings.ToLower(r.GUID) || r.Description == "" {
			t.Errorf("%+v", r)
		}
		if raw, err := json.Marshal(r.Permissions); err != nil || !strings.Contains(string(raw), `"notDataActions"`) {
			t.Errorf("%s, %v", raw, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, guid := range want {
		byName, ok1 := RoleByName(strings.ToUpper(name))
		byGUID, ok2 := RoleByGUID(strings.ToUpper(guid))
		if !ok1 || !ok2 || byName.GUID != guid || byGUID.Name != name {
			t.Errorf("%s is not found", name)
		}
	}
	if _, ok := RoleByName("Nobody"); ok {
		t.Error("a role that is not")
	}
	if _, ok := RoleByGUID(subA); ok {
		t.Error("a role that is not")
	}
	vmc, _ := RoleByName("Virtual Machine Contributor")
	for action, want := range map[string]bool{"Microsoft.Compute/virtualMachines/write": true, "Microsoft.Compute/galleries/write": false,
		"Microsoft.Network/networkInterfaces/join/action": true, "Microsoft.Compute/galleries/images/versions/read": false} {
		if vmc.Allows(action) != want {
			t.Errorf("Virtual Machine Contributor, %s: %v", action, !want)
		}
	}
}
