package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/store"
)

func testInvalid(t *testing.T, s *store.Store) {
	many := make([]string, store.MaxTerms+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, d := range map[string]store.Document{
		"empty key":       doc("", "k", `1`),
		"long key":        doc(strings.Repeat("k", store.MaxKey+1), "k", `1`),
		"NUL in key":      doc("a\x00b", "k", `1`),
		"broken key":      doc("a\xffb", "k", `1`),
		"surrogate key":   doc("a\xed\xa0\x80b", "k", `1`),
		"empty kind":      doc("a", "", `1`),
		"NUL in kind":     doc("a", "k\x00", `1`),
		"long kind":       doc("a", strings.Repeat("k", store.MaxKind+1), `1`),
		"no body":         doc("a", "k", ``),
		"half a body":     doc("a", "k", `{"a":`),
		"two bodies":      doc("a", "k", `{} {}`),
		"NUL in body":     doc("a", "k", "\"\x00\""),
		"broken body":     doc("a", "k", "\"\xff\""),
		"huge body":       doc("a", "k", `"`+strings.Repeat("a", store.MaxBody)+`"`),
		"empty term":      doc("a", "k", `1`, "good", ""),
		"long term":       doc("a", "k", `1`, "good", strings.Repeat("t", store.MaxTerm+1)),
		"NUL in term":     doc("a", "k", `1`, "t\x00"),
		"broken term":     doc("a", "k", `1`, "t\xc0\xaf"),
		"too many terms":  doc("a", "k", `1`, many...),
		"due in year 0":   {Key: "a", Kind: "k", Body: []byte(`1`), Due: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)},
		"due in year 1e5": {Key: "a", Kind: "k", Body: []byte(`1`), Due: time.Date(100_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		update(t, s, func(tx store.Tx) error {
			_, err := tx.Put(d)
			wantErr(t, name, err, store.ErrInvalid)
			return nil // what is refused must not spoil the transaction
		})
	}
	want(t, "documents", list(t, s, store.Query{}), []string(nil))
	want(t, "revision", revision(t, s), int64(0))

	// The longest of everything fits together, in every index.
	long := doc(strings.Repeat("é", store.MaxKey/2), strings.Repeat("k", store.MaxKind), `1`, strings.Repeat("t", store.MaxTerm))
	put(t, s, long)
	want(t, "the longest", list(t, s, store.Query{Kind: long.Kind, All: long.Terms}), []string{long.Key})
}

func testHostileReads(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`, "t"))
	for _, bad := range []string{"\x00", "a\x00", "\xff", "a\xed\xa0\x80", "%", "' OR 1=1 --", `\`, strings.Repeat("x", 5000)} {
		update(t, s, func(tx store.Tx) error {
			_, err := tx.Get(bad)
			wantErr(t, fmt.Sprintf("Get(%.10q)", bad), err, store.ErrNotFound)
			wantErr(t, fmt.Sprintf("Delete(%.10q)", bad), tx.Delete(bad, 0), store.ErrNotFound)
			wantErr(t, "Fence", tx.Fence(store.Lease{Document: store.Document{Key: bad}, Owner: bad}), store.ErrLease)
			for _, q := range []store.Query{{Kind: bad}, {Prefix: bad}, {Any: []string{bad}}, {All: []string{bad}}, {Any: []string{"t", bad}, After: bad}} {
				docs, err := tx.List(q)
				if err != nil {
					wantErr(t, fmt.Sprintf("List(%.10q)", bad), err, store.ErrInvalid)
				}
				if len(docs) > 0 && len(q.Any) < 2 {
					t.Errorf("List(%+v) found %d", q, len(docs))
				}
			}
			_, err = tx.List(store.Query{Limit: -1})
			wantErr(t, "negative limit", err, store.ErrInvalid)
			return nil
		})
	}
	want(t, "documents", list(t, s, store.Query{}), []string{"a"})
}

// testPrefixes: keys are bytes. No wildcard, no locale, no case.
func testPrefixes(t *testing.T, s *store.Store) {
	keys := []string{
		"A", "AB", "Z", "a", "a!", "a%", "a%b", "a/", "a/b", "a/b/c", "a/bc", "a/c", "aB", "a_", "a_b", "ab", "axb", "azz",
		"b", "é", "éa", "\u07ff", "\u07ffx", "\u0800", "\ud7ff", "\ud7ffx", "\ue000", "\uffff", "\uffffx", "\U00010000",
		"\U0010ffff", "\U0010ffffx", "\U0010ffff\U0010ffff",
	}
	for _, k := range keys {
		put(t, s, doc(k, "k", `1`, "t"))
	}
	for _, prefix := range append(keys, "", "/", "a/b/", "c") {
		var expected []string
		for _, k := range keys { // sorted as bytes
			if strings.HasPrefix(k, prefix) {
				expected = append(expected, k)
			}
		}
		for _, q := range []store.Query{
			{Prefix: prefix}, {Prefix: prefix, Kind: "k"}, {Prefix: prefix, All: []string{"t"}}, {Prefix: prefix, Any: []string{"t", "u"}},
		} {
			want(t, fmt.Sprintf("%+v", q), list(t, s, q), expected)
		}
	}
}

func testPages(t *testing.T, s *store.Store) {
	var docs []store.Document
	var expected []string
	for i := range 23 {
		key := fmt.Sprintf("s/%02d", i)
		docs = append(docs, doc(key, []string{"even", "odd"}[i%2], `1`, "all", fmt.Sprintf("mod3:%d", i%3)))
		if i%2 == 0 && i%3 != 1 {
			expected = append(expected, key)
		}
	}
	put(t, s, append(docs, doc("r/1", "even", `1`, "all", "mod3:0"), doc("t", "even", `1`, "all", "mod3:0"))...)
	for _, limit := range []int{1, 2, 3, 100} {
		var got []string
		q := store.Query{Kind: "even", Prefix: "s/", All: []string{"all"}, Any: []string{"mod3:0", "mod3:2"}, Limit: limit}
		for {
			page := list(t, s, q)
			if len(page) > limit {
				t.Fatalf("a page of %d, limit %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			q.After = page[len(page)-1]
		}
		want(t, fmt.Sprintf("pages of %d", limit), got, expected)
	}
	want(t, "After below Prefix", list(t, s, store.Query{Prefix: "s/2", After: "a"}), []string{"s/20", "s/21", "s/22"})
	want(t, "After beyond Prefix", list(t, s, store.Query{Prefix: "s/1", After: "s/2"}), []string(nil))
	want(t, "After is not a key", list(t, s, store.Query{After: "s/205"}), []string{"s/21", "s/22", "t"})
}

func testTerms(t *testing.T, s *store.Store) {
	put(t, s,
		doc("1", "k", `1`, "a"), doc("2", "k", `1`, "a", "b"), doc("3", "k", `1`, "b", "c"),
		doc("4", "k", `1`, "a", "b", "c"), doc("5", "k", `1`), doc("6", "other", `1`, "a", "c"), doc("7", "k", `1`, "A"))
	for _, c := range []struct {
		q    store.Query
		want []string
	}{
		{store.Query{Any: []string{"a"}}, []string{"1", "2", "4", "6"}},
		{store.Query{Any: []string{"a", "c", "a", "nothing"}}, []string{"1", "2", "3", "4", "6"}},
		{store.Query{Any: []string{"a", "c"}, Limit: 3}, []string{"1", "2", "3"}},
		{store.Query{Any: []string{"a", "c"}, Kind: "other"}, []string{"6"}},
		{store.Query{All: []string{"a", "b"}}, []string{"2", "4"}},
		{store.Query{All: []string{"b", "a", "b"}}, []string{"2", "4"}},
		{store.Query{All: []string{"a", "b"}, Any: []string{"c", "d"}}, []string{"4"}},
		{store.Query{All: []string{"a"}, Any: []string{"b", "c"}, Kind: "k", Prefix: "4"}, []string{"4"}},
		{store.Query{All: []string{"a", "nothing"}}, nil},
		{store.Query{All: []string{"a", "A"}}, nil},
		{store.Query{Any: []string{"A"}}, []string{"7"}},
		{store.Query{Any: []string{"nothing"}}, nil},
		{store.Query{Any: []string{}, All: []string{}, Kind: "other"}, []string{"6"}},
	} {
		want(t, fmt.Sprintf("%+v", c.q), list(t, s, c.q), c.want)
	}
	put(t, s, doc("2", "other", `1`, "b", "d"))
	want(t, "a after the change", list(t, s, store.Query{Any: []string{"a"}}), []string{"1", "4", "6"})
	want(t, "b, d after the change", list(t, s, store.Query{All: []string{"b", "d"}, Kind: "other"}), []string{"2"})
}
