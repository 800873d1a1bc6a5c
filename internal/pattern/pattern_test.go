package pattern

import (
	"slices"
	"testing"
)

func TestPattern(t *testing.T) {
	p := New(`^(a+)(b?)$`)
	if !p.MatchString("aab") || p.MatchString("aabb") || p.String() != `^(a+)(b?)$` {
		t.Error("it is another expression")
	}
	if got := p.FindStringSubmatch("aab"); !slices.Equal(got, []string{"aab", "aa", "b"}) {
		t.Errorf("%q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a malformed expression matches")
		}
	}()
	New(`(`).MatchString("")
}
