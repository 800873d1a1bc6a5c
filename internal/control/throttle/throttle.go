// Package throttle counts requests against limits: Resource Manager's buckets of tokens per principal and subscription, and the
// providers' windows of three and of thirty minutes per subscription.
//
// It keeps its counts in memory, each server its own, and forgets them when it ends. It knows no paths and no HTTP: control says
// what is asked, and tells the answer to the client.
//
//	Draw(who, size, rate) ─▶ tokens left, or how long to wait        Take(what, Limit) ─▶ calls left in both windows, or how long
package throttle

import (
	"sync"
	"time"
)

// Limit is how often something may be asked for by a subscription.
type Limit struct {
	Name  string // as the header names it: "CreateUpdateGallery"
	Short int    // in three minutes
	Long  int    // in thirty
}

// The windows of a Limit.
const (
	Short = 3 * time.Minute
	Long  = 30 * time.Minute
)

// maxCounts bounds the memory: whoever asks by ever new names makes the meter forget, which only ever allows more.
const maxCounts = 1 << 16

// Meter counts.
type Meter struct {
	factor int
	now    func() time.Time

	mu      sync.Mutex
	windows map[string]*windows
	tokens  map[string]*tokens
}

type windows struct {
	short, long         int // used
	shortFrom, longFrom time.Time
}

type tokens struct {
	left float64
	at   time.Time
}

// New makes a meter that allows factor times as much as its limits say.
func New(factor int, now func() time.Time) *Meter {
	return &Meter{factor: factor, now: now, windows: map[string]*windows{}, tokens: map[string]*tokens{}}
}

// Take counts a call under key. It gives what is left in both windows; when nothing was, wait says after which time another
// try makes sense, and the call does not count. window names the one that is full.
func (m *Meter) Take(key string, l Limit) (short, long int, wait time.Duration, window string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	w := m.windows[key]
	if w == nil {
		if len(m.windows) >= maxCounts {
			clear(m.windows)
		}
		w = &windows{shortFrom: now, longFrom: now}
		m.windows[key] = w
	}
	if now.Sub(w.shortFrom) >= Short || now.Before(w.shortFrom) {
		w.short, w.shortFrom = 0, now
	}
	if now.Sub(w.longFrom) >= Long || now.Before(w.longFrom) {
		w.long, w.longFrom = 0, now
	}
	mostShort, mostLong := l.Short*m.factor, l.Long*m.factor
	switch {
	case w.long >= mostLong:
		return 0, 0, Long - now.Sub(w.longFrom), l.Name + "30Min"
	case w.short >= mostShort:
		return 0, mostLong - w.long, Short - now.Sub(w.shortFrom), l.Name + "3Min"
	}
	w.short, w.long = w.short+1, w.long+1
	return mostShort - w.short, mostLong - w.long, 0, ""
}

// Draw takes a token from the bucket of key, which holds size and gains rate a second. It gives how many are left; when there was
// none, how long until there is one.
func (m *Meter) Draw(key string, size, rate int) (left int, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	most, gain := float64(size*m.factor), float64(rate*m.factor)
	t := m.tokens[key]
	if t == nil {
		if len(m.tokens) >= maxCounts {
			clear(m.tokens)
		}
		t = &tokens{left: most, at: now}
		m.tokens[key] = t
	}
	if now.After(t.at) {
		t.left = min(most, t.left+gain*now.Sub(t.at).Seconds())
	}
	t.at = now
	if t.left < 1 {
		return 0, time.Duration((1 - t.left) / gain * float64(time.Second))
	}
	t.left--
	return int(t.left), 0
}
