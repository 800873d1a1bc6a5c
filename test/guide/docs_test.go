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

// pages are all pages for readers, by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	read := func(path string) {
		raw, err := os.ReadFile(filepath.Join(playbook.Root(t), path))
		if err != nil {
			t.Fatal(err)
		}
		found[path] = string(raw)
	}
	read("README.md")
	read("CONTRIBUTING.md")
	err := fs.WalkDir(os.DirFS(playbook.Root(t)), "docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestLinks follows every link between pages, its heading included.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join(playbook.Root(t), target)); err != nil {
				t.Errorf("%s: %s is not there", page, m[1])
			} else if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s: %s has no heading %q", page, target, anchor)
			}
		}
	}
}

// anchors are the headings of a page as links name them.
func anchors(text string) (found []string) {
	other := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		found = append(found, strings.ReplaceAll(other.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return found
}

// TestCommandsExist asks the program whether it has every subcommand and flag that a page shows.
func TestCommandsExist(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "vitrine")
	harness.Build(t, bin)
	helps := map[string]string{}
	help := func(command string) string {
		if _, known := helps[command]; !known {
			out, _ := exec.Command(bin, append(strings.Fields(command), "--help")...).Output() // what is unknown has no help
			helps[command] = string(out)
		}
		return helps[command]
	}
	checked := 0
	shown := regexp.MustCompile(`\bvitrine((?: +[^\s"'|;&()` + "`" + `]+)+)`)
	for page, text := range pages(t) {
		text = strings.ReplaceAll(text, "\\\n", " ")
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			command, flags := parse(strings.Fields(m[1]), func(command string) bool { return strings.Contains(help(command), "\nAvailable Commands:") })
			if command == "" {
				continue
			}
			checked++
			if !strings.Contains(help(command), "vitrine "+command) {
				t.Errorf("%s: there is no command %q", page, "vitrine "+command)
			}
			for _, flag := range flags {
				if !regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).MatchString(help(command)) {
					t.Errorf("%s: vitrine %s has no flag %s", page, command, flag)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands were found in the pages", checked)
	}
}

// parse splits a command line into subcommands and flags; what follows "--" is another program's. group says whether a command has
// commands below it.
func parse(words []string, group func(command string) bool) (command string, flags []string) {
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w == "--":
			return command, flags
		case w == "--data":
			i++
		case strings.HasPrefix(w, "--"):
			name, _, _ := strings.Cut(w, "=")
			flags = append(flags, name)
		case command == "" && w != "vitrine" && regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(w):
			command = w
		case !strings.Contains(command, " ") && regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(w) && group(command):
			command += " " + w
		}
	}
	return command, flags
}

// TestNamesExist looks for every test and every path of the repository that a page names: a proof that is gone is none.
func TestNamesExist(t *testing.T) {
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	err := filepath.WalkDir(playbook.Root(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(raw, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	test := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	path := regexp.MustCompile("(?:^|[\\s`(])((?:bench|changelog|cmd|docs|guest|internal|scripts|test)/[\\w./-]*\\w)")
	checked := 0
	for page, text := range pages(t) {
		for _, name := range test.FindAllString(text, -1) {
			if checked++; !tests[name] {
				t.Errorf("%s: there is no %s", page, name)
			}
		}
		for _, m := range path.FindAllStringSubmatch(text, -1) {
			checked++
			if _, err := os.Stat(filepath.Join(playbook.Root(t), m[1])); err != nil {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d names were found in the pages", checked)
	}
}
