package playbook

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Block is one fence of a page.
type Block struct {
	Page    string // its path, for messages
	Line    int    // of the first line inside
	Kind    string // sh, browser; others are not executed
	Options []string
	Text    string
	Output  *string // what the page says that it prints; nil when it says nothing
}

func (b Block) has(option string) bool { return slices.Contains(b.Options, option) }

// At names the block's place.
func (b Block) At() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// Page is a guide.
type Page struct {
	Name   string
	Blocks []Block
}

// Read reads a page by its path from the module's root.
func Read(t testing.TB, path string) Page {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	page, err := parse(path, string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return page
}

var fence = regexp.MustCompile("^```(.*)$")

// parse finds the fences.
func parse(name, markdown string) (Page, error) {
	p := Page{Name: name}
	var b *Block
	for i, line := range strings.Split(markdown, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case b == nil && m != nil:
			b = &Block{Page: name, Line: i + 2}
			if words := strings.Fields(m[1]); len(words) > 0 {
				b.Kind, b.Options = words[0], words[1:]
			}
		case b != nil && line == "```":
			if err := p.add(*b); err != nil {
				return p, err
			}
			b = nil
		case b != nil:
			b.Text += line + "\n"
		}
	}
	if b != nil {
		return p, fmt.Errorf("%s: the fence has no end", b.At())
	}
	return p, nil
}

func (p *Page) add(b Block) error {
	switch {
	case b.Kind != "sh" && len(b.Options) > 0:
		return fmt.Errorf("%s: %s fences have no options", b.At(), b.Kind)
	case b.Kind == "sh":
		for _, o := range b.Options {
			if o != "fails" && o != "port22" {
				return fmt.Errorf("%s: unknown option %q", b.At(), o)
			}
		}
		if b.has("fails") && strings.Count(strings.ReplaceAll(b.Text, "\\\n", " "), "\n") != 1 {
			return fmt.Errorf("%s: a block that fails is one command, or a failure in its midst would pass", b.At())
		}
	case b.Kind == "text":
		if len(p.Blocks) == 0 || p.Blocks[len(p.Blocks)-1].Kind != "sh" || p.Blocks[len(p.Blocks)-1].Output != nil {
			return fmt.Errorf("%s: no executed block is before this output", b.At())
		}
		p.Blocks[len(p.Blocks)-1].Output = &b.Text
		return nil
	}
	p.Blocks = append(p.Blocks, b)
	return nil
}

// Until is the page up to a line of its text, such as a heading.
func (p Page) Until(t testing.TB, heading string) Page {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(Root(t), p.Name))
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(strings.Split(string(raw), "\n"), heading)
	if at < 0 {
		t.Fatalf("%s has no line %q", p.Name, heading)
	}
	part := Page{Name: p.Name}
	for _, b := range p.Blocks {
		if b.Line <= at {
			part.Blocks = append(part.Blocks, b)
		}
	}
	return part
}

// Unexecuted are the blocks that Run passes over.
func (p Page) Unexecuted() (left []Block) {
	for _, b := range p.Blocks {
		if b.Kind != "sh" && b.Kind != "browser" {
			left = append(left, b)
		}
	}
	return left
}

// differs compares what was printed with what the page says; empty: it agrees.
func differs(printed, page string) string {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, " \n")
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		parts := strings.Split(line, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		b.WriteString(strings.Join(parts, `.*?`) + ` *\n`)
	}
	b.WriteString(`\z`)
	if !strings.HasSuffix(printed, "\n") && printed != "" {
		printed += "\n"
	}
	if regexp.MustCompile(b.String()).MatchString(printed) {
		return ""
	}
	return "it printed\n" + printed + "and the page says\n" + page
}
