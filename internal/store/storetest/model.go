package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vitrine/internal/store"
)

// model is the naive store: a map, and what the feed must say.
type model struct {
	docs     map[string]store.Document
	feed     []store.Change
	revision int64
}

func (m model) copy() model {
	docs := map[string]store.Document{}
	for k, d := range m.docs {
		docs[k] = d
	}
	return model{docs, slices.Clone(m.feed), m.revision}
}

func (m *model) put(d store.Document) (int64, error) {
	if m.docs[d.Key].ETag != d.ETag {
		return 0, store.ErrConflict
	}
	m.revision++
	d.ETag = m.revision
	d.Terms = slices.Compact(slices.Sorted(slices.Values(d.Terms)))
	m.docs[d.Key] = d
	m.feed = append(m.feed, store.Change{Revision: d.ETag, Key: d.Key, Kind: d.Kind})
	return d.ETag, nil
}

func (m *model) delete(key string, etag int64) error {
	d, ok := m.docs[key]
	switch {
	case !ok:
		return store.ErrNotFound
	case etag != 0 && etag != d.ETag:
		return store.ErrConflict
	}
	m.revision++
	delete(m.docs, key)
	m.feed = append(m.feed, store.Change{Revision: m.revision, Key: key, Kind: d.Kind, Deleted: true})
	return nil
}

func (m *model) list(q store.Query) []store.Document {
	var found []store.Document
	for _, d := range m.docs {
		has := func(t string) bool { return slices.Contains(d.Terms, t) }
		hasNot := func(t string) bool { return !has(t) }
		if strings.HasPrefix(d.Key, q.Prefix) && d.Key > q.After && (q.Kind == "" || q.Kind == d.Kind) &&
			(len(q.Any) == 0 || slices.ContainsFunc(q.Any, has)) && !slices.ContainsFunc(q.All, hasNot) {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b store.Document) int { return strings.Compare(a.Key, b.Key) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found
}

var errUndo = errors.New("undo")

// testModel: random transactions have on the store the outcome that they have on the model. The store is opened once
// and emptied before each run, so that back-ends that start slowly can play too.
func testModel(t *testing.T, s *store.Store) {
	rapid.Check(t, func(r *rapid.T) {
		m := model{docs: map[string]store.Document{}, revision: empty(t, s)}
		start := m.revision
		for range rapid.IntRange(1, 8).Draw(r, "transactions") {
			trial, undo := m.copy(), rapid.IntRange(0, 3).Draw(r, "undo") == 0
			plan := rapid.SliceOfN(rapid.Custom(drawStep), 1, 6).Draw(r, "steps")
			err := s.Update(t.Context(), func(tx store.Tx) error {
				trial = m.copy()
				for _, step := range plan {
					if diff := step(tx, &trial); diff != "" {
						return errors.New(diff)
					}
				}
				if undo {
					return errUndo
				}
				return nil
			})
			switch {
			case undo && errors.Is(err, errUndo):
			case err != nil:
				r.Fatal(err)
			default:
				m = trial
			}
		}
		feed, err := s.Changes(t.Context(), start, 0)
		if d := cmp.Diff(m.feed, feed); d != "" || err != nil {
			r.Fatalf("feed: %v\n%s", err, d)
		}
		if got := revision(t, s); got != m.revision {
			r.Fatalf("revision %d, want %d", got, m.revision)
		}
	})
}

func empty(t *testing.T, s *store.Store) int64 {
	update(t, s, func(tx store.Tx) error {
		docs, err := tx.List(store.Query{})
		for _, d := range docs {
			err = errors.Join(err, tx.Delete(d.Key, d.ETag))
		}
		return err
	})
	return revision(t, s)
}

// A step acts on both and says how they differ.
type step func(store.Tx, *model) string

func drawStep(r *rapid.T) step {
	key := rapid.SampledFrom([]string{"a", "a/b", "a/B", "a_b", "a%", "b", "é"}).Draw(r, "key")
	kind := rapid.SampledFrom([]string{"k", "l"})
	terms := rapid.SliceOfN(rapid.SampledFrom([]string{"s", "t", "T", "u"}), 0, 3)
	wrong := rapid.IntRange(0, 4).Draw(r, "wrong ETag") == 0
	etag := func(m *model) int64 {
		if e := m.docs[key].ETag; !wrong {
			return e
		}
		return m.revision + 1
	}
	switch rapid.IntRange(0, 6).Draw(r, "what") {
	case 0, 1, 2:
		d := store.Document{Key: key, Kind: kind.Draw(r, "kind"), Terms: terms.Draw(r, "terms"), Body: []byte(`{"n": 1}`)}
		return func(tx store.Tx, m *model) string {
			d.ETag = etag(m)
			got, gotErr := tx.Put(d)
			exp, expErr := m.put(d)
			return differ("Put", got, exp, gotErr, expErr)
		}
	case 3:
		return func(tx store.Tx, m *model) string {
			e := etag(m)
			return differ("Delete", 0, 0, tx.Delete(key, e), m.delete(key, e))
		}
	case 4:
		return func(tx store.Tx, m *model) string {
			got, gotErr := tx.Get(key)
			exp, ok := m.docs[key]
			if !ok {
				return differ("Get", got.ETag, 0, gotErr, store.ErrNotFound)
			}
			return cmp.Diff(exp, got) + differ("Get", 0, 0, gotErr, nil)
		}
	default:
		q := store.Query{Any: terms.Draw(r, "any"), All: terms.Draw(r, "all"), Limit: rapid.IntRange(0, 3).Draw(r, "limit")}
		q.Kind = rapid.SampledFrom([]string{"", "k", "l"}).Draw(r, "query kind")
		q.Prefix = rapid.SampledFrom([]string{"", "a", "a/", "a_", "é", "z"}).Draw(r, "prefix")
		q.After = rapid.SampledFrom([]string{"", "a", "a/B", "a/z"}).Draw(r, "after")
		return func(tx store.Tx, m *model) string {
			got, err := tx.List(q)
			return cmp.Diff(m.list(q), got) + differ("List", 0, 0, err, nil)
		}
	}
}

func differ(what string, got, exp int64, gotErr, expErr error) string {
	if got != exp || !errors.Is(gotErr, expErr) {
		return fmt.Sprintf("%s: got %d, %v; want %d, %v", what, got, gotErr, exp, expErr)
	}
	return ""
}
