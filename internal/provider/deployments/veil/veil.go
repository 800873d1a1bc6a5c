// Package veil keeps secrets out of what a deployment answers, stores and logs, and words the faults of templates as ARM does.
// It owns no secret longer than the plan that it belongs to.
package veil

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"vitrine/internal/arm"
	"vitrine/internal/template"
)

// Veil keeps secrets out of what a deployment answers, stores and logs: an error names the value that it refuses, wherever
// a template put a secure parameter. A nil Veil hides nothing.
type Veil struct {
	mu    sync.Mutex
	words []string        // in ASCII lower case, the longest first
	known map[string]bool // the words
}

const (
	veiled    = "***"
	leastVeil = 4    // bytes; what is shorter is part of ordinary words
	wholeVeil = 64   // runes; messages cut longer values, so that their beginning counts
	mostWords = 4096 // with more to look for, a text is hidden as a whole
)

// New returns a Veil over secrets.
func New(secrets []string) *Veil {
	v := &Veil{known: map[string]bool{}}
	v.Add(secrets)
	return v
}

// Add takes further secrets, in each form in which a message may have them.
func (v *Veil) Add(secrets []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range secrets {
		for _, form := range forms(s) {
			form = lower(form)
			if len(form) >= leastVeil && !v.known[form] && len(v.words) <= mostWords {
				v.known[form], v.words = true, append(v.words, form)
			}
		}
	}
	slices.SortFunc(v.words, func(a, b string) int { return len(b) - len(a) })
}

// forms are a secret as it is, within JSON, quoted, within a URL, and as locations are normalised.
func forms(s string) []string {
	if len(s) < leastVeil {
		return nil
	}
	escaped, _ := json.Marshal(s) // a string always can be
	var plain strings.Builder
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	inner := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	return []string{s, inner(string(escaped)), inner(strings.TrimSpace(plain.String())), inner(strconv.Quote(s)),
		url.PathEscape(s), url.QueryEscape(s), strings.ReplaceAll(s, " ", ""), strings.TrimSpace(s), strings.ToLower(s)}
}

// lower is strings.ToLower for ASCII alone, so that no length changes.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Text hides secrets in a text. Letters count in either case, since IDs and locations are compared so.
func (v *Veil) Text(s string) string {
	if v == nil {
		return s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.words) > mostWords && s != "" {
		return veiled
	}
	for _, word := range v.words {
		s = hideWord(s, word)
	}
	return s
}

func hideWord(s, word string) string {
	head, low := beginning(word), lower(s)
	var out strings.Builder
	for {
		at := strings.Index(low, head)
		if at < 0 {
			out.WriteString(s)
			return out.String()
		}
		end := at + len(head)
		for n := len(head); n < len(word) && end < len(low) && low[end] == word[n]; n++ {
			end++
		}
		out.WriteString(s[:at] + veiled)
		s, low = s[end:], low[end:]
	}
}

// beginning is the first wholeVeil runes.
func beginning(s string) string {
	n := 0
	for i := range s {
		if n == wholeVeil {
			return s[:i]
		}
		n++
	}
	return s
}

// Arm hides secrets in an error of ARM and in its details.
func (v *Veil) Arm(e *arm.Error) *arm.Error {
	if e == nil || v == nil {
		return e
	}
	out := *e
	out.Message, out.Target, out.Details, out.AdditionalInfo = v.Text(e.Message), v.Text(e.Target), nil, nil
	for _, d := range e.Details {
		out.Details = append(out.Details, v.Arm(d))
	}
	for _, i := range e.AdditionalInfo {
		out.AdditionalInfo = append(out.AdditionalInfo, arm.Info{Type: v.Text(i.Type), Info: Hidden(v, i.Info)})
	}
	out.Cause = v.cause(e.Cause)
	return &out
}

// Err hides secrets in any error; what it is stays visible to errors.Is and errors.As.
func (v *Veil) Err(err error) error {
	if err == nil || v == nil {
		return err
	}
	if e, ok := errors.AsType[*arm.Error](Visible(err)); ok {
		return v.Arm(e)
	}
	return v.cause(err)
}

func (v *Veil) cause(err error) error {
	if err == nil {
		return nil
	}
	if text := v.Text(err.Error()); text != err.Error() {
		return hiddenError{text, err}
	}
	return err
}

// hiddenError is an error with another text.
type hiddenError struct {
	text string
	err  error
}

func (h hiddenError) Error() string { return h.text }
func (h hiddenError) Unwrap() error { return h.err }

// Ref hides secrets in the name of a resource that is only shown.
func (v *Veil) Ref(r template.ResourceRef) template.ResourceRef {
	r.ID, r.ResourceName = v.Text(r.ID), v.Text(r.ResourceName)
	return r
}

// Hidden hides secrets in a value that is shown as JSON, and leaves alone one that has none.
func Hidden[T any](v *Veil, value T) T {
	raw, err := json.Marshal(value)
	if err != nil || v == nil {
		return value
	}
	var clean T
	if text := v.Text(string(raw)); text == string(raw) || json.Unmarshal([]byte(text), &clean) != nil {
		return value
	}
	return clean
}
