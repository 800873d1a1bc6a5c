package guide

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitrine/test/harness"
	"vitrine/test/playbook"
)

const azPage = "docs/compatibility/az.md"

// families are the groups of az that docs/compatibility/az.md lists command by command.
var families = []string{"deployment", "disk", "group", "image", "provider", "resource", "sig", "snapshot", "storage", "tag"}

// known are the commands of az in its families, and the first of the two versions that has each: testdata/az.txt.
func known(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "az.txt"))
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		version, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		commands[command] = version
	}
	return commands
}

// row is one of the page's.
type row struct {
	commands     []string
	newer, older string   // states
	shown        []string // folders of tests
	text         string
}

// rows reads the page's table. Its first column names commands as a shell would expand them, or all of a group: `sig {show,list}`, `image builder *`.
func rows(t *testing.T, all map[string]string) (found []row) {
	t.Helper()
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(pages(t)[azPage]) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.Contains(cells[0], "`") {
			continue
		}
		r := row{newer: strings.TrimSpace(cells[1]), older: strings.TrimSpace(cells[2]), text: strings.TrimSpace(line)}
		for _, m := range code.FindAllStringSubmatch(cells[0], -1) {
			r.commands = append(r.commands, expand(m[1], all)...)
		}
		for _, m := range code.FindAllStringSubmatch(cells[3], -1) {
			r.shown = append(r.shown, m[1])
		}
		found = append(found, r)
	}
	return found
}

// expand gives the commands that a pattern stands for.
func expand(pattern string, all map[string]string) (commands []string) {
	if before, rest, ok := strings.Cut(pattern, "{"); ok {
		choices, after, _ := strings.Cut(rest, "}")
		for choice := range strings.SplitSeq(choices, ",") {
			commands = append(commands, expand(before+choice+after, all)...)
		}
		return commands
	}
	group, ok := strings.CutSuffix(pattern, "*")
	if !ok {
		return []string{pattern}
	}
	for command := range all {
		if strings.HasPrefix(command, group) {
			commands = append(commands, command)
		}
	}
	slices.Sort(commands)
	return commands
}

// TestAzPage holds the page to az's own list of commands, and each row to the tests that it names: what works is typed there.
func TestAzPage(t *testing.T) {
	all, listed := known(t), map[string]bool{}
	tests := typist{all, map[string]string{}}
	for _, r := range rows(t, all) {
		typed := 0
		for _, command := range r.commands {
			switch version := all[command]; {
			case version == "":
				t.Errorf("%s: az has no command %q", azPage, command)
			case listed[command]:
				t.Errorf("%s: %q has two rows", azPage, command)
			case r.older == "absent" && version != "2.74", strings.HasPrefix(r.older, "works") && version == "2.74":
				t.Errorf("%s: %q came with az %s, but its row says %q of 2.45", azPage, command, version, r.older)
			}
			listed[command] = true
			if slices.ContainsFunc(r.shown, func(dir string) bool { return tests.types(t, dir, command) }) {
				typed++
			} else if !strings.HasPrefix(r.newer, "no") {
				t.Errorf("%s: no test in %v types %q", azPage, r.shown, command)
			}
		}
		if typed == 0 {
			t.Errorf("%s: no test in %v types anything of %q", azPage, r.shown, r.text)
		}
		for _, state := range []string{r.newer, r.older} {
			if word, _, _ := strings.Cut(state, ":"); !slices.Contains([]string{"works", "partly", "no", "absent", "not tried"}, word) {
				t.Errorf("%s: %q is no state", azPage, state)
			}
		}
	}
	for command := range all {
		if !listed[command] {
			t.Errorf("%s: %q has no row", azPage, command)
		}
	}
}

// typist knows what the tests of each folder type.
type typist struct {
	all   map[string]string
	texts map[string]string // by folder
}

// types tells whether the tests of a folder have a command in them, and not only a longer one.
func (y typist) types(t *testing.T, dir, command string) bool {
	t.Helper()
	if _, read := y.texts[dir]; !read {
		var text strings.Builder
		err := fs.WalkDir(os.DirFS(filepath.Join(playbook.Root(t), dir)), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(filepath.Join(playbook.Root(t), dir, path))
			text.Write(raw)
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", azPage, err)
		}
		y.texts[dir] = text.String()
	}
	for _, m := range regexp.MustCompile("[\"` ]"+regexp.QuoteMeta(command)+"[\"` ]([a-z-]*)").FindAllStringSubmatch(y.texts[dir], -1) {
		if longer := command + " " + m[1]; m[1] == "" || y.all[longer] == "" && !hasPrefix(y.all, longer+" ") {
			return true
		}
	}
	return false
}

func hasPrefix(all map[string]string, prefix string) bool {
	for command := range all {
		if strings.HasPrefix(command, prefix) {
			return true
		}
	}
	return false
}

// TestAzList holds testdata/az.txt to the list that az itself has.
func TestAzList(t *testing.T) {
	for version, find := range map[string]func(*testing.T) string{"2.74": harness.Az, "2.45": harness.Older} {
		t.Run(version, func(t *testing.T) {
			lister, err := filepath.Abs(filepath.Join("testdata", "list"))
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(find(t), "version")
			c.Env = append(os.Environ(), "PYTHONPATH="+lister, "AZURE_CONFIG_DIR="+t.TempDir())
			out, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			var has, want []string
			for line := range strings.Lines(string(out)) {
				if family, _, _ := strings.Cut(line, " "); slices.Contains(families, family) {
					has = append(has, strings.TrimSpace(line))
				}
			}
			for command, since := range known(t) {
				if since <= version {
					want = append(want, command)
				}
			}
			slices.Sort(want)
			if !slices.Equal(has, want) {
				t.Errorf("az %s has %d commands in its families, testdata/az.txt %d: write what it prints there\n%s", version, len(has), len(want), strings.Join(has, "\n"))
			}
		})
	}
}
