package insights_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store/memstore"
)

// TestFacts holds what the log tells of the properties of what was written: those that its type names, nothing else.
func TestFacts(t *testing.T) {
	w := newWorld(t, memstore.Open(), true)
	control.Register(w.control, control.Spec[widget]{Type: "Vitrine.Test/badges", Versions: []arm.Version{"2022-01-01"},
		Put:    func(context.Context, *control.Write[widget]) error { return nil },
		Delete: func(context.Context, *control.Write[widget]) error { return nil },
		Facts: func(r *control.Resource[widget]) map[string]string {
			return map[string]string{"principalId": "p-" + r.Name, "long": strings.Repeat("x", 5000)}
		}})
	badge := group + "/providers/Vitrine.Test/badges/b"
	w.must("owner", "PUT", badge, `{"properties":{"secret":"`+secret+`","other":"`+secret+`"}}`)
	w.must("owner", "DELETE", badge, "")
	w.must("owner", "DELETE", badge, "") // there is nothing any more: nothing to tell of it
	w.must("owner", "PUT", widgets+"/w", `{"properties":{"secret":"`+secret+`"}}`)
	if _, err := w.do("reader", "PUT", badge, nil, `{"properties":{"secret":"`+secret+`"}}`); err == nil {
		t.Fatal("a reader writes")
	}
	from := "eventTimestamp ge '" + w.now().Add(-time.Hour).UTC().Format(time.RFC3339) + "'"
	var got []string
	for _, v := range w.page(url.Values{"$filter": {from}}).Value {
		p, _ := v["properties"].(map[string]any)
		for _, name := range []string{"requestbody", "responseBody"} {
			text, ok := p[name].(string)
			if !ok {
				continue
			}
			if len(text) > 3000 || strings.Contains(text, secret) || !strings.Contains(text, `"principalId":"p-b"`) || !strings.Contains(text, badge) {
				t.Errorf("%s: %s", name, text)
			}
			got = append(got, v["operationName"].(map[string]any)["value"].(string)+" "+v["status"].(map[string]any)["value"].(string)+" "+name)
		}
	}
	const want = "Vitrine.Test/badges/delete Succeeded responseBody\nVitrine.Test/badges/write Succeeded responseBody\nVitrine.Test/badges/write Started requestbody"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
