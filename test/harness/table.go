package harness

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Step is one command. {name} in it stands for what an earlier one left.
type Step struct {
	Args string // of az, cut at blanks; %20 is a blank in a word, %22 a double quote
	Want Want   //
	Save Save   //
	Exit int
	Says string // in what az prints to its standard error or, with -o table, to its output
}

// Want is path in az's JSON → value; "" for what must be null or absent, "len:n" for a list's length, "*" for anything, and
// "~…" for a regular expression that the whole value matches.
type Want = map[string]string

// Save is name → path.
type Save = map[string]string

// Walk runs steps in order; names grow by what they save. The first step whose result a later one needs and that fails ends it.
func (h *Shell) Walk(t *testing.T, who string, steps []Step, names map[string]string) {
	t.Helper()
	for _, st := range steps {
		line := fill(st.Args, names)
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.NewReplacer("%20", " ", "%22", `"`).Replace(args[i])
		}
		if !strings.Contains(line, "-o table") {
			args = append(args, "-o", "json")
		}
		r := h.Az(t, args...)
		where := who + ": az " + line
		if r.Code != st.Exit || !strings.Contains(r.Out+r.Err, fill(st.Says, names)) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", where, r.Code, st.Exit, fill(st.Says, names), r.Out, r.Err)
			if st.Save != nil {
				t.FailNow()
			}
			continue
		}
		judge(t, where, r.Out, st, names)
	}
}

func judge(t *testing.T, where, out string, st Step, names map[string]string) {
	t.Helper()
	if st.Want == nil && st.Save == nil {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Errorf("%s: %v\n%s", where, err, out)
		return
	}
	for path, want := range st.Want {
		got := v
		if path != "" {
			got = at(map[string]any{"": v}, "."+path)
			if object, ok := v.(map[string]any); ok && strings.HasPrefix(path, "@odata.") {
				got = object[path]
			}
		}
		if want = fill(want, names); !fits(got, want) {
			t.Errorf("%s: %s is %v, want %s\n%s", where, path, got, want, out)
		}
	}
	for name, path := range st.Save {
		names[name] = fmt.Sprint(at(map[string]any{"": v}, "."+path))
	}
}

func fits(got any, want string) bool {
	if n, ok := strings.CutPrefix(want, "len:"); ok {
		list, isList := got.([]any)
		return isList && fmt.Sprint(len(list)) == n
	}
	if pattern, ok := strings.CutPrefix(want, "~"); ok {
		return got != nil && regexp.MustCompile("^(?:"+pattern+")$").MatchString(fmt.Sprint(got))
	}
	switch want {
	case "":
		return got == nil
	case "*":
		return got != nil
	}
	return fmt.Sprint(got) == want
}

func fill(text string, names map[string]string) string {
	for name, value := range names {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}
