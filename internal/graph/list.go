package graph

import (
	"net/http"
	"net/url"
	"strconv"

	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/odata"
	"vitrine/internal/web"
)

// writeList sends one page of a collection.
func (a answer) writeList(w http.ResponseWriter, r *http.Request, q *odata.Query) error {
	all, byID := make([]map[string]any, len(a.list)), map[string]*entity.Entity{}
	for i, e := range a.list {
		all[i] = e.Props
		if id, ok := e.Props["id"].(string); ok {
			byID[id] = e
		}
	}
	page, total, next := q.Page(all)
	if a.count {
		web.Write(w, http.StatusOK, "text/plain", []byte(strconv.Itoa(total)))
		return nil
	}
	value := make([]map[string]any, len(page))
	for i, props := range page {
		id, _ := props["id"].(string) // every entity has one
		value[i] = byID[id].Shown(q.Select, byID[id].Typed)
	}
	out := map[string]any{"@odata.context": root + "$metadata#" + a.context + selected(q), "value": value}
	if q.Count {
		out["@odata.count"] = total
	}
	if next != "" {
		out["@odata.nextLink"] = nextLink(r.URL, next)
	}
	return writeJSON(w, http.StatusOK, out)
}

// nextLink is the same request with the token of the next page.
func nextLink(u *url.URL, token string) string {
	values := u.Query()
	values.Del("$skiptoken")
	values.Del("skiptoken")
	values.Set("$skiptoken", token)
	return "https://graph.microsoft.com" + u.EscapedPath() + "?" + values.Encode()
}
