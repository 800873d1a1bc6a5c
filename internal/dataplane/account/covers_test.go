package account

import "testing"

// TestCovers: whatever a path says, a service SAS is judged by what the operation is on.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		resource        string
		container, blob string
		typ             byte
		want            bool
	}{
		{"b", "box", "b", 'o', true}, {"b", "box", "b", 'c', false}, {"b", "box", "b", 's', false}, {"b", "box", "b", 0, false}, {"b", "box", "", 'o', false}, {"b", "box", "", 'c', false},
		{"c", "box", "b", 'o', true}, {"c", "box", "", 'c', true}, {"c", "box", "", 's', false}, {"c", "", "", 'c', false}, {"c", "box", "b", 0, false},
		{"", "box", "b", 'o', false}, {"d", "box", "b", 'o', false},
	} {
		s := sas{permissions: "racwdl", resource: c.resource}
		x := &exchange{container: c.container, blob: c.blob}
		if got := s.may(x, right{letter: 'l', typ: c.typ}) == nil; got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}
