package wire

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
)

// coverage counts exchanges by operation: what succeeded and what was refused.
type coverage map[string]*[2]int

func (c coverage) add(x *exchange) {
	op := operation(x)
	if op == "" {
		return
	}
	if c[op] == nil {
		c[op] = &[2]int{}
	}
	if x.want.status < 400 {
		c[op][0]++
	} else {
		c[op][1]++
	}
}

// operation names what a request asks for: its method and the path without names. A place where work is followed is named by its kind.
func operation(x *exchange) string {
	path, query, _ := strings.Cut(x.target, "?")
	switch {
	case strings.HasPrefix(path, "{async}"), strings.Contains(path, "/capsOperations/"):
		return "GET status of an operation"
	case strings.HasPrefix(path, "{location}"):
		return "GET result of an operation"
	case strings.HasPrefix(path, "{sas}"):
		return x.method + " bytes of a disk" + comp(query+path)
	case strings.HasPrefix(path, "https://"):
		parts := strings.SplitN(strings.TrimPrefix(path, "https://"), "/", 3)
		what := []string{"blob account", "blob container", "blob"}[len(parts)-1-btoi(len(parts) == 2 && parts[1] == "")]
		return x.method + " " + what + comp(query)
	}
	head, tail, ok := strings.Cut(path, "/providers/")
	if i := strings.LastIndex(path, "/providers/Microsoft.Authorization/"); i >= 0 {
		head, tail, ok = path[:i], path[i+len("/providers/"):], true
	}
	parts := strings.Split(strings.Trim(head, "/"), "/")
	if ok {
		ns, rest, _ := strings.Cut(tail, "/")
		if rest == "" {
			return x.method + " providers/{namespace}"
		}
		if rest == "register" {
			return x.method + " providers/{namespace}/register"
		}
		return x.method + " " + ns + "/" + types(x.method, strings.Split(rest, "/"), head == "" || len(parts) > 2 || ns == "Microsoft.Authorization")
	}
	return x.method + " " + types(x.method, parts, false)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// comp is what the Blob service tells its operations apart by.
func comp(query string) string {
	for _, term := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == '}' }) {
		if v, ok := strings.CutPrefix(term, "comp="); ok {
			return "?comp=" + v
		}
	}
	return ""
}

// types keeps of type, name, type, name … the types; a list is told by its end.
func types(method string, parts []string, inGroup bool) string {
	var out []string
	for i, p := range parts {
		if i%2 == 0 {
			out = append(out, p)
		}
	}
	s := strings.Join(out, "/")
	switch {
	case len(parts)%2 == 0:
		return s
	case method != "GET": // an action
		return s
	case parts[0] == "subscriptions" || inGroup || len(parts) > 1:
		return s + " (list)"
	}
	return s + " (list in the subscription)"
}

// report prints operations × {success, failure} and compares it with the list of what must be there. A line of that list is an
// operation; after " - " stands which side is left out, and why.
func (c coverage) report(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, line := range strings.Split(string(raw), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		op, without, _ := strings.Cut(line, " - ")
		listed[op] = true
		n := c[op]
		if n == nil {
			n = &[2]int{}
		}
		if n[0] == 0 && !strings.HasPrefix(without, "no success:") {
			t.Errorf("no exchange shows the success of %s", op)
		}
		if n[1] == 0 && !strings.HasPrefix(without, "no failure:") {
			t.Errorf("no exchange shows a failure of %s", op)
		}
	}
	var ops []string
	both := 0
	for op, n := range c {
		if !listed[op] {
			t.Errorf("testdata/operations.txt does not name %s", op)
		}
		if n[0] > 0 && n[1] > 0 {
			both++
		}
		ops = append(ops, op)
	}
	sort.Slice(ops, func(i, j int) bool {
		_, a, _ := strings.Cut(ops[i], " ")
		_, b, _ := strings.Cut(ops[j], " ")
		return a+ops[i] < b+ops[j]
	})
	var out strings.Builder
	fmt.Fprintf(&out, "%-78s success  failure\n", fmt.Sprintf("%d operations, %d of them both ways", len(ops), both))
	for _, op := range ops {
		fmt.Fprintf(&out, "%-78s %7d  %7d\n", op, c[op][0], c[op][1])
	}
	t.Log("\n" + out.String())
	left(t, "wire.txt", out.String())
}
