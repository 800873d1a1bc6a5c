package throttle_test

import (
	"fmt"
	"testing"
	"time"

	"vitrine/internal/control/throttle"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestTake(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	m := throttle.New(1, c.now)
	l := throttle.Limit{Name: "Get", Short: 2, Long: 3}
	for i, want := range []struct {
		pass        time.Duration
		short, long int
		wait        time.Duration
		window      string
	}{
		{0, 1, 2, 0, ""}, {time.Minute, 0, 1, 0, ""}, {time.Minute, 0, 1, time.Minute, "Get3Min"}, {time.Minute, 1, 0, 0, ""},
		{0, 0, 0, 27 * time.Minute, "Get30Min"}, {27 * time.Minute, 1, 2, 0, ""},
	} {
		c.t = c.t.Add(want.pass)
		short, long, wait, window := m.Take("a", l)
		if short != want.short || long != want.long || wait != want.wait || window != want.window {
			t.Errorf("%d: %d %d %v %q, want %+v", i, short, long, wait, window, want)
		}
	}
	if short, _, _, _ := m.Take("b", l); short != 1 {
		t.Error("keys share their counts")
	}
	if short, long, _, _ := throttle.New(10, c.now).Take("a", l); short != 19 || long != 29 {
		t.Error(short, long)
	}
}

func TestDraw(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	m := throttle.New(1, c.now)
	for i, want := range []struct {
		pass time.Duration
		left int
		wait time.Duration
	}{{0, 1, 0}, {0, 0, 0}, {0, 0, 500 * time.Millisecond}, {500 * time.Millisecond, 0, 0}, {time.Hour, 1, 0}, {-time.Hour, 0, 0}} {
		c.t = c.t.Add(want.pass)
		if left, wait := m.Draw("a", 2, 2); left != want.left || wait != want.wait {
			t.Errorf("%d: %d %v, want %+v", i, left, wait, want)
		}
	}
}

// Ever new names do not make it grow for ever.
func TestBounded(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	m := throttle.New(1, c.now)
	for i := range 1<<16 + 10 {
		m.Draw(fmt.Sprint(i), 1, 1)
	}
	if _, wait := m.Draw("0", 1, 1); wait != 0 {
		t.Error("the meter remembers all names")
	}
	if _, wait := m.Draw(fmt.Sprint(1<<16+9), 1, 1); wait == 0 {
		t.Error("the meter remembers none")
	}
}
