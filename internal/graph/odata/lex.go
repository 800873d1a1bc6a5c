package odata

import (
	"strings"
	"unicode/utf8"
)

type kind int

const (
	end    kind = iota
	word        // names, keywords, numbers, times, GUIDs
	text        // 'quoted'
	symbol      // ( ) , / :
)

type lexeme struct {
	kind kind
	text string
	at   int
}

// scan cuts a filter into lexemes.
func scan(s string) ([]lexeme, error) {
	if !utf8.ValidString(s) {
		return nil, invalidFilter("it is not UTF-8.")
	}
	var out []lexeme
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t':
			i++
		case strings.IndexByte("(),/", c) >= 0, c == ':':
			out = append(out, lexeme{symbol, s[i : i+1], i})
			i++
		case c == '\'':
			value, n, ok := quoted(s[i:])
			if !ok {
				return nil, invalidFilter("There is an unterminated string literal at position %d.", i)
			}
			out = append(out, lexeme{text, value, i})
			i += n
		case isWord(c):
			n := i
			for n < len(s) && (isWord(s[n]) || s[n] == ':' && isTime(s[i:n])) {
				n++
			}
			out = append(out, lexeme{word, s[i:n], i})
			i = n
		default:
			return nil, invalidFilter("Syntax error: character %q is not valid at position %d.", s[i:min(i+1, len(s))], i)
		}
	}
	return append(out, lexeme{kind: end, at: len(s)}), nil
}

// quoted reads a literal; a quote in it is doubled.
func quoted(s string) (value string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) || s[i+1] != '\'' {
			return b.String(), i + 1, true
		}
		b.WriteByte('\'')
		i++
	}
	return "", 0, false
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.+@$", c) >= 0
}

// isTime says whether a colon belongs to what was read: "2026-11-22T10" goes on with ":30".
func isTime(s string) bool {
	return len(s) >= 13 && s[4] == '-' && s[7] == '-' && (s[10] == 'T' || s[10] == 't')
}
