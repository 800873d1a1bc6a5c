package whatif_test

import (
	"encoding/json"
	"strings"
	"testing"

	"vitrine/internal/provider/deployments/whatif"
	"vitrine/internal/template/tree"
)

func object(t *testing.T, text string) *tree.Object {
	t.Helper()
	if text == "" {
		return nil
	}
	v, err := tree.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v.(*tree.Object)
}

func TestCompare(t *testing.T) {
	for name, c := range map[string]struct{ before, after, kind, delta string }{
		"create":   {"", `{"a":1}`, whatif.Create, `null`},
		"same":     {`{"a":1,"B":{"c":[1,2]}}`, `{"b":{"c":[1,2]},"A":1}`, whatif.NoChange, `null`},
		"null":     {`{"a":1,"b":null}`, `{"a":1,"c":null}`, whatif.NoChange, `null`},
		"modify":   {`{"tags":{"x":"1"}}`, `{"tags":{"x":"2"}}`, whatif.Modify, `[{"path":"tags.x","propertyChangeType":"Modify","before":"1","after":"2","children":null}]`},
		"add":      {`{}`, `{"tags":{"a.b":"2"}}`, whatif.Modify, `[{"path":"tags","propertyChangeType":"Create","before":null,"after":{"a.b":"2"},"children":null}]`},
		"remove":   {`{"tags":{"a.b":"2"}}`, `{"tags":{}}`, whatif.Modify, `[{"path":"tags['a.b']","propertyChangeType":"Delete","before":"2","after":null,"children":null}]`},
		"elements": {`{"p":["a","b"]}`, `{"p":["a","c","d"]}`, whatif.Modify, `[{"path":"p","propertyChangeType":"Array","before":["a","b"],"after":["a","c","d"],"children":[{"path":"1","propertyChangeType":"Modify","before":"b","after":"c","children":null},{"path":"2","propertyChangeType":"Create","before":null,"after":"d","children":null}]}]`},
		"by name":  {`{"s":[{"name":"x","v":1},{"name":"y","v":1}]}`, `{"s":[{"name":"Y","v":2},{"name":"X","v":1}]}`, whatif.Modify, `"path":"0","propertyChangeType":"Modify"`},
		"shorter":  {`{"p":["a","b"]}`, `{"p":["a"]}`, whatif.Modify, `{"path":"1","propertyChangeType":"Delete","before":"b"`},
		"place":    {`{"location":"East US"}`, `{"location":"eastus"}`, whatif.NoChange, `null`},
		"moved":    {`{"location":"East US"}`, `{"location":"westus"}`, whatif.Modify, `"path":"location"`},
		"nowhere":  {`{"location":"here"}`, `{"location":"there"}`, whatif.Modify, `"path":"location"`},
		"type":     {`{"p":1}`, `{"p":"1"}`, whatif.Modify, `"before":1,"after":"1"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := whatif.Compare("/x", object(t, c.before), object(t, c.after))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(got.Delta)
			if err != nil {
				t.Fatal(err)
			}
			if got.ChangeType != c.kind || !strings.Contains(string(raw), c.delta) {
				t.Errorf("%s %s\nwant %s %s", got.ChangeType, raw, c.kind, c.delta)
			}
		})
	}
}

func TestVisible(t *testing.T) {
	o := whatif.Visible(object(t, `{"id":"/x","etag":"1","properties":{"provisioningState":"Updating","v":1,"l":[{"etag":"2","properties":{"provisioningState":"x"}}]}}`), "2020-01-01")
	raw, err := tree.Encode(o)
	if err != nil || string(raw) != `{"id":"/x","properties":{"v":1,"l":[{"properties":{}}]},"apiVersion":"2020-01-01"}` {
		t.Errorf("%s %v", raw, err)
	}
	if whatif.Visible(nil, "").Len() != 0 {
		t.Error("nothing became something")
	}
}

// Large arrays cost no quadratic time.
func TestLargeArrays(t *testing.T) {
	long := func(seed string) string {
		parts := make([]string, 20000)
		for i := range parts {
			parts[i] = `"` + seed + strings.Repeat("x", i%7) + `"`
		}
		return `{"p":[` + strings.Join(parts, ",") + `]}`
	}
	got, err := whatif.Compare("/x", object(t, long("a")), object(t, long("b")))
	if err != nil || len(got.Delta) != 1 || len(got.Delta[0].Children) != 20000 {
		t.Errorf("%d %v", len(got.Delta), err)
	}
}
