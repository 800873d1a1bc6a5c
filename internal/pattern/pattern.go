// Package pattern has regular expressions that are compiled when they are first asked for: a server has hundreds of rules for names, and needs
// none of them to be ready. What a rule says, and what breaking it is answered, is its owner's.
package pattern

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression. It may be used by many goroutines.
type Pattern func() *regexp.Regexp

// New gives one; a text that is no regular expression panics when it is first used.
func New(text string) Pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// MatchString says whether s contains a match.
func (p Pattern) MatchString(s string) bool { return p().MatchString(s) }

// FindStringSubmatch gives the first match in s and those of its groups, or nil.
func (p Pattern) FindStringSubmatch(s string) []string { return p().FindStringSubmatch(s) }

// String is its text.
func (p Pattern) String() string { return p().String() }
