package rbac

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedRoles compares built-in roles with what Azure documents: the same patterns, nothing more and nothing less.
func TestDocumentedRoles(t *testing.T) {
	raw, err := os.ReadFile("testdata/roles.txt")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]*Role{}
	var at *Role
	for line := range strings.Lines(string(raw)) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch first {
		case "#":
		case "+":
			at.Permissions[0].Actions = append(at.Permissions[0].Actions, rest)
		case "-":
			at.Permissions[0].NotActions = append(at.Permissions[0].NotActions, rest)
		case "d":
			at.Permissions[0].DataActions = append(at.Permissions[0].DataActions, rest)
		default:
			at = &Role{GUID: first, Name: rest, Permissions: []Permission{{}}}
			documented[first] = at
		}
	}
	for _, r := range BuiltIn() {
		if _, ok := documented[r.GUID]; !ok && r.Name != "Locks Contributor" && r.Name != "VM Scanner Operator" {
			t.Errorf("the documentation of %s was not read", r.Name)
		}
	}
	for guid, want := range documented {
		got, ok := RoleByGUID(guid)
		if !ok || got.Name != want.Name || len(got.Permissions) != 1 {
			t.Errorf("%s is %q, want %q", guid, got.Name, want.Name)
			continue
		}
		have, should := got.Permissions[0], want.Permissions[0]
		same(t, want.Name, "actions", have.Actions, should.Actions)
		same(t, want.Name, "dataActions", have.DataActions, should.DataActions)
		same(t, want.Name, "notActions", have.NotActions, should.NotActions)
	}
}

func same(t *testing.T, role, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s are\n%s\nwant\n%s", role, what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
