package memstore

import (
	"bytes"
	"slices"
	"strings"

	"vitrine/internal/store"
)

type tx struct {
	m      *memory
	writes bool
	undo   []func()
}

func (t *tx) rollback() {
	for _, f := range slices.Backward(t.undo) {
		f()
	}
}

func clone(d store.Document) store.Document {
	d.Terms, d.Body = slices.Clone(d.Terms), bytes.Clone(d.Body)
	return d
}

func (t *tx) Revision() (int64, error) { return t.m.revision, nil }

func (t *tx) Get(key string) (store.Document, error) {
	r := t.m.docs[key]
	if r == nil {
		return store.Document{}, store.ErrNotFound
	}
	return clone(r.Document), nil
}

func (t *tx) List(q store.Query) ([]store.Document, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	var found []store.Document
	for _, key := range t.candidates(q) {
		if !strings.HasPrefix(key, q.Prefix) {
			if key > q.Prefix {
				break
			}
			continue
		}
		if r := t.m.docs[key]; key > q.After && t.selects(q, r) {
			found = append(found, clone(r.Document))
		}
		if q.Limit > 0 && len(found) == q.Limit {
			break
		}
	}
	return found, nil
}

// candidates returns sorted keys, among them all that q selects.
func (t *tx) candidates(q store.Query) []string {
	terms := q.Any
	if len(q.All) > 0 {
		terms = q.All[:1]
	}
	if len(terms) == 0 {
		from, _ := slices.BinarySearch(t.m.keys, max(q.Prefix, q.After))
		return t.m.keys[from:]
	}
	var keys []string
	for _, term := range terms {
		for key := range t.m.terms[term] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (t *tx) selects(q store.Query, r *record) bool {
	has := func(term string) bool { _, ok := t.m.terms[term][r.Key]; return ok }
	if q.Kind != "" && q.Kind != r.Kind || len(q.Any) > 0 && !slices.ContainsFunc(q.Any, has) {
		return false
	}
	return !slices.ContainsFunc(q.All, func(term string) bool { return !has(term) })
}

func (t *tx) Put(d store.Document) (int64, error) {
	if !t.writes {
		return 0, store.ErrReadOnly
	}
	d, err := d.Normal()
	if err != nil {
		return 0, err
	}
	old := t.m.docs[d.Key]
	if old == nil && d.ETag != 0 || old != nil && old.ETag != d.ETag {
		return 0, store.ErrConflict
	}
	d.ETag = t.log(store.Change{Key: d.Key, Kind: d.Kind})
	next := &record{Document: d, created: d.ETag}
	if old != nil {
		next.created, next.owner, next.attempt, next.until = old.created, old.owner, old.attempt, old.until
	}
	t.replace(d.Key, next)
	return d.ETag, nil
}

func (t *tx) Delete(key string, etag int64) error {
	if !t.writes {
		return store.ErrReadOnly
	}
	old := t.m.docs[key]
	if old == nil {
		return store.ErrNotFound
	}
	if etag != 0 && etag != old.ETag {
		return store.ErrConflict
	}
	t.log(store.Change{Key: key, Kind: old.Kind, Deleted: true})
	t.replace(key, nil)
	return nil
}

func (t *tx) Fence(l store.Lease) error {
	if !t.m.docs[l.Key].held(l, now()) {
		return store.ErrLease
	}
	return nil
}

func (t *tx) log(c store.Change) int64 {
	m := t.m
	m.revision++
	c.Revision = m.revision
	m.changes = append(m.changes, c)
	t.undo = append(t.undo, func() {
		m.revision--
		m.changes = m.changes[:len(m.changes)-1]
	})
	return c.Revision
}

func (t *tx) replace(key string, next *record) {
	old := t.m.docs[key]
	t.m.set(key, old, next)
	t.undo = append(t.undo, func() { t.m.set(key, next, old) })
}

// set puts next in the place of old, either may be nil, in the map and every index.
func (m *memory) set(key string, old, next *record) {
	if old != nil {
		delete(m.docs, key)
		delete(m.due, key)
		for _, term := range old.Terms {
			delete(m.terms[term], key)
			if len(m.terms[term]) == 0 {
				delete(m.terms, term)
			}
		}
	}
	if next != nil {
		m.docs[key] = next
		if !next.Due.IsZero() {
			m.due[key] = struct{}{}
		}
		for _, term := range next.Terms {
			if m.terms[term] == nil {
				m.terms[term] = map[string]struct{}{}
			}
			m.terms[term][key] = struct{}{}
		}
	}
	i, there := slices.BinarySearch(m.keys, key)
	switch {
	case next != nil && !there:
		m.keys = slices.Insert(m.keys, i, key)
	case next == nil && there:
		m.keys = slices.Delete(m.keys, i, i+1)
	}
}
