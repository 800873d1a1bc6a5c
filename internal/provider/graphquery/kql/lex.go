package kql

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a query; they are ours.
const (
	maxText  = 16 << 10 // bytes
	maxDepth = 48       // of expressions
	maxPipes = 64       // operators
	maxParts = 400      // values in all expressions
	maxMade1 = 1 << 20  // bytes of one text that is put together
)

// Error is a fault of a query, with the place where it shows.
type Error struct {
	Message      string
	Line, Column int    // from 1
	Token        string // at that place; empty at the end
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (line %d, column %d)", e.Message, e.Line, e.Column)
}

type kind int

const (
	end kind = iota
	word
	text
	number
	sign
	minus // of project-away
)

type token struct {
	kind  kind
	text  string // of a text: its value
	value float64
	at    int // byte offset
}

// signs, longest first.
var signs = []string{"==", "!=", "=~", "!~", "<=", ">=", "<", ">", "=", "|", "(", ")", "[", "]", ",", "."}

type lexer struct {
	source string
	at     int
}

func (l *lexer) fail(at int, format string, args ...any) *Error {
	line := 1 + strings.Count(l.source[:at], "\n")
	column := 1 + utf8.RuneCountInString(l.source[strings.LastIndexByte(l.source[:at], '\n')+1:at])
	rest := l.source[at:]
	if i := strings.IndexAny(rest, " \t\r\n"); i >= 0 {
		rest = rest[:i]
	}
	return &Error{Message: fmt.Sprintf(format, args...), Line: line, Column: column, Token: strings.ToValidUTF8(rest[:min(len(rest), 40)], "\uFFFD")}
}

// lex cuts the text into tokens; the last one is end.
func lex(source string) ([]token, *Error) {
	l := &lexer{source: source}
	if len(source) > maxText {
		return nil, l.fail(0, "The query is longer than %d bytes", maxText)
	}
	if !utf8.ValidString(source) {
		return nil, l.fail(0, "The query is not UTF-8")
	}
	var list []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		if t.kind == end {
			return list, nil
		}
	}
}

func (l *lexer) next() (token, *Error) {
	l.blank()
	if l.at >= len(l.source) {
		return token{kind: end, at: len(l.source)}, nil
	}
	start, c := l.at, l.source[l.at]
	switch {
	case letter(c):
		for l.at < len(l.source) && (letter(l.source[l.at]) || digit(l.source[l.at])) {
			l.at++
		}
		if l.at < len(l.source) && l.source[l.at] == '~' && strings.EqualFold(l.source[start:l.at], "in") {
			l.at++
		}
		return token{kind: word, text: l.source[start:l.at], at: start}, nil
	case c == '!' && start+1 < len(l.source) && letter(l.source[start+1]): // !in, !has, …
		l.at++
		t, err := l.next()
		t.text, t.at = "!"+t.text, start
		return t, err
	case digit(c) || c == '-' && start+1 < len(l.source) && digit(l.source[start+1]):
		return l.number()
	case c == '\'' || c == '"':
		return l.quoted(false)
	case c == '@' && start+1 < len(l.source) && (l.source[start+1] == '\'' || l.source[start+1] == '"'):
		l.at++
		return l.quoted(true)
	}
	if c == '-' {
		l.at++
		return token{kind: minus, text: "-", at: start}, nil
	}
	for _, s := range signs {
		if strings.HasPrefix(l.source[start:], s) {
			l.at += len(s)
			return token{kind: sign, text: s, at: start}, nil
		}
	}
	return token{}, l.fail(start, "The character is not known here")
}

// blank skips blanks and comments.
func (l *lexer) blank() {
	for l.at < len(l.source) {
		switch c := l.source[l.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.at++
		case strings.HasPrefix(l.source[l.at:], "//"):
			if i := strings.IndexByte(l.source[l.at:], '\n'); i >= 0 {
				l.at += i
			} else {
				l.at = len(l.source)
			}
		default:
			return
		}
	}
}

func (l *lexer) number() (token, *Error) {
	start := l.at
	l.at++
	for l.at < len(l.source) && (digit(l.source[l.at]) || l.source[l.at] == '.' && l.at+1 < len(l.source) && digit(l.source[l.at+1])) {
		l.at++
	}
	v, err := strconv.ParseFloat(l.source[start:l.at], 64)
	if err != nil || l.at < len(l.source) && letter(l.source[l.at]) {
		return token{}, l.fail(start, "A number is malformed")
	}
	return token{kind: number, text: l.source[start:l.at], value: v, at: start}, nil
}

// quoted reads a text; verbatim ones know no escapes but the doubled quote.
func (l *lexer) quoted(verbatim bool) (token, *Error) {
	start, quote := l.at, l.source[l.at]
	var b strings.Builder
	for l.at++; l.at < len(l.source); l.at++ {
		c := l.source[l.at]
		switch {
		case c == quote && verbatim && strings.HasPrefix(l.source[l.at:], string([]byte{quote, quote})):
			b.WriteByte(c)
			l.at++
		case c == quote:
			l.at++
			return token{kind: text, text: b.String(), at: start}, nil
		case c == '\n':
			return token{}, l.fail(start, "A text does not end on its line")
		case c == '\\' && !verbatim:
			l.at++
			if l.at >= len(l.source) {
				return token{}, l.fail(start, "A text does not end")
			}
			i := strings.IndexByte(`\'"tnr`, l.source[l.at])
			if i < 0 {
				return token{}, l.fail(l.at-1, "The escape is not known")
			}
			b.WriteByte("\\'\"\t\n\r"[i])
		default:
			b.WriteByte(c)
		}
	}
	return token{}, l.fail(start, "A text does not end")
}

func letter(c byte) bool {
	return c == '_' || c == '$' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
