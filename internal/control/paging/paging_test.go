package paging_test

import (
	"net/url"
	"slices"
	"testing"

	"vitrine/internal/control/paging"
)

func TestCut(t *testing.T) {
	self := func(s string) string { return s }
	all := []string{"c", "a", "b", "d"}
	for _, row := range []struct {
		page paging.Page
		want []string
		more bool
	}{
		{paging.Page{Size: 4}, []string{"c", "a", "b", "d"}, false}, // one page keeps the order of its list
		{paging.Page{Size: 3}, []string{"a", "b", "c"}, true},
		{paging.Page{Size: 3, After: "c"}, []string{"d"}, false},
		{paging.Page{Size: 1, After: "a"}, []string{"b"}, true},
		{paging.Page{Size: 1, After: "d"}, []string{}, false},
	} {
		rows, more := paging.Cut(row.page, all, self)
		if !slices.Equal(rows, row.want) || more != row.more {
			t.Errorf("%+v: %v %v, want %v %v", row.page, rows, more, row.want, row.more)
		}
	}
	if all[0] != "c" {
		t.Error("the list itself was changed")
	}
}

// A nextLink repeats the request, and stands in a URL whatever the path and the key hold.
func TestNext(t *testing.T) {
	q := url.Values{"api-version": {"2024-01-01"}, "$top": {"2"}, "$skiptoken": {"old"}}
	link := paging.Next("https://here", "/a b/ä", q, "/k&é")
	u, err := url.Parse(link)
	if err != nil || u.EscapedPath() != "/a%20b/%C3%A4" || u.Query().Get("$skiptoken") != "/k&é" || u.Query().Get("$top") != "2" {
		t.Errorf("%v %s", err, link)
	}
	if q.Get("$skiptoken") != "old" {
		t.Error("the request's own query was changed")
	}
}
