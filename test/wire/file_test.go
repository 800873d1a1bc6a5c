package wire

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// exchange is a request and the answer that it must get.
type exchange struct {
	title  string
	line   int
	as     string            // who asks
	differ string            // how the answer differs from Azure's on purpose, or not yet
	until  bool              // ask again while the answer says that work goes on
	keep   map[string]string // variable → path in the answer
	method string
	target string
	header []pair
	body   string
	want   answer
	at     int // line of the answer's body
	end    int // line after it
}

type pair struct{ name, value string }

type answer struct {
	status int
	header []pair
	body   string
}

// unwritten stands for a body that nobody has written yet; -update replaces it, and nothing else.
const unwritten = "…"

// readFile reads the exchanges of a file, and its lines.
func readFile(path string) (list []*exchange, lines []string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	lines = strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	var x *exchange
	for n, line := range lines {
		if title, ok := strings.CutPrefix(line, "=== "); ok {
			x = &exchange{title: title, line: n + 1, as: "owner", keep: map[string]string{}}
			list = append(list, x)
			continue
		}
		if x == nil {
			if line != "" && !strings.HasPrefix(line, "#") {
				return nil, nil, fmt.Errorf("%s:%d: before the first exchange", path, n+1)
			}
			continue
		}
		if err := x.add(n, line); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
	}
	for _, x := range list {
		x.body, x.want.body = strings.TrimSpace(x.body), strings.TrimSpace(x.want.body)
		if x.method == "" || x.want.status == 0 {
			return nil, nil, fmt.Errorf("%s:%d: no request or no answer", path, x.line)
		}
	}
	return list, lines, nil
}

// add takes a line below a title.
func (x *exchange) add(n int, line string) error {
	switch {
	case strings.HasPrefix(line, "> "):
		return x.ask(strings.TrimPrefix(line, "> "))
	case strings.HasPrefix(line, "< "):
		return x.answer(strings.TrimPrefix(line, "< "))
	case x.want.status != 0:
		if x.want.body == "" {
			x.at = n
		}
		if line != "" {
			x.end = n + 1
		}
		x.want.body += line + "\n"
	case x.method != "":
		x.body += line + "\n"
	case line == "" || strings.HasPrefix(line, "#"):
	default:
		return x.direct(strings.Fields(line))
	}
	return nil
}

func (x *exchange) ask(text string) error {
	if x.method == "" {
		method, target, ok := strings.Cut(text, " ")
		x.method, x.target = method, target
		if !ok {
			return fmt.Errorf("no target")
		}
		return nil
	}
	name, value, ok := strings.Cut(text, ": ")
	x.header = append(x.header, pair{name, value})
	if !ok {
		return fmt.Errorf("no header")
	}
	return nil
}

func (x *exchange) answer(text string) error {
	if x.want.status == 0 {
		status, err := strconv.Atoi(text)
		x.want.status = status
		return err
	}
	name, value, ok := strings.Cut(text, ": ")
	x.want.header = append(x.want.header, pair{name, value})
	if !ok {
		return fmt.Errorf("no header")
	}
	return nil
}

func (x *exchange) direct(words []string) error {
	switch {
	case words[0] == "as" && len(words) == 2:
		x.as = words[1]
	case words[0] == "differs":
		x.differ = strings.Join(words[1:], " ")
	case words[0] == "until" && len(words) == 2 && words[1] == "done":
		x.until = true
	case words[0] == "keep" && len(words) == 3:
		x.keep[words[1]] = words[2]
	default:
		return fmt.Errorf("no such instruction: %s", words[0])
	}
	return nil
}

// write puts bodies into the places of those that nobody had written.
func write(path string, lines []string, list []*exchange, bodies map[*exchange]string) error {
	var out []string
	from := 0
	for _, x := range list {
		body, ok := bodies[x]
		if !ok {
			continue
		}
		out = append(append(out, lines[from:x.at]...), strings.Split(body, "\n")...)
		from = x.end
	}
	out = append(out, lines[from:]...)
	return os.WriteFile(path, []byte(strings.Join(out, "\n")+"\n"), 0o644)
}
