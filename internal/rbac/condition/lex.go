package condition

import (
	"fmt"
	"strings"
)

type tokenKind int

const (
	end     tokenKind = iota
	word              // AND, StringEquals, ForAnyOfAnyValues:GuidEquals, true, 12
	text              // 'quoted'
	attr              // @Resource[…]
	symbol            // ( ) { } , ! && ||
	maxText = 8 << 10 // bytes of a condition: Azure's limit of 8 KB
	maxDeep = 48      // parentheses and negations within another
)

type lexeme struct {
	kind tokenKind
	text string
	at   int
}

// lex cuts a condition into its parts.
func lex(s string) ([]lexeme, error) {
	if len(s) > maxText {
		return nil, fmt.Errorf("the condition has more than %d bytes", maxText)
	}
	var out []lexeme
	for i := 0; i < len(s); {
		l, next, err := one(s, i)
		if err != nil {
			return nil, err
		}
		if l.text != "" || l.kind == text {
			out = append(out, l)
		}
		i = next
	}
	return append(out, lexeme{kind: end, at: len(s)}), nil
}

func one(s string, i int) (lexeme, int, error) {
	c := s[i]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		return lexeme{}, i + 1, nil
	case strings.HasPrefix(s[i:], "&&") || strings.HasPrefix(s[i:], "||"):
		return lexeme{symbol, s[i : i+2], i}, i + 2, nil
	case strings.IndexByte("(){},!", c) >= 0:
		return lexeme{symbol, string(c), i}, i + 1, nil
	case c == '\'':
		return quoted(s, i)
	case c == '@':
		j := strings.IndexByte(s[i:], ']')
		if j < 0 {
			return lexeme{}, 0, fmt.Errorf("the attribute at position %d has no ']'", i)
		}
		return lexeme{attr, s[i : i+j+1], i}, i + j + 1, nil
	}
	j := i
	for j < len(s) && (isLetter(s[j]) || strings.IndexByte(":.-_", s[j]) >= 0) {
		j++
	}
	if j == i {
		return lexeme{}, 0, fmt.Errorf("unexpected character %q at position %d", c, i)
	}
	return lexeme{word, s[i:j], i}, j, nil
}

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// quoted reads a string. A quote inside is written twice or after a backslash.
func quoted(s string, i int) (lexeme, int, error) {
	var b strings.Builder
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == '\\' && j+1 < len(s) && (s[j+1] == '\'' || s[j+1] == '\\'):
			j++
			b.WriteByte(s[j])
		case s[j] == '\'' && j+1 < len(s) && s[j+1] == '\'':
			j++
			b.WriteByte('\'')
		case s[j] == '\'':
			return lexeme{text, b.String(), i}, j + 1, nil
		default:
			b.WriteByte(s[j])
		}
	}
	return lexeme{}, 0, fmt.Errorf("the string at position %d has no end", i)
}
