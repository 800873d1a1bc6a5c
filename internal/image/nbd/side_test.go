package nbd

import (
	"errors"
	"strings"
	"testing"
)

// inParts reads in parts that lie elsewhere, and counts those that are held.
type inParts struct {
	memory
	parts []string
	held  int
	err   error
}

func (r *inParts) ReadParts([]byte, int64) (parts [][]byte, release func(), err error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	for _, p := range r.parts {
		parts = append(parts, []byte(p))
	}
	r.held++
	return parts, func() { r.held-- }, nil
}

func TestParts(t *testing.T) {
	for _, test := range []struct {
		name string
		r    inParts
		off  uint64
		want string
	}{
		{"several", inParts{parts: []string{"a", "", "bc"}}, 2, answer(0, "abc")},
		{"too few bytes", inParts{parts: []string{"ab"}}, 2, answer(errIO, "")},
		{"a failure", inParts{err: errors.New("damaged")}, 2, answer(errIO, "")},
		{"beyond the end", inParts{parts: []string{"abc"}}, 8, answer(errInvalid, "")},
		{"far beyond the end", inParts{parts: []string{"abc"}}, 1 << 63, answer(errInvalid, "")},
	} {
		s := &script{Reader: strings.NewReader(hello + option(optGo, naming("a/b")) + request(cmdRead, test.off, 3, ""))}
		_ = ServeNamed(s, named(Export{Size: 10, Reader: &test.r})) // what failed is in the answer
		if said := s.said.String(); !strings.HasSuffix(said, test.want) {
			t.Errorf("%s: %q does not end with %q", test.name, said, test.want)
		}
		if test.r.held != 0 {
			t.Errorf("%s: %d reads were not released", test.name, test.r.held)
		}
	}
}
