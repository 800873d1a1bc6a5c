package image

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// The model: several servers publish, replicate, delete and collect the same few contents. Each access to a bucket and
// each transaction is a step; a scheduler with a seed chooses whose step comes next, and kills servers before, after and
// in the middle of steps. After every step, whatever is pinned must be there whole; at the end, nothing else may be.

var errCrash = errors.New("the server is dead")

type sim struct {
	t       *testing.T
	rng     *rand.Rand
	store   *store.Store
	buckets map[string]*blob.Bucket
	sealer  *seal.Sealer
	codec   *chunk.Codec
	dir     string
	wild    bool // servers die

	mu      sync.Mutex
	waiting []*call
	servers int // that still work
	parts   map[Ref][]string
	stats   map[string]int
	opened  []*Store
	trace   []string
}

// call is a step that waits for its turn.
type call struct {
	who, what string
	verdict   chan string
}

const (
	proceed = ""
	before  = "dies before"
	after   = "dies after"
)

// modelDisk has up to five chunks out of a pool of six: any two share some.
func modelDisk(n int) []byte {
	d := make([]byte, 10*chunk.Block)
	for i := range 5 {
		if what := (n*7 + i*(n+1)) % 6; what != 0 {
			copy(d[2*i*chunk.Block:], bytes.Repeat([]byte{byte(what)}, chunk.Block))
		}
	}
	return d
}

const (
	modelDisks = 4
	maxTrace   = 2000
)

// publisher works until it dies or has done enough; what it says it holds is in the store's pins.
func (s *server) publisher(rng *rand.Rand) {
	for n := range 3 {
		content := rng.IntN(modelDisks)
		holder := fmt.Sprintf("/%s/%d", s.name, n)
		d := modelDisk(content)
		ref, err := s.Pack(s.sim.t.Context(), "eastus", dom, bytes.NewReader(d), int64(len(d)), nil)
		if s.gaveUp(err) {
			return
		}
		if err != nil {
			continue
		}
		if !s.hold(ref, "eastus", holder) {
			continue
		}
		if rng.IntN(2) == 0 {
			err := s.Replicate(s.sim.t.Context(), ref, "eastus", "westus", nil)
			if s.gaveUp(err) {
				return
			}
			if err == nil {
				s.hold(ref, "westus", holder)
			}
		}
		if rng.IntN(3) > 0 {
			for _, region := range []string{"eastus", "westus"} {
				err := s.Store.Config.Store.Update(s.sim.t.Context(), func(tx store.Tx) error { return s.Unpin(tx, ref, region, holder) })
				if s.gaveUp(err) {
					return
				}
			}
		}
	}
}

func (s *server) hold(ref Ref, region, holder string) bool {
	err := s.Store.Config.Store.Update(s.sim.t.Context(), func(tx store.Tx) error { return s.Pin(tx, ref, region, holder) })
	if err == nil {
		s.sim.count("pins")
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.gaveUp(err)
	}
	return err == nil
}

func (s *server) collector(rng *rand.Rand) {
	for range 2 {
		_, err := s.Collect(s.sim.t.Context(), []string{"eastus", "westus"}[rng.IntN(2)])
		if s.gaveUp(err) {
			return
		}
		s.sim.count("collections")
		if rng.IntN(4) == 0 {
			if _, err := s.Keys().Rotate(s.sim.t.Context(), dom); s.gaveUp(err) {
				return
			}
		}
	}
}

// gaveUp says whether the server is dead. Any failure that the crossing of others does not explain fails the test.
func (s *server) gaveUp(err error) bool {
	switch {
	case err == nil, errors.Is(err, errSwept), errors.Is(err, ErrNotFound), errors.Is(err, errBusy):
		return false
	case errors.Is(err, errCrash):
		return true
	}
	s.sim.t.Errorf("%s: %v", s.name, err)
	return true
}

func (m *sim) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats[what]++
}

// start runs f as a server; one that dies is followed by another, twice at most.
func (m *sim) start(name string, f func(*server, *rand.Rand)) {
	m.mu.Lock()
	m.servers++
	m.mu.Unlock()
	rng := rand.New(rand.NewPCG(m.rng.Uint64(), 1))
	go func() {
		for life := range 3 {
			s := m.server(fmt.Sprintf("%s-%d", name, life))
			f(s, rng)
			m.mu.Lock()
			dead := s.dead
			m.mu.Unlock()
			if !dead {
				break
			}
		}
		m.mu.Lock()
		m.servers--
		m.mu.Unlock()
	}()
}

// run lets one server after the other do a step until all have ended.
func (m *sim) run() {
	for {
		time.Sleep(time.Millisecond) // virtual: it returns when everybody waits
		synctest.Wait()
		m.mu.Lock()
		if m.servers == 0 {
			m.mu.Unlock()
			return
		}
		if len(m.waiting) == 0 {
			m.mu.Unlock()
			time.Sleep(50 * time.Millisecond) // who waits for a sweep looks again
			continue
		}
		slices.SortFunc(m.waiting, func(a, b *call) int { return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.what, b.what)) })
		i := m.rng.IntN(len(m.waiting))
		c := m.waiting[i]
		m.waiting = slices.Delete(m.waiting, i, i+1)
		m.stats["steps"]++
		m.mu.Unlock()
		fate := proceed
		if m.wild {
			fate = [...]string{0: before, 1: after, 79: proceed}[m.rng.IntN(80)]
		}
		if len(m.trace) < maxTrace {
			m.trace = append(m.trace, fmt.Sprintf("%s %s %s", c.who, c.what, fate))
		}
		c.verdict <- fate
		synctest.Wait()
		m.check(c)
		if m.t.Failed() {
			return
		}
	}
}

// pinned lists what must be there, from the documents themselves.
func (m *sim) pinned() (list []Pinned) {
	err := m.store.View(m.t.Context(), func(tx store.Tx) (err error) {
		list, err = pinsOf(tx, dom)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return list
}

// check looks for every object of every pinned manifest.
func (m *sim) check(c *call) {
	views := m.views() // what a server that knows nothing yet would see
	for _, p := range m.pinned() {
		for _, object := range m.objects(p) {
			if _, err := views[p.Region].Stat(m.t.Context(), object); err != nil {
				m.t.Errorf("after %s of %s: %s needs %s in %s: %v", c.what, c.who, p.Holder, object, p.Region, err)
			}
		}
	}
}

// views gives the buckets without steps.
func (m *sim) views() map[string]*blob.Bucket {
	views := map[string]*blob.Bucket{}
	for region, b := range m.buckets {
		views[region] = laid(m.t, b, m.store, region)
	}
	return views
}

// objects lists the keys that a manifest needs; it reads each manifest once.
func (m *sim) objects(p Pinned) []string {
	if known := m.parts[p.Ref]; known != nil {
		return known
	}
	outside := m.outside()
	ref := p.Ref
	ref.Size = int64(len(modelDisk(0)))
	r, err := outside.Open(m.t.Context(), p.Region, ref)
	if err != nil {
		m.t.Errorf("%s pins %s in %s: %v", p.Holder, p.Ref, p.Region, err)
		return nil
	}
	list := []string{chunk.ManifestObject(dom, p.Ref.ID)}
	for _, e := range r.m.Distinct() {
		list = append(list, chunk.Object(dom, e.ID))
	}
	m.parts[p.Ref] = list
	return list
}

// outside is a server whose steps need no turn.
func (m *sim) outside() *Store {
	views := m.views()
	s, err := New(Config{Dir: m.dir, Store: m.store, Workers: 1, Sealer: m.sealer, Grace: time.Nanosecond,
		Buckets: func(region string) (*blob.Bucket, error) { return views[region], nil }})
	if err != nil {
		m.t.Fatal(err)
	}
	own := s.codec
	s.codec = m.codec
	m.remember(s, own)
	return s
}

// remember notes a server that is to end with the run; all share one codec, which is dear to make.
func (m *sim) remember(s *Store, own *chunk.Codec) {
	if err := own.Close(); err != nil {
		m.t.Error(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened = append(m.opened, s)
}

// settle collects until nothing more can go, and compares what is left with what is pinned.
func (m *sim) settle() {
	last := m.outside()
	want := map[string]bool{}
	for _, region := range []string{"eastus", "westus"} {
		time.Sleep(time.Hour)
		if _, err := last.Collect(m.t.Context(), region); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, p := range m.pinned() {
		for _, object := range m.objects(p) {
			want[p.Region+" "+object] = true
		}
		ref := p.Ref
		ref.Size = int64(len(modelDisk(0)))
		r, err := last.Open(m.t.Context(), p.Region, ref)
		if err != nil {
			m.t.Errorf("lost: %v", err)
			continue
		}
		got := read(m.t, r, ref.Size)
		if !slices.ContainsFunc([]int{0, 1, 2, 3}, func(n int) bool { return bytes.Equal(modelDisk(n), got) }) {
			m.t.Errorf("%s has become something else", p.Ref)
		}
	}
	for region, b := range m.views() {
		waste, err := b.Tidy(m.t.Context(), "chunks/", time.Now(), true)
		if err != nil || len(waste) > 0 {
			m.t.Errorf("packs in %s: %v, %v", region, waste, err)
		}
		for i, err := range b.All(m.t.Context(), "") {
			if err != nil {
				m.t.Fatal(err)
			}
			if !want[region+" "+i.Key] {
				m.t.Errorf("leaked: %s in %s", i.Key, region)
			}
		}
	}
}

// simulate runs one interleaving.
func simulate(t *testing.T, seed uint64, dir string, codec *chunk.Codec, total map[string]int) {
	sealer, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	m := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 99)), store: store.New(memstore.Open()), sealer: sealer, codec: codec, dir: dir, wild: seed%4 != 0,
		buckets: map[string]*blob.Bucket{"eastus": memblob.New(), "westus": memblob.New()}, parts: map[Ref][]string{}, stats: total}
	for i := range 2 + int(seed%2) {
		m.start(fmt.Sprintf("publisher-%d", i), (*server).publisher)
	}
	m.start("collector-0", (*server).collector)
	m.start("collector-1", (*server).collector)
	m.run()
	if !t.Failed() {
		m.settle()
	}
	for _, s := range m.opened {
		s.end()
	}
	if t.Failed() {
		m.abandon()
		t.Fatalf("seed %d, steps:\n%s", seed, strings.Join(m.trace, "\n"))
	}
}

// abandon lets everybody die.
func (m *sim) abandon() {
	for {
		synctest.Wait()
		m.mu.Lock()
		if m.servers == 0 {
			m.mu.Unlock()
			return
		}
		calls := m.waiting
		m.waiting = nil
		m.mu.Unlock()
		for _, c := range calls {
			c.verdict <- before
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestModel(t *testing.T) {
	runs, dir := 1000, t.TempDir()
	if os.Getenv("VITRINE_FULL") != "" {
		runs = 3000
	}
	if packed { // each step takes longer, and packs has interleavings of its own
		runs /= 3
	}
	if testing.Short() {
		runs = 50
	}
	cryptotest.SetGlobalRandom(t, 1) // keys, and so ids and their order, are the same in every run
	synctest.Test(t, func(t *testing.T) {
		codec, err := chunk.NewCodec(1)
		if err != nil {
			t.Fatal(err)
		}
		total := map[string]int{}
		for seed := range runs {
			simulate(t, uint64(seed), dir, codec, total)
		}
		t.Logf("%d runs: %v", runs, total)
		for _, what := range []string{"steps", "pins", "collections", "crashes"} {
			if total[what] < runs/4 {
				t.Errorf("%d %s in %d runs: the test proves nothing", total[what], what, runs)
			}
		}
		if err := codec.Close(); err != nil {
			t.Error(err)
		}
	})
}
