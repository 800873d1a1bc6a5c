package guide

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/test/playbook"
)

// TestInstall executes the commands of install.md: the same lines, with a private folder, a free port and a real S3 server.
func TestInstall(t *testing.T) {
	s := playbook.NewStage(t)
	gateway := s3test.Start(t, "images")
	page := playbook.Read(t, "docs/guide/install.md")
	data, port := s.At("home/data"), "8440"
	var run playbook.Page
	for _, b := range page.Blocks {
		if b.Kind != "console" {
			continue
		}
		text := strings.NewReplacer("/var/lib/vitrine", data, "store.example:9000", "http://"+gateway.Address, "/etc/vitrine/s3", gateway.Credentials).Replace(b.Text)
		b.Kind, b.Text = "sh", ""
		for line := range strings.Lines(text) {
			switch command, ok := strings.CutPrefix(line, "$ "); {
			case ok && strings.HasPrefix(command, "vitrine serve "):
				b.Text += fmt.Sprintf("%s --listen 127.0.0.1:0 --accel tcg >said 2>server.log &\nserver=$!\nuntil [ -s said ]; do kill -0 $server; sleep 0.1; done\n", strings.TrimSpace(command))
			case ok:
				b.Text += command
			case !regexp.MustCompile(`^ready: proxy http://127\.0\.0\.1:` + port + `, operator socket ` + regexp.QuoteMeta(data) + `/run/operator\.sock\n$`).MatchString(line):
				t.Errorf("%s: %q is not checked by anything", b.At(), line)
			default: // the line that serve prints, but for the port
				b.Text += "sed 's/127.0.0.1:[0-9]*/127.0.0.1:" + port + "/' said\n"
				b.Output = &line
			}
		}
		run.Blocks = append(run.Blocks, b)
	}
	if len(run.Blocks) != 4 {
		t.Fatalf("%d console blocks, want 4: serve, the operator's commands, quotas, an object store", len(run.Blocks))
	}
	contoso, quota := "…\n… contoso …\n", "…\n… contoso … 2199023255552 …\n"
	run.Blocks[1].Output, run.Blocks[2].Output = &contoso, &quota
	end := playbook.Block{Page: page.Name, Kind: "sh", Text: "kill $server\nwait $server\nrm said\n"}
	run.Blocks = slices.Insert(run.Blocks, 3, end)
	run.Blocks = append(run.Blocks, end)
	s.Run(run)
}

// TestClients executes clients.md on the server and with the tenants of the first walk.
func TestClients(t *testing.T) {
	s := playbook.NewStage(t, "curl")
	walk := playbook.Read(t, "docs/guide/first-walk.md").Until(t, "## 3. An image version")
	end := playbook.Page{Name: "the end", Blocks: []playbook.Block{{Page: "the end", Kind: "sh", Text: "kill $server\nwait $server\n"}}}
	s.Run(walk, playbook.Read(t, "docs/guide/clients.md"), end)
	if left := s.Left(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// TestImportExport executes import-export.md on the server and with the tenants of the first walk.
func TestImportExport(t *testing.T) {
	s := playbook.NewStage(t, "gzip")
	walk := playbook.Read(t, "docs/guide/first-walk.md").Until(t, "## 3. An image version")
	end := playbook.Page{Name: "the end", Blocks: []playbook.Block{{Page: "the end", Kind: "sh", Text: "kill $server\nwait $server\n"}}}
	s.Run(walk, playbook.Read(t, "docs/guide/import-export.md"), end)
	if left := s.Left(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// TestNothingUntested finds blocks of guides that nothing executes.
func TestNothingUntested(t *testing.T) {
	allowed := map[string]int{
		"docs/guide/first-walk.md console": 1, // builds the program and the guest, as make test did before
		"docs/guide/install.md console":    4, // TestInstall
		"docs/guide/install.md ini":        2, // a service's files, no commands
	}
	found := map[string]int{}
	for name := range pages(t) {
		if !strings.HasPrefix(name, "docs/guide/") {
			continue
		}
		for _, b := range playbook.Read(t, name).Unexecuted() {
			kind := name + " " + b.Kind
			if found[kind]++; found[kind] > allowed[kind] {
				t.Errorf("%s: nothing executes this block (%q)", b.At(), b.Kind)
			}
		}
	}
	executed := []string{"clients.md", "first-walk.md", "galleries.md", "import-export.md", "install.md", "share-across-tenants.md"}
	for name := range pages(t) {
		if short, ok := strings.CutPrefix(name, "docs/guide/"); ok && !slices.Contains(executed, short) {
			t.Errorf("no test executes %s", name)
		}
	}
}

// TestIndentedCommands finds commands that stand outside fences, where nothing would execute them.
func TestIndentedCommands(t *testing.T) {
	command := regexp.MustCompile(`(?m)^(    |\t)(az|vitrine|curl|chromium|ssh) .*$`)
	for name, text := range pages(t) {
		if !strings.HasPrefix(name, "docs/guide/") {
			continue
		}
		text = regexp.MustCompile("(?ms)^```.*?\n```$").ReplaceAllString(text, "")
		for _, line := range command.FindAllString(text, -1) {
			t.Errorf("%s: nothing executes %q", name, strings.TrimSpace(line))
		}
	}
}

// TestMakeTargets asks make whether it has every target that a page shows.
func TestMakeTargets(t *testing.T) {
	shown := regexp.MustCompile("(?:`|\\$ )make ([a-z][a-z -]*[a-z])")
	asked := 0
	for name, text := range pages(t) {
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			asked++
			make := exec.Command("make", append([]string{"-n"}, strings.Fields(m[1])...)...)
			make.Dir = playbook.Root(t)
			if out, err := make.CombinedOutput(); err != nil {
				t.Errorf("%s: make %s: %v\n%s", name, m[1], err, out)
			}
		}
	}
	if asked < 5 {
		t.Errorf("only %d targets were found in the pages", asked)
	}
}
