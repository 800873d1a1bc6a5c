package builtin

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/template/tree"
)

// textFunctions are the functions that mostly concern strings. Never written to.
var textFunctions = map[string]Function{
	"base64":         text1(func(s string) any { return base64.StdEncoding.EncodeToString([]byte(s)) }),
	"base64tojson":   text1e(func(s string) (any, error) { return decodeBase64(s, parseJSON) }),
	"base64tostring": text1e(func(s string) (any, error) { return decodeBase64(s, plain) }),
	"builduri":       {Min: 1, Max: 1, Eval: buildURI},
	"datauri": text1(func(s string) any {
		return "data:text/plain;charset=utf8;base64," + base64.StdEncoding.EncodeToString([]byte(s))
	}),
	"datauritostring":      text1e(dataURIToString),
	"endswith":             text2(func(s, t string) any { return strings.HasSuffix(tree.Fold(s), tree.Fold(t)) }),
	"fail":                 {Min: 1, Max: 1, Eval: fail},
	"format":               {Min: 1, Max: -1, Eval: format},
	"guid":                 {Min: 1, Max: -1, Eval: guid},
	"join":                 {Min: 2, Max: 2, Eval: join},
	"json":                 text1e(parseJSON),
	"padleft":              {Min: 2, Max: 3, Eval: padLeft},
	"parseuri":             text1e(parseURI),
	"replace":              {Min: 3, Max: 3, Eval: replace},
	"split":                {Min: 2, Max: 2, Eval: split},
	"startswith":           text2(func(s, t string) any { return strings.HasPrefix(tree.Fold(s), tree.Fold(t)) }),
	"string":               {Min: 1, Max: 1, Eval: toString},
	"substring":            {Min: 1, Max: 3, Eval: substring},
	"tolower":              text1(func(s string) any { return strings.ToLower(s) }),
	"toupper":              text1(func(s string) any { return strings.ToUpper(s) }),
	"trim":                 text1(func(s string) any { return strings.TrimSpace(s) }),
	"uniquestring":         {Min: 1, Max: -1, Eval: uniqueString},
	"uri":                  {Min: 2, Max: 2, Eval: joinURI},
	"uricomponent":         text1(func(s string) any { return escapeURI(s) }),
	"uricomponenttostring": text1e(func(s string) (any, error) { return url.PathUnescape(s) }),
}

// fail ends the deployment with the author's own words.
func fail(c *Call) (any, error) {
	text, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	return nil, errors.New(text)
}

func plain(s string) (any, error) { return s, nil }

func parseJSON(s string) (any, error) { return tree.Decode([]byte(s)) }

func decodeBase64(s string, then func(string) (any, error)) (any, error) {
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	return then(strings.ToValidUTF8(string(data), "\ufffd"))
}

func dataURIToString(s string) (any, error) {
	head, data, ok := strings.Cut(s, ",")
	if !ok || !strings.HasPrefix(tree.Fold(head), "data:") {
		return nil, fmt.Errorf("it is no data URI")
	}
	if strings.HasSuffix(tree.Fold(head), ";base64") {
		return decodeBase64(data, plain)
	}
	return url.PathUnescape(data)
}

// escapeURI escapes all but the unreserved characters of RFC 3986.
func escapeURI(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if tree.IsWord(c) && c != '$' || c == '.' || c == '~' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func joinURI(c *Call) (any, error) {
	base, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	relative, err := c.Text(1)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(base)
	if err != nil || !u.IsAbs() {
		return nil, c.Fail("expects an absolute URI as its first parameter")
	}
	r, err := u.Parse(relative)
	if err != nil {
		return nil, c.Fail("expects a relative URI as its second parameter")
	}
	return r.String(), nil
}

// toString writes strings as they are and everything else as JSON.
func toString(c *Call) (any, error) {
	if s, ok := c.Args[0].(string); ok {
		return s, nil
	}
	data, err := tree.Encode(c.Args[0])
	return string(data), err
}

func padLeft(c *Call) (any, error) {
	s, ok := c.Args[0].(string)
	if n, isInt := c.Args[0].(int64); isInt {
		s, ok = strconv.FormatInt(n, 10), true
	}
	if !ok {
		return nil, c.Mistyped(0, "String, Integer")
	}
	width, err := c.Count(1)
	if err != nil {
		return nil, err
	}
	pad := " "
	if c.Has(2) {
		if pad, err = c.Text(2); err != nil || len([]rune(pad)) != 1 {
			return nil, c.Fail("expects one character as its parameter '3'")
		}
	}
	missing := max(0, width-len([]rune(s)))
	if missing*len(pad) > MaxString {
		return nil, ErrTooMuch
	}
	return strings.Repeat(pad, missing) + s, nil
}

func replace(c *Call) (any, error) {
	all, err := c.Texts()
	if err != nil || len(all) != 3 {
		return nil, c.Fail("expects three strings")
	}
	if all[1] == "" {
		return nil, c.Fail("cannot replace an empty string")
	}
	if strings.Count(all[0], all[1])*len(all[2]) > MaxString {
		return nil, ErrTooMuch
	}
	return strings.ReplaceAll(all[0], all[1], all[2]), nil
}

// split cuts at each of the delimiters, a string or an array of strings.
func split(c *Call) (any, error) {
	s, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	delimiters, err := (&Call{Name: c.Name, Args: c.Args[1:]}).Texts()
	if err != nil {
		return nil, err
	}
	if err := c.Spend(len(s) / 16 * len(delimiters)); err != nil {
		return nil, err
	}
	parts := []any{}
	for start, i := 0, 0; ; {
		n := 0
		for _, d := range delimiters {
			if d != "" && strings.HasPrefix(s[i:], d) {
				n = max(n, len(d))
			}
		}
		switch {
		case n > 0:
			parts = append(parts, s[start:i])
			i += n
			start = i
		case i >= len(s):
			return append(parts, s[start:]), nil
		default:
			i++
		}
	}
}

func join(c *Call) (any, error) {
	list, err := c.List(0)
	if err != nil {
		return nil, err
	}
	delimiter, err := c.Text(1)
	if err != nil {
		return nil, err
	}
	if len(list)*len(delimiter) > MaxString {
		return nil, ErrTooMuch
	}
	parts := make([]string, 0, len(list))
	for _, e := range list {
		part, err := toString(&Call{Args: []any{e}})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part.(string))
	}
	return strings.Join(parts, delimiter), nil
}

func substring(c *Call) (any, error) {
	s, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	runes := []rune(s)
	start, length := int64(0), int64(len(runes))
	if c.Has(1) {
		if start, err = c.Integer(1); err != nil {
			return nil, err
		}
		length -= start
	}
	if c.Has(2) {
		if length, err = c.Integer(2); err != nil {
			return nil, err
		}
	}
	if start < 0 || length < 0 || start > int64(len(runes)) || length > int64(len(runes))-start {
		return nil, c.Fail("parameters out of range: 'index' and 'length' must refer to a location within the string. The 'index' parameter: '%d', the 'length' parameter: '%d', the length of the string parameter: '%d'",
			start, length, len(runes))
	}
	return string(runes[start : start+length]), nil
}

// guid is a UUID of version 5 in the name space that Azure documents, over the arguments joined by hyphens.
func guid(c *Call) (any, error) {
	all, err := c.Texts()
	if err != nil {
		return nil, err
	}
	space := uuid.MustParse("11fb06fb-712d-4ddd-98c7-e71bbd588830")
	return uuid.NewSHA1(space, []byte(strings.Join(all, "-"))).String(), nil
}

// uniqueString is Azure's: the 64-bit hash of the arguments joined by hyphens, in 13 letters of base 32.
func uniqueString(c *Call) (any, error) {
	all, err := c.Texts()
	if err != nil {
		return nil, err
	}
	return base32(Hash64([]byte(strings.Join(all, "-")))), nil
}
