package content_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vitrine/internal/image"
	"vitrine/internal/provider/storage/content"
)

// model is what a naive service would hold: bytes by name.
type model struct {
	*world
	blobs     map[string][]byte
	committed map[string]map[int][]byte // blocks of a blob by number
	fresh     map[string]map[int][]byte
	pages     map[string]bool
}

// TestModel does random things to blobs and sweeps at random times: what is there is what a naive service would have, and at
// the end nothing is stored that nothing names.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{world: newWorld(t), blobs: map[string][]byte{}, committed: map[string]map[int][]byte{}, fresh: map[string]map[int][]byte{}, pages: map[string]bool{}}
		names := []string{"a", "a/b", "a0", "é"}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			m.step(r, rapid.SampledFrom(names).Draw(r, "name"))
			m.check(r)
		}
		m.pass(8 * 24 * time.Hour)
		m.sweep()
		m.pass(time.Hour)
		m.restart()
		m.sweep()
		m.check(r)
		pieces, files := 0, len(m.pages)
		for name, data := range m.blobs {
			if m.pages[name] {
				continue
			}
			used := map[string]bool{}
			committed, fresh, err := m.world.blobs.Blocks(t.Context(), m.at(name))
			if err != nil || len(fresh) != 0 {
				r.Fatalf("%s: %d blocks wait after a week, %v", name, len(fresh), err)
			}
			for _, p := range committed {
				used[p.UID] = p.Size > 0
			}
			pieces += len(used)
			_ = data
		}
		if p, f := m.kept(); p != pieces || f != files {
			r.Fatalf("%d pieces and %d files are kept, want %d and %d", p, f, pieces, files)
		}
	})
}

func (m *model) step(r *rapid.T, name string) {
	data := bytes.Repeat([]byte{byte('a' + rapid.IntRange(0, 25).Draw(r, "byte"))}, rapid.IntRange(1, 9).Draw(r, "size"))
	n := rapid.IntRange(0, 3).Draw(r, "block")
	gone := func() {
		delete(m.blobs, name)
		delete(m.fresh, name)
		delete(m.committed, name)
		delete(m.pages, name)
	}
	switch rapid.SampledFrom([]string{"put", "block", "block", "list", "pages", "write", "delete", "copy", "pass"}).Draw(r, "do") {
	case "put":
		m.must(m.put(name, data))
		gone()
		m.blobs[name] = data
	case "block":
		err := m.block(name, n, data)
		if m.code(err) == "" {
			if m.fresh[name] == nil {
				m.fresh[name] = map[int][]byte{}
			}
			m.fresh[name][n] = data
		}
	case "list":
		m.list(r, name)
	case "pages":
		m.must(m.world.blobs.CreatePages(m.Context(), m.box, &content.Blob{Name: name}, 1024, always))
		gone()
		m.blobs[name], m.pages[name] = make([]byte, 1024), true
	case "write":
		b, err := m.world.blobs.Head(m.Context(), m.at(name))
		if err == nil {
			_, err = m.world.blobs.WritePages(m.Context(), b, always, func(u *image.Upload, may func() error) error {
				return u.WriteIf(may, bytes.Repeat(data[:1], 512), 512)
			})
		}
		if got := m.code(err); (got == "") != m.pages[name] {
			r.Fatalf("write %s: %q", name, got)
		}
		if m.pages[name] {
			m.blobs[name] = append(make([]byte, 512), bytes.Repeat(data[:1], 512)...)
		}
	case "delete":
		got := m.code(m.world.blobs.Delete(m.Context(), m.at(name), always))
		if _, there := m.blobs[name]; (got == "") != there {
			r.Fatalf("delete %s: %q", name, got)
		}
		if got == "" {
			gone()
		}
	case "copy":
		at := m.at(name)
		got := m.code(m.world.blobs.StartCopy(m.Context(), m.box, &content.Blob{Name: name}, content.Source{At: at}, always))
		if _, there := m.blobs[name]; (got == "") != there {
			r.Fatalf("copy %s onto itself: %q", name, got)
		}
	case "pass":
		m.pass(time.Duration(rapid.IntRange(0, 30).Draw(r, "minutes")) * time.Minute)
		m.sweep()
	}
}

// list commits random blocks from random places.
func (m *model) list(r *rapid.T, name string) {
	var items []content.Item
	var want []byte
	known, chosen := true, map[int][]byte{}
	for range rapid.IntRange(0, 4).Draw(r, "items") {
		n, from := rapid.IntRange(0, 3).Draw(r, "item"), content.From(rapid.IntRange(0, 2).Draw(r, "from"))
		items = append(items, content.Item{ID: id(n), From: from})
		data, ok := m.fresh[name][n]
		if from == content.Committed || from == content.Latest && !ok {
			data, ok = m.committed[name][n]
		}
		known = known && ok
		want = append(want, data...)
		chosen[n] = data // of two blocks of one ID, the later one is known by it afterwards
	}
	got := m.code(m.world.list(name, items...))
	switch {
	case m.pages[name] && got == "InvalidBlobType":
	case (got == "") != (known && !m.pages[name]):
		r.Fatalf("list %s of %v: %q", name, items, got)
	case got == "":
		m.blobs[name], m.committed[name] = want, chosen
		delete(m.fresh, name)
	}
}

func (m *model) check(r *rapid.T) {
	list, err := m.world.blobs.List(m.Context(), m.box, "", "", 100)
	m.must(err)
	var names []string
	for _, b := range list {
		names = append(names, b.Name)
		if data, err := m.get(m.at(b.Name)); err != nil || !bytes.Equal(data, m.blobs[b.Name]) {
			r.Fatalf("%s holds %.40q, %v; want %.40q", b.Name, data, err, m.blobs[b.Name])
		}
	}
	if want := slices.Sorted(maps.Keys(m.blobs)); !slices.Equal(names, want) {
		r.Fatalf("there are %q, want %q", names, want)
	}
	var bytes int64
	for _, b := range list {
		bytes += b.Size
	}
	bytes += m.waiting()
	if held := m.held(); held != bytes {
		r.Fatalf("the quota counts %d bytes, there are %d", held, bytes)
	}
}
