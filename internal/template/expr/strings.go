package expr

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/template/tree"
)

// textFunctions are the functions that mostly concern strings. Never written to.
var textFunctions = map[string]function{
	"base64":         text1(func(s string) any { return base64.StdEncoding.EncodeToString([]byte(s)) }),
	"base64tojson":   text1e(func(s string) (any, error) { return decodeBase64(s, parseJSON) }),
	"base64tostring": text1e(func(s string) (any, error) { return decodeBase64(s, plain) }),
	"datauri": text1(func(s string) any {
		return "data:text/plain;charset=utf8;base64," + base64.StdEncoding.EncodeToString([]byte(s))
	}),
	"datauritostring":      text1e(dataURIToString),
	"endswith":             text2(func(s, t string) any { return strings.HasSuffix(tree.Fold(s), tree.Fold(t)) }),
	"format":               {min: 1, max: -1, eval: format},
	"guid":                 {min: 1, max: -1, eval: guid},
	"join":                 {min: 2, max: 2, eval: join},
	"json":                 text1e(parseJSON),
	"padleft":              {min: 2, max: 3, eval: padLeft},
	"replace":              {min: 3, max: 3, eval: replace},
	"split":                {min: 2, max: 2, eval: split},
	"startswith":           text2(func(s, t string) any { return strings.HasPrefix(tree.Fold(s), tree.Fold(t)) }),
	"string":               {min: 1, max: 1, eval: toString},
	"substring":            {min: 1, max: 3, eval: substring},
	"tolower":              text1(func(s string) any { return strings.ToLower(s) }),
	"toupper":              text1(func(s string) any { return strings.ToUpper(s) }),
	"trim":                 text1(func(s string) any { return strings.TrimSpace(s) }),
	"uniquestring":         {min: 1, max: -1, eval: uniqueString},
	"uri":                  {min: 2, max: 2, eval: joinURI},
	"uricomponent":         text1(func(s string) any { return escapeURI(s) }),
	"uricomponenttostring": text1e(func(s string) (any, error) { return url.PathUnescape(s) }),
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

func joinURI(c *invocation) (any, error) {
	base, err := c.text(0)
	if err != nil {
		return nil, err
	}
	relative, err := c.text(1)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(base)
	if err != nil || !u.IsAbs() {
		return nil, c.fail("expects an absolute URI as its first parameter")
	}
	r, err := u.Parse(relative)
	if err != nil {
		return nil, c.fail("expects a relative URI as its second parameter")
	}
	return r.String(), nil
}

// toString writes strings as they are and everything else as JSON.
func toString(c *invocation) (any, error) {
	if s, ok := c.args[0].(string); ok {
		return s, nil
	}
	data, err := tree.Encode(c.args[0])
	return string(data), err
}

func padLeft(c *invocation) (any, error) {
	s, ok := c.args[0].(string)
	if n, isInt := c.args[0].(int64); isInt {
		s, ok = strconv.FormatInt(n, 10), true
	}
	if !ok {
		return nil, c.mistyped(0, "String, Integer")
	}
	width, err := c.count(1)
	if err != nil {
		return nil, err
	}
	pad := " "
	if c.has(2) {
		if pad, err = c.text(2); err != nil || len([]rune(pad)) != 1 {
			return nil, c.fail("expects one character as its parameter '3'")
		}
	}
	missing := max(0, width-len([]rune(s)))
	if missing*len(pad) > maxString {
		return nil, ErrTooMuch
	}
	return strings.Repeat(pad, missing) + s, nil
}

func replace(c *invocation) (any, error) {
	all, err := c.texts()
	if err != nil || len(all) != 3 {
		return nil, c.fail("expects three strings")
	}
	if all[1] == "" {
		return nil, c.fail("cannot replace an empty string")
	}
	if strings.Count(all[0], all[1])*len(all[2]) > maxString {
		return nil, ErrTooMuch
	}
	return strings.ReplaceAll(all[0], all[1], all[2]), nil
}

// split cuts at each of the delimiters, a string or an array of strings.
func split(c *invocation) (any, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	delimiters, err := (&invocation{name: c.name, args: c.args[1:]}).texts()
	if err != nil {
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

func join(c *invocation) (any, error) {
	list, err := c.list(0)
	if err != nil {
		return nil, err
	}
	delimiter, err := c.text(1)
	if err != nil {
		return nil, err
	}
	if len(list)*len(delimiter) > maxString {
		return nil, ErrTooMuch
	}
	parts := make([]string, 0, len(list))
	for _, e := range list {
		part, err := toString(&invocation{args: []any{e}})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part.(string))
	}
	return strings.Join(parts, delimiter), nil
}

func substring(c *invocation) (any, error) {
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	runes := []rune(s)
	start, length := int64(0), int64(len(runes))
	if c.has(1) {
		if start, err = c.integer(1); err != nil {
			return nil, err
		}
		length -= start
	}
	if c.has(2) {
		if length, err = c.integer(2); err != nil {
			return nil, err
		}
	}
	if start < 0 || length < 0 || start > int64(len(runes)) || length > int64(len(runes))-start {
		return nil, c.fail("parameters out of range: 'index' and 'length' must refer to a location within the string. The 'index' parameter: '%d', the 'length' parameter: '%d', the length of the string parameter: '%d'",
			start, length, len(runes))
	}
	return string(runes[start : start+length]), nil
}

// format fills {0}, {1,-10}, {2:D4} as .NET does.
func format(c *invocation) (any, error) {
	pattern, err := c.text(0)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for rest := pattern; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:i])
		if len(rest) > i+1 && rest[i+1] == rest[i] {
			b.WriteByte(rest[i])
			rest = rest[i+2:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if rest[i] == '}' || end < 0 {
			return nil, c.fail("was given an invalid format string")
		}
		item, err := c.formatItem(rest[i+1 : i+end])
		if err != nil {
			return nil, err
		}
		if b.WriteString(item); b.Len() > maxString {
			return nil, ErrTooMuch
		}
		rest = rest[i+end+1:]
	}
	return b.String(), nil
}

// formatItem renders one index[,width][:format].
func (c *invocation) formatItem(item string) (string, error) {
	item, spec, _ := strings.Cut(item, ":")
	item, align, aligned := strings.Cut(item, ",")
	i, err := strconv.Atoi(strings.TrimSpace(item))
	if err != nil || i < 0 || i+1 >= len(c.args) {
		return "", c.fail("was given a format string that refers to the missing argument '%s'", item)
	}
	s, err := formatValue(c.args[i+1], spec)
	if err != nil {
		return "", c.fail("cannot format: %v", err)
	}
	if aligned {
		width, err := strconv.Atoi(strings.TrimSpace(align))
		if err != nil || width > 1000 || width < -1000 {
			return "", c.fail("was given an invalid width '%s'", align)
		}
		s = fmt.Sprintf("%*s", width, s)
	}
	return s, nil
}

var numberFormat = regexp.MustCompile(`^([dDxXnN])(\d{0,2})$`)

// formatValue renders v; integers take the formats D, X and N and a pattern of zeros.
func formatValue(v any, spec string) (string, error) {
	n, isInt := v.(int64)
	switch {
	case spec == "" || !isInt:
		if b, ok := v.(bool); ok {
			return map[bool]string{true: "True", false: "False"}[b], nil // as .NET
		}
		s, err := toString(&invocation{args: []any{v}})
		if err != nil {
			return "", err
		}
		return s.(string), nil
	case strings.Trim(spec, "0") == "" && len(spec) < 100:
		return padInteger(n, len(spec)), nil
	}
	m := numberFormat.FindStringSubmatch(spec)
	if m == nil {
		return "", fmt.Errorf("the format '%s' is not supported", spec)
	}
	digits, _ := strconv.Atoi(m[2])
	switch m[1] {
	case "d", "D":
		return padInteger(n, digits), nil
	case "x", "X":
		s := fmt.Sprintf("%0*x", digits, uint64(n))
		if m[1] == "X" {
			s = strings.ToUpper(s)
		}
		return s, nil
	}
	if m[2] == "" {
		digits = 2
	}
	return groupThousands(n, digits), nil
}

func padInteger(n int64, digits int) string {
	if n < 0 {
		return fmt.Sprintf("%0*d", digits+1, n)
	}
	return fmt.Sprintf("%0*d", digits, n)
}

func groupThousands(n int64, decimals int) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if decimals > 0 {
		s += "." + strings.Repeat("0", decimals)
	}
	return sign + s
}

// guid is a UUID of version 5 in the name space that Azure documents, over the arguments joined by hyphens.
func guid(c *invocation) (any, error) {
	all, err := c.texts()
	if err != nil {
		return nil, err
	}
	space := uuid.MustParse("11fb06fb-712d-4ddd-98c7-e71bbd588830")
	return uuid.NewSHA1(space, []byte(strings.Join(all, "-"))).String(), nil
}

// uniqueString is Azure's: the 64-bit hash of the arguments joined by hyphens, in 13 letters of base 32.
func uniqueString(c *invocation) (any, error) {
	all, err := c.texts()
	if err != nil {
		return nil, err
	}
	return base32(Hash64([]byte(strings.Join(all, "-")))), nil
}

func base32(h uint64) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	out := make([]byte, 13)
	for i := range out {
		out[i] = letters[h>>59]
		h <<= 5
	}
	return string(out)
}

// Hash64 is the variant of MurmurHash3 that ARM uses: two lanes of 32 bits with the constants of the x86 128-bit form.
func Hash64(data []byte) uint64 {
	var h1, h2 uint32
	mix1 := func(k uint32) { h1 ^= bits.RotateLeft32(k*0x239b961b, 15) * 0xab0e9789 }
	mix2 := func(k uint32) { h2 ^= bits.RotateLeft32(k*0xab0e9789, 17) * 0x239b961b }
	n := uint32(len(data))
	for ; len(data) >= 8; data = data[8:] {
		mix1(binary.LittleEndian.Uint32(data))
		h1 = (bits.RotateLeft32(h1, 19)+h2)*5 + 0x561ccd1b
		mix2(binary.LittleEndian.Uint32(data[4:]))
		h2 = (bits.RotateLeft32(h2, 13)+h1)*5 + 0x0bcaa747
	}
	if len(data) > 0 {
		var tail [8]byte
		copy(tail[:], data)
		mix1(binary.LittleEndian.Uint32(tail[:]))
		if len(data) > 4 {
			mix2(binary.LittleEndian.Uint32(tail[4:]))
		}
	}
	h1 ^= n
	h2 ^= n
	h1 += h2
	h2 += h1
	h1, h2 = finish(h1), finish(h2)
	h1 += h2
	h2 += h1
	return uint64(h2)<<32 | uint64(h1)
}

func finish(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
