package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"vitrine/internal/template/tree"
)

// Lenient turns the body of a deployment request into strict JSON. The Azure CLI splices the text of a template file
// into the body, verbatim and behind an unquoted key:
//
//	{"properties": {"parameters": {}, "mode": "Incremental", template:{ // a comment … }}}
//
// so Lenient takes unquoted keys, line and block comments, strings that span lines, trailing commas and byte order
// marks, as ARM does on its deployment endpoints. Line numbers survive: what follows a string of several lines stands on
// the line it stood on. A fault is an *Error with line and position.
func Lenient(body []byte) (json.RawMessage, error) {
	l := &lenient{in: body}
	if len(body) > tree.MaxBytes {
		return nil, l.fail(nil, "the request is larger than %d bytes", tree.MaxBytes)
	}
	l.out.Grow(len(body))
	if err := l.value(nil, 0); err != nil {
		return nil, err
	}
	if err := l.space(nil); err != nil {
		return nil, err
	}
	if l.pos < len(l.in) {
		return nil, l.unexpected(nil, "after parsing a value")
	}
	return l.out.Bytes(), nil
}

// lenient copies in to out, mending on the way.
type lenient struct {
	in  []byte
	pos int
	out bytes.Buffer
}

// fail makes an error in the words of ARM's JSON reader.
func (l *lenient) fail(at *tree.Path, format string, args ...any) *Error {
	before := l.in[:min(l.pos, len(l.in))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := 1 + len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return &Error{
		Code: CodeInvalidRequestContent,
		Message: fmt.Sprintf("The request content was invalid and could not be deserialized: '%s. Path '%s', line %d, position %d.'.",
			fmt.Sprintf(format, args...), at, line, column),
		Line: line, Position: column, Path: at.String(),
	}
}

func (l *lenient) unexpected(at *tree.Path, when string) *Error {
	if l.pos >= len(l.in) {
		return l.fail(at, "Unexpected end of content %s", when)
	}
	r, _ := utf8.DecodeRune(l.in[l.pos:])
	return l.fail(at, "Unexpected character encountered %s: %c", when, r)
}

// space copies whitespace; of comments and byte order marks it keeps the line breaks.
func (l *lenient) space(at *tree.Path) error {
	for l.pos < len(l.in) {
		rest := l.in[l.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			l.out.WriteByte(rest[0])
			l.pos++
		case bytes.HasPrefix(rest, []byte("\ufeff")):
			l.pos += len("\ufeff")
		case bytes.HasPrefix(rest, []byte("//")):
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			l.pos += end
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return l.fail(at, "Unexpected end while parsing comment")
			}
			l.breaks(bytes.Count(rest[:end+4], []byte{'\n'}))
			l.out.WriteByte(' ')
			l.pos += end + 4
		default:
			return nil
		}
	}
	return nil
}

func (l *lenient) breaks(n int) {
	for range n {
		l.out.WriteByte('\n')
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (l *lenient) peek(at *tree.Path) (byte, error) {
	if err := l.space(at); err != nil {
		return 0, err
	}
	if l.pos >= len(l.in) {
		return 0, nil
	}
	return l.in[l.pos], nil
}

// take copies the byte that peek showed.
func (l *lenient) take() {
	l.out.WriteByte(l.in[l.pos])
	l.pos++
}

func (l *lenient) value(at *tree.Path, depth int) error {
	if depth > tree.MaxDepth {
		return l.fail(at, "the content is nested deeper than %d levels", tree.MaxDepth)
	}
	c, err := l.peek(at)
	switch {
	case err != nil:
		return err
	case c == '{':
		return l.list(at, '}', func(int) error { return l.member(at, depth) })
	case c == '[':
		return l.list(at, ']', func(i int) error { return l.value(at.Element(i), depth+1) })
	case c == '"':
		return l.text(at)
	}
	return l.word(at)
}

// list copies what stands between brackets. A comma is written only once another element follows it.
func (l *lenient) list(at *tree.Path, end byte, element func(i int) error) error {
	l.take()
	for i := 0; ; i++ {
		c, err := l.peek(at)
		if err != nil {
			return err
		}
		if c == end {
			l.take()
			return nil
		}
		if i > 0 {
			l.out.WriteByte(',')
		}
		if err := element(i); err != nil {
			return err
		}
		if c, err = l.peek(at); err != nil {
			return err
		}
		if c == ',' {
			l.pos++
		} else if c != end {
			return l.unexpected(at, "after parsing a value")
		}
	}
}

func (l *lenient) member(at *tree.Path, depth int) error {
	key, err := l.key(at)
	if err != nil {
		return err
	}
	c, err := l.peek(at)
	if err != nil {
		return err
	}
	if c != ':' {
		return l.unexpected(at, "after a property name")
	}
	l.take()
	return l.value(at.Member(key), depth+1)
}

func (l *lenient) key(at *tree.Path) (string, error) {
	start := l.pos
	if l.pos < len(l.in) && l.in[l.pos] == '"' {
		err := l.text(at)
		return strings.Trim(string(l.in[start:l.pos]), `"`), err
	}
	for l.pos < len(l.in) && tree.IsWord(l.in[l.pos]) {
		l.pos++
	}
	if l.pos == start {
		return "", l.unexpected(at, "while parsing a property name")
	}
	key := string(l.in[start:l.pos])
	l.out.WriteString(`"` + key + `"`)
	return key, nil
}

// text copies a string and escapes the control characters in it.
func (l *lenient) text(at *tree.Path) error {
	l.take()
	broken := 0
	for l.pos < len(l.in) {
		c := l.in[l.pos]
		switch {
		case c == '"':
			l.take()
			l.breaks(broken)
			return nil
		case c == '\\':
			if err := l.escape(at); err != nil {
				return err
			}
		case c < 0x20:
			if c == '\n' {
				broken++
			}
			fmt.Fprintf(&l.out, `\u%04x`, c)
			l.pos++
		default:
			l.take()
		}
	}
	return l.fail(at, "Unterminated string. Expected delimiter: \"")
}

func (l *lenient) escape(at *tree.Path) error {
	rest := l.in[l.pos:]
	n := 2
	if len(rest) > 1 && rest[1] == 'u' {
		n = 6
	}
	if len(rest) < n || !json.Valid([]byte(`"`+string(rest[:n])+`"`)) {
		return l.fail(at, "Bad JSON escape sequence")
	}
	l.out.Write(rest[:n])
	l.pos += n
	return nil
}

// word copies a number, true, false or null.
func (l *lenient) word(at *tree.Path) error {
	start := l.pos
	for l.pos < len(l.in) && (tree.IsWord(l.in[l.pos]) || l.in[l.pos] == '+' || l.in[l.pos] == '.') {
		l.pos++
	}
	if word := l.in[start:l.pos]; json.Valid(word) {
		l.out.Write(word)
		return nil
	}
	l.pos = start
	return l.unexpected(at, "while parsing value")
}
