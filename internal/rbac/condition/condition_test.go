package condition

import (
	"strings"
	"testing"
)

func TestHolds(t *testing.T) {
	const write = "Microsoft.Authorization/roleAssignments/write"
	attributes := map[Attribute][]string{
		{"request", "microsoft.authorization/roleassignments:roledefinitionid"}: {"ACDD72A7-3385-48ef-bd42-f606fba81ae7"},
		{"request", "tags"}:       {"a", "b"},
		{"resource", "name"}:      {"Production1"},
		{"resource", "size"}:      {"12"},
		{"environment", "utcnow"}: {"2026-11-22T12:00:00Z"},
		{"environment", "ip"}:     {"10.1.2.3"},
	}
	const delegation = `((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {acdd72a7-3385-48ef-bd42-f606fba81ae7, 8e3af657-a8ff-443c-a75c-2fe8c4bcb635}))`
	for _, row := range []struct {
		text, action string
		want         bool
	}{
		{delegation, write, true},
		{delegation, "Microsoft.Compute/disks/read", true},
		{strings.Replace(delegation, "acdd72a7-3385-48ef-bd42-f606fba81ae7", "acdd72a7338548efbd42f606fba81ae7", 1), write, true}, // as Azure's own conditions write them
		{strings.Replace(delegation, "acdd72a7", "00000000", 1), write, false},
		{strings.Replace(delegation, "@Request[", "@Resource[", 1), write, false},
		{`@Resource[name] StringEquals 'Production1'`, "", true},
		{`@Resource[name] StringEquals 'production1'`, "", false},
		{`@Resource[NAME] StringEqualsIgnoreCase 'production1'`, "", true},
		{`@Resource[name] StringNotEquals 'x'`, "", true},
		{`@Resource[name] StringLike 'Prod*?'`, "", true},
		{`@Resource[name] StringNotLike 'Prod*'`, "", false},
		{`@Resource[name] StringStartsWith 'Prod' && @Resource[size] NumericGreaterThan 11.5`, "", true},
		{`@Resource[size] NumericLessThanEquals 12 AND NOT @Resource[size] NumericEquals 13`, "", true},
		{`@Resource[name] NumericEquals 1`, "", false},
		{`!(@Resource[name] NumericEquals 1)`, "", false},
		{`@Resource[none] StringNotEquals 'x'`, "", false},
		{`!(@Resource[none] StringEquals 'x')`, "", false},
		{`@Resource[none] StringEquals 'x' OR @Resource[name] StringLike '*'`, "", true},
		{`Exists @Resource[name]`, "", true},
		{`Exists @Resource[none]`, "", false},
		{`NotExists @Resource[none]`, "", true},
		{`!(Exists @Resource[none])`, "", true},
		{`@Request[tags] ForAnyOfAnyValues:StringEquals {'b', 'z'}`, "", true},
		{`@Request[tags] ForAllOfAnyValues:StringEquals {'b', 'z'}`, "", false},
		{`@Request[tags] ForAllOfAnyValues:StringEquals {'b', 'a'}`, "", true},
		{`@Request[tags] ForAnyOfAllValues:StringNotEquals {'b', 'z'}`, "", true},
		{`@Request[tags] ForAllOfAllValues:StringNotEquals {'y', 'z'}`, "", true},
		{`@Request[tags] ForAllOfAllValues:StringNotEquals {'b', 'z'}`, "", false},
		{`@Environment[UtcNow] DateTimeLessThan '2026-12-01T00:00:00Z'`, "", true},
		{`@Environment[UtcNow] DateTimeLessThan 'soon'`, "", false},
		{`@Environment[ip] IpMatch '10.0.0.0/8'`, "", true},
		{`SubOperationMatches{'Blob.List'}`, "", false},
		{`ActionMatches{'Microsoft.Authorization/*/WRITE'}`, write, true},
		{`'it''s' StringEquals 'it\'s'`, "", true},
		{`true BoolEquals True`, "", true},
		{`@Principal[Microsoft.Directory/CustomSecurityAttributes/Id:x_y] StringEquals 'z'`, "", false},
	} {
		e, err := Parse(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		got := e.Holds(Request{Action: row.action, Attributes: func(a Attribute) ([]string, bool) { v, ok := attributes[a]; return v, ok }})
		if got != row.want {
			t.Errorf("%s: %v", row.text, got)
		}
		if e.Holds(Request{Action: row.action}) && strings.Contains(row.text, "@") && !strings.Contains(row.text, "Exists") && !strings.Contains(row.text, "ActionMatches") {
			t.Errorf("%s holds without any attribute", row.text)
		}
	}
	if (*Expr)(nil).Holds(Request{}) {
		t.Error("a condition that could not be read grants")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "(", ")", "@Resource[a", "@Resource[] StringEquals 'x'", "@Nothing[a] StringEquals 'x'", "@Resource[a] StringEquls 'x'",
		"@Resource[a] ForSome:StringEquals 'x'", "@Resource[a] StringEquals", "@Resource[a] StringEquals 'x", "@Resource[a] StringEquals {}", "@Resource[a] StringEquals {'x' 'y'}",
		"ActionMatches", "ActionMatches{", "Exists 'x'", "'a' 'b' 'c'", "@Resource[a] StringEquals 'x' @Resource[a] StringEquals 'x'", "#", "NOT", "a AND",
		strings.Repeat("(", 60) + "true BoolEquals true" + strings.Repeat(")", 60), strings.Repeat("!", 100) + "true BoolEquals true", strings.Repeat(" ", 9000)} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%.60q is taken", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`!(ActionMatches{'a/*'}) OR @Resource[a] ForAnyOfAnyValues:StringLike {'x*', 'y'}`)
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := Parse(s); err == nil {
			e.Holds(Request{Action: s})
		}
	})
}
