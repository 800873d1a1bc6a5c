package wire

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
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
	case strings.HasPrefix(path, "{next}"): // a page of a list that was counted with its first
		return ""
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

// asked are the rights of the server's own table of types and routes, as it tells them to clients: what can be done to each.
func (w *world) asked(t *testing.T) (rights []string) {
	t.Helper()
	type named struct {
		Value []struct{ Name, Namespace string }
	}
	get := func(path string) (list named) {
		_, body := w.send(t, &exchange{as: "owner", method: "GET", target: path + "?api-version=2021-04-01"})
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Value) == 0 {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
		return list
	}
	for _, p := range get("/providers").Value {
		for _, o := range get("/providers/" + p.Namespace + "/operations").Value {
			rights = append(rights, o.Name)
		}
	}
	return rights
}

// registered checks that exchanges show each right of the table both ways: used and refused. unshown names those that cannot be.
func (c coverage) registered(t *testing.T, rights []string) {
	t.Helper()
	both := 0
	for _, right := range rights {
		n := c.shown(right)
		why, excused := unshown[right]
		switch {
		case n[0] > 0 && n[1] > 0:
			both++
			if excused {
				t.Errorf("%s is shown both ways, and excused: %s", right, why)
			}
		case n[0] == 0 && !strings.HasPrefix(why, "no success:"):
			t.Errorf("the server serves %s, and no exchange shows its success", right)
		case n[1] == 0 && !strings.HasPrefix(why, "no failure:"):
			t.Errorf("the server serves %s, and no exchange shows its failure", right)
		}
	}
	t.Logf("%d operations are registered, %d of them shown both ways, %d excused", len(rights), both, len(unshown))
	for right := range unshown {
		if !slices.Contains(rights, right) {
			t.Errorf("%s is excused, and not registered", right)
		}
	}
}

const byName = "no success: it is refused by name on each machine"

// unshown are the operations of the table that lack a side, and why.
var unshown = map[string]string{
	"Microsoft.Compute/virtualMachines/redeploy/action":                     byName,
	"Microsoft.Compute/virtualMachines/reimage/action":                      byName,
	"Microsoft.Compute/virtualMachines/reapply/action":                      byName,
	"Microsoft.Compute/virtualMachines/runCommand/action":                   byName,
	"Microsoft.Compute/virtualMachines/performMaintenance/action":           byName,
	"Microsoft.Compute/virtualMachines/simulateEviction/action":             byName,
	"Microsoft.Compute/virtualMachines/convertToManagedDisks/action":        byName,
	"Microsoft.Compute/virtualMachines/assessPatches/action":                byName,
	"Microsoft.Compute/virtualMachines/installPatches/action":               byName,
	"Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action":  byName,
	"Microsoft.Compute/virtualMachines/capture/action":                      "no success: it is for machines without managed disks, which there are none of",
	"Microsoft.Resources/subscriptions/resourceGroups/moveResources/action": "no success: resources stay in their group",
}

var verbs = map[string][]string{"read": {"GET", "HEAD"}, "write": {"PUT", "PATCH"}, "delete": {"DELETE"}, "action": {"POST"}}

// shown counts the successes and the failures of an operation.
func (c coverage) shown(right string) (n [2]int) {
	i := strings.LastIndex(right, "/")
	typ := strings.TrimPrefix(right[:i], "Microsoft.Resources/")
	if !strings.HasPrefix(typ, "subscriptions") {
		typ = right[:i]
	}
	methods := verbs[right[i+1:]]
	if strings.HasSuffix(typ, "/checknameavailability") { // the one that reads by POST
		methods = verbs["action"]
	}
	for op, seen := range c {
		method, path, _ := strings.Cut(op, " ")
		path, _, _ = strings.Cut(path, " (list")
		if slices.Contains(methods, method) && strings.EqualFold(path, typ) {
			n[0], n[1] = n[0]+seen[0], n[1]+seen[1]
		}
	}
	return n
}
