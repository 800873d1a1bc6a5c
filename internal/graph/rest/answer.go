package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/odata"
	"vitrine/internal/graph/wire"
	"vitrine/internal/web"
)

// writeList sends one page of a collection.
func (a Answer) writeList(w http.ResponseWriter, r *http.Request, q *odata.Query) error {
	all, byID := make([]map[string]any, len(a.List)), map[string]*entity.Entity{}
	for i, e := range a.List {
		all[i] = e.Props
		if id, ok := e.Props["id"].(string); ok {
			byID[id] = e
		}
	}
	page, total, next := q.Page(all)
	if a.Count {
		web.Write(w, http.StatusOK, "text/plain", []byte(strconv.Itoa(total)))
		return nil
	}
	value := make([]map[string]any, len(page))
	for i, props := range page {
		id, _ := props["id"].(string) // every entity has one
		value[i] = byID[id].Shown(q.Select, byID[id].Typed)
	}
	out := map[string]any{"@odata.context": Root + "$metadata#" + a.Context + selected(q), "value": value}
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

// check refuses a $select of what the entity does not have. A list is checked by who makes it.
func (a Answer) check(q *odata.Query) error {
	if a.Entity == nil || len(a.Entity.Kind.Sample) == 0 {
		return nil
	}
	return (&odata.Query{Select: q.Select}).Check(a.Entity.Kind.Sample)
}

// write sends the answer.
func (a Answer) write(w http.ResponseWriter, r *http.Request, q *odata.Query) error {
	if a.Location != "" {
		w.Header().Set("Location", Root+a.Location)
	}
	switch {
	case a.IsList:
		return a.writeList(w, r, q)
	case a.Entity == nil:
		web.Write(w, http.StatusNoContent, "", nil)
		return nil
	}
	out := a.Entity.Shown(q.Select, a.Entity.Typed)
	if a.Context != "" {
		out["@odata.context"] = Root + "$metadata#" + a.Context + selected(q) + "/$entity"
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	return writeJSON(w, a.Status, out)
}

func selected(q *odata.Query) string {
	if len(q.Select) == 0 {
		return ""
	}
	return "(" + strings.Join(q.Select, ",") + ")"
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("graph: encode an answer: %w", err)
	}
	web.Write(w, status, wire.ContentType, raw)
	return nil
}
