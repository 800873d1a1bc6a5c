package rbac

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
)

const boss = "b0550000-0000-4000-8000-000000000001"

// explained takes a refusal apart: its details as one text, and what it tells machines.
func explained(t *testing.T, err error) (string, Denial) {
	t.Helper()
	e, ok := errors.AsType[*arm.Error](err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	var words []string
	for _, d := range e.Details {
		words = append(words, d.Code+": "+d.Message)
	}
	if len(e.AdditionalInfo) == 0 || e.AdditionalInfo[0].Type != DenialType {
		t.Fatalf("no explanation in %+v", e)
	}
	raw, err := json.Marshal(e.AdditionalInfo[0].Info)
	if err != nil {
		t.Fatal(err)
	}
	var d Denial
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return strings.Join(words, "\n"), d
}

func home(p authn.Principal) authn.Principal { p.HomeTenant = p.TenantID; return p }

func TestDenialExplainsItself(t *testing.T) {
	w := newWorld(t)
	w.grant(owner, boss, "/subscriptions/"+subA)
	w.grant(administrator, "b0550000-0000-4000-8000-000000000002", gallery)
	w.grant(reader, alice, gallery)
	const action = "Microsoft.Compute/galleries/images/write"
	words, d := explained(t, w.check(home(principal(tenantA, alice)), action, image))
	command := "az role assignment create --assignee-object-id " + alice + " --assignee-principal-type ServicePrincipal --role 'Compute Gallery Artifacts Publisher' --scope '" + group + "'"
	for _, want := range []string{"object '" + alice + "' (application '" + app + "') of tenant '" + tenantA + "'", "gives '" + action + "'", command, boss} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is not in\n%s", want, words)
		}
	}
	if d.Reason != "NoAssignment" || len(d.Held) != 1 || d.Held[0].Role != "Reader" || d.Held[0].Result != "NoMatch" || len(d.Grantors) != 2 || d.Commands[0] != command {
		t.Errorf("%+v", d) // a Reader may read role assignments, so the administrator of the gallery is named too
	}
	w.grant(contributor, alice, group)
	if _, d = explained(t, w.check(home(principal(tenantA, alice)), "Microsoft.Compute/galleries/share/action", gallery)); d.Reason != "NotActions" || d.Role != "Compute Gallery Sharing Admin" {
		t.Errorf("%+v", d)
	}
}

// TestDenialKeepsSecrets holds what a denial must not tell: who is in a tenant that is not one's own, what is in it, and
// whether a resource exists.
func TestDenialKeepsSecrets(t *testing.T) {
	w := newWorld(t)
	w.grant(owner, boss, "/subscriptions/"+subA)
	w.grant(owner, "b0550000-0000-4000-8000-000000000003", gallery)
	all := func(err error) string {
		words, _ := explained(t, err)
		raw, jsonErr := json.Marshal(err)
		if jsonErr != nil {
			t.Fatal(jsonErr)
		}
		return words + string(raw)
	}
	guest := principal(tenantA, alice)
	guest.HomeTenant = tenantB
	if text := all(w.check(guest, "a/read", gallery)); strings.Contains(text, "b055") {
		t.Errorf("a guest learns who is administrator: %s", text)
	}
	if text := all(w.check(home(principal(tenantA, alice)), "a/read", gallery)); strings.Contains(text, "000000000003") || !strings.Contains(text, boss) {
		t.Errorf("an assignment at the resource shows that it exists: %s", text)
	}
	there := all(w.check(home(principal(tenantB, alice)), "a/read", gallery))
	nowhere := all(w.check(home(principal(tenantB, alice)), "a/read", strings.Replace(gallery, subA, "dddddddd-0000-4000-8000-00000000000d", 1)))
	if there != strings.ReplaceAll(nowhere, "dddddddd-0000-4000-8000-00000000000d", subA) {
		t.Errorf("a foreign resource and one that is not are told apart:\n%s\n%s", there, nowhere)
	}
	odd := "/subscriptions/" + subA + "/resourceGroups/$(x)'`y`"
	if text := all(w.check(home(principal(tenantA, alice)), "a/read", odd)); !strings.Contains(text, `'\\''`) {
		t.Errorf("a scope is not quoted for a shell: %s", text)
	}
}

func TestLinkedExplainsItself(t *testing.T) {
	const read, write = "Microsoft.Compute/galleries/images/versions/read", "Microsoft.Compute/virtualMachines/write"
	link := Link{id(image + "/versions/1.0.0"), read}
	a, b := principal(tenantA, alice), principal(tenantB, "b0b00000-0000-4000-8000-000000000001")
	w := newWorld(t)
	words, d := explained(t, w.linked(authn.Caller{Primary: b}, vm, write, link))
	if d.Reason != "MissingToken" || d.MissingTenant != tenantA || d.Header != "x-ms-authorization-auxiliary: Bearer TOKEN" ||
		!strings.Contains(words, "az login --service-principal --username "+app+" --password PASSWORD --tenant "+tenantA) {
		t.Errorf("%s\n%+v", words, d)
	}
	words, d = explained(t, w.linked(authn.Caller{Primary: b, Auxiliary: []authn.Principal{a}}, vm, write, link))
	if d.Reason != "NoAssignment" || d.Tenant != tenantA || len(d.Tokens) != 2 || d.Role != "Compute Gallery Image Reader" || !strings.Contains(words, "--assignee-object-id "+alice) ||
		!strings.Contains(words, "--scope '"+link.ID.String()+"'") {
		t.Errorf("%s\n%+v", words, d)
	}
}

func TestWhyAndWhoCan(t *testing.T) {
	w := newWorld(t)
	const crew, member = "c0000000-0000-4000-8000-000000000001", alice
	w.engine.groups = func(_ store.Tx, _, id string) ([]string, error) {
		if id == member {
			return []string{crew}, nil
		}
		return nil, nil
	}
	w.engine.members = func(_ store.Tx, _, id string) ([]string, error) {
		if id == crew {
			return []string{member}, nil
		}
		return nil, nil
	}
	w.grant(reader, crew, group)
	w.grant(contributor, boss, "/subscriptions/"+subA)
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		x, err := w.engine.Why(tx, principal(tenantA, member), "x/read", id(gallery))
		if err != nil || !x.Allowed || x.Decided.Via != crew || x.Decided.Role != "Reader" || x.Decided.Scope != group {
			t.Errorf("%+v, %v", x, err)
		}
		x, err = w.engine.Why(tx, principal(tenantA, member), "x/write", id(gallery))
		if err != nil || x.Allowed || x.Role != "Contributor" || len(x.Chain) != 1 || x.Chain[0].Result != "NoMatch" {
			t.Errorf("%+v, %v", x, err)
		}
		list, err := w.engine.WhoCan(tx, tenantA, "x/read", id(gallery))
		var who []string
		for _, h := range list {
			who = append(who, h.Principal+" "+h.Via)
		}
		if got := strings.Join(who, ","); err != nil || got != boss+" ,"+crew+" ,"+member+" "+crew {
			t.Errorf("%s, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSmallest(t *testing.T) {
	for action, want := range map[string]string{
		"Microsoft.Compute/galleries/images/versions/read":       "Compute Gallery Image Reader",
		"Microsoft.Resources/subscriptions/resourceGroups/read":  "Reader", // a backup service's role gives it too
		"Microsoft.Compute/disks/read":                           "Reader",
		"Microsoft.Management/managementGroups/read":             "Management Group Reader",
		"Microsoft.Resources/subscriptions/resourceGroups/write": "Contributor",
		"Microsoft.Compute/galleries/share/action":               "Compute Gallery Sharing Admin",
		"Microsoft.Authorization/roleAssignments/write":          "Role Based Access Control Administrator",
		"Microsoft.Network/networkInterfaces/join/action":        "Network Contributor",
	} {
		if r, ok := New(nil).smallest(strings.ToLower(action), false); !ok || r.Name != want {
			t.Errorf("%s: %s, want %s", action, r.Name, want)
		}
	}
	if r, ok := New(nil).smallest("microsoft.storage/storageaccounts/blobservices/containers/blobs/read", true); !ok || r.Name != "Storage Blob Data Reader" {
		t.Errorf("data: %s", r.Name)
	}
}
