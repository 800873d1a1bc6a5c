package playbook

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	p, err := parse("p.md", "a\n```sh\none\ntwo\n```\n```text\nsaid\n```\n```console\n$ no\n```\n```sh port22\nthree\n```\n```browser\npress: Accept\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Blocks) != 4 || p.Blocks[0].Text != "one\ntwo\n" || p.Blocks[0].Line != 3 || *p.Blocks[0].Output != "said\n" || p.Blocks[0].has("port22") {
		t.Errorf("blocks: %+v", p.Blocks)
	}
	if b := p.Blocks[2]; b.At() != "p.md:13" || !b.has("port22") || b.Output != nil {
		t.Errorf("port 22: %+v", b)
	}
	if left := p.Unexecuted(); len(left) != 1 || left[0].Kind != "console" {
		t.Errorf("unexecuted: %+v", left)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no end":             "```sh\none\n",
		"unknown option":     "```sh fail\none\n```\n",
		"two that fail":      "```sh fails\none\ntwo\n```\n",
		"output of nothing":  "```text\nsaid\n```\n",
		"two outputs of one": "```sh\none\n```\n```text\na\n```\n```text\nb\n```\n",
		"options of text":    "```text port22\na\n```\n",
	} {
		if _, err := parse("p.md", text); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestDiffers(t *testing.T) {
	for _, c := range []struct {
		printed, page string
		same          bool
	}{
		{"a\nb\n", "a\nb\n", true},
		{"a\nb", "a\nb\n", true},
		{"a  \n", "a\n", true},
		{"a\nb\n", "a\n", false},
		{"a\n", "a\nb\n", false},
		{"id 1234 ok\n", "id … ok\n", true},
		{"id 1234\nok\n", "id … ok\n", false},
		{"w\nw\na\nb\n", "…\na\nb\n", true},
		{"a\nb\nc\n", "a\n…\nc\n", true},
		{"a\nb\nd\n", "a\n…\nc\n", false},
		{"", "…\n", true},
		{"a.c\n", "a.c\n", true},
		{"abc\n", "a.c\n", false},
	} {
		if got := differs(c.printed, c.page) == ""; got != c.same {
			t.Errorf("%q, page %q: same %v, want %v", c.printed, c.page, got, c.same)
		}
	}
}

// told runs a page and returns what the test would have failed with.
func told(t *testing.T, markdown string) (out string, failure string) {
	t.Helper()
	p, err := parse("p.md", markdown)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{TB: t}
	s := &Stage{t: rec, dir: t.TempDir(), env: []string{"PATH=/usr/bin:/bin"}}
	for _, d := range []string{"home", "said"} {
		if err := mkdir(s.At(d)); err != nil {
			t.Fatal(err)
		}
	}
	s.Browser = func(_ Block, steps string) { out += "browser " + steps }
	done := make(chan struct{})
	go func() {
		defer close(done)
		out += s.Run(p)
	}()
	<-done
	return out, rec.failure
}

func TestRun(t *testing.T) {
	out, failure := told(t, "```sh\nx=1\ncat\n```\n```text\n```\n```sh\necho $x\n```\n```text\n1\n```\n```browser\ntype: $x\n```\n```sh fails\nfalse\n```\n")
	if out != "browser type: 1\n1\n" || failure != "" {
		t.Errorf("%q, %s", out, failure)
	}
	for name, c := range map[string]struct{ page, want string }{
		"a command fails":          {"```sh\necho before\nfalse\necho after\n```\n", "p.md:2 failed"},
		"an unset variable":        {"```sh\necho $nothing\n```\n", "p.md:2 failed"},
		"a variable in the output": {"```sh\nx=1\necho 2\n```\n```text\n$x\n```\n", "the page says\n1\n"},
		"output differs":           {"```sh\necho a\n```\n```text\nb\n```\n", "it printed\na\n"},
		"what should fail did not": {"```sh fails\ntrue\n```\n", "this succeeded"},
		"nothing to do":            {"```console\n$ x\n```\n", "no blocks"},
	} {
		if _, failure := told(t, c.page); !strings.Contains(failure, c.want) {
			t.Errorf("%s: %q", name, failure)
		}
	}
}
