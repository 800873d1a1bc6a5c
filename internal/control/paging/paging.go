// Package paging says which part of a list an answer shows, and how a client comes by the next one. It owns the query parameters
// of lists and the form of a nextLink; what is in a list, and who may see it, is its caller's.
//
//	?$top=20                ─▶ Of ─▶ Page{Size: 20}             ─▶ 20 rows and one more ─▶ Next(…, key of the 20th)
//	?$top=20&$skiptoken=KEY ─▶ Of ─▶ Page{Size: 20, After: KEY} ─▶ the rows after KEY, in the order of keys
package paging

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// Most is how many rows one answer has at most.
const Most = 500

// Page is what a request wants of a list: at most Size rows, of those whose keys come after After.
type Page struct {
	Size  int
	After string // as a nextLink said it; empty: from the beginning
}

// Of reads a request's query. The parameter that says how many rows an answer shall have differs by operation: "$top",
// "$maxpagesize", or empty for those whose Swagger has none. Such a list takes no notice of a $top, as Azure's take none of parameters
// that they do not declare.
func Of(q url.Values, size string) (Page, error) {
	p := Page{Size: Most, After: q.Get("$skiptoken")}
	if p.After != "" && !store.Storable(p.After) {
		return p, arm.Errorf(400, "InvalidQueryParameterValue", "The value of the query parameter '$skiptoken' is not one that a nextLink gave.").At("$skiptoken")
	}
	if size == "" || q.Get(size) == "" {
		return p, nil
	}
	n, err := strconv.Atoi(q.Get(size))
	if err != nil || n < 1 {
		return p, arm.Errorf(400, "InvalidQueryParameterValue", "The value '%.80s' of the query parameter '%s' is invalid: it must be a number from 1 on.", q.Get(size), size).At(size)
	}
	p.Size = min(n, Most)
	return p, nil
}

// Whole tells whether a list of n rows is one page from its beginning, so that its order is nobody's business but its own.
func (p Page) Whole(n int) bool { return p.After == "" && n <= p.Size }

// Cut gives the page's rows of a whole list, and whether more come after them. A list of more than one page is in the order of keys.
func Cut[T any](p Page, all []T, key func(T) string) (rows []T, more bool) {
	if p.Whole(len(all)) {
		return all, false
	}
	all = slices.DeleteFunc(slices.Clone(all), func(r T) bool { return key(r) <= p.After })
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if len(all) <= p.Size {
		return all, false
	}
	return all[:p.Size], true
}

// Next is the link to what comes after a key: the request itself, with a $skiptoken. The key is told to the client, so it must be of
// a row that it saw.
func Next(base, path string, q url.Values, after string) string {
	next := url.Values{}
	for name, values := range q {
		next[name] = values
	}
	next.Set("$skiptoken", after)
	return base + (&url.URL{Path: path}).EscapedPath() + "?" + next.Encode()
}
