package builtin

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// format fills {0}, {1,-10}, {2:D4} as .NET does.
func format(c *Call) (any, error) {
	pattern, err := c.Text(0)
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
			return nil, c.Fail("was given an invalid format string")
		}
		item, err := c.formatItem(rest[i+1 : i+end])
		if err != nil {
			return nil, err
		}
		if b.WriteString(item); b.Len() > MaxString {
			return nil, ErrTooMuch
		}
		rest = rest[i+end+1:]
	}
	return b.String(), nil
}

// formatItem renders one index[,width][:format].
func (c *Call) formatItem(item string) (string, error) {
	item, spec, _ := strings.Cut(item, ":")
	item, align, aligned := strings.Cut(item, ",")
	i, err := strconv.Atoi(strings.TrimSpace(item))
	if err != nil || i < 0 || i+1 >= len(c.Args) {
		return "", c.Fail("was given a format string that refers to the missing argument '%s'", item)
	}
	s, err := formatValue(c.Args[i+1], spec)
	if err != nil {
		return "", c.Fail("cannot format: %v", err)
	}
	if aligned {
		width, err := strconv.Atoi(strings.TrimSpace(align))
		if err != nil || width > 1000 || width < -1000 {
			return "", c.Fail("was given an invalid width '%s'", align)
		}
		s = fmt.Sprintf("%*s", width, s)
	}
	return s, nil
}

var numberFormat = regexp.MustCompile(`^([bBcCdDeEfFgGnNpPxX])(\d{0,2})$`)

// formatValue renders v as .NET's invariant culture does: numbers take its standard and custom formats.
func formatValue(v any, spec string) (string, error) {
	n, isInt := v.(int64)
	f, isFloat := v.(json.Number)
	if spec == "" || !isInt && !isFloat {
		if b, ok := v.(bool); ok {
			return map[bool]string{true: "True", false: "False"}[b], nil
		}
		s, err := toString(&Call{Args: []any{v}})
		if err != nil {
			return "", err
		}
		return s.(string), nil
	}
	if len(spec) > 100 {
		return "", fmt.Errorf("the format is longer than 100 characters")
	}
	exact := new(big.Rat).SetInt64(n)
	if isFloat {
		x, err := f.Float64()
		if err != nil {
			return "", fmt.Errorf("the number '%.40s' is too large", string(f))
		}
		exact.SetFloat64(x)
	}
	m := numberFormat.FindStringSubmatch(spec)
	if m == nil {
		if len(spec) == 1 && spec != "0" && spec != "#" {
			return "", fmt.Errorf("the format '%s' is not supported", spec)
		}
		return custom(exact, spec), nil
	}
	digits := -1
	if m[2] != "" {
		digits, _ = strconv.Atoi(m[2])
	}
	return standard(v, exact, m[1], digits)
}

// standard renders .NET's standard numeric formats; digits is -1 if the format names none.
func standard(v any, exact *big.Rat, kind string, digits int) (string, error) {
	n, isInt := v.(int64)
	or := func(most int) int {
		if digits < 0 {
			return most
		}
		return digits
	}
	switch strings.ToUpper(kind) {
	case "F":
		return exact.FloatString(or(2)), nil
	case "N":
		return grouped(exact.FloatString(or(2))), nil
	case "C":
		s := "\u00a4" + grouped(new(big.Rat).Abs(exact).FloatString(or(2)))
		if exact.Sign() < 0 {
			s = "(" + s + ")"
		}
		return s, nil
	case "P":
		return grouped(new(big.Rat).Mul(exact, big.NewRat(100, 1)).FloatString(or(2))) + " %", nil
	case "E":
		return scientific(exact, kind, or(6)), nil
	case "G":
		if digits > 0 {
			x, _ := exact.Float64()
			return general(x, kind, digits), nil
		}
		return formatValue(v, "")
	}
	if !isInt {
		return "", fmt.Errorf("the format '%s' takes integers only", kind)
	}
	switch kind {
	case "d", "D":
		return padInteger(n, or(0)), nil
	case "x":
		return fmt.Sprintf("%0*x", or(0), uint64(n)), nil
	case "X":
		return fmt.Sprintf("%0*X", or(0), uint64(n)), nil
	}
	return fmt.Sprintf("%0*b", or(0), uint64(n)), nil
}

// scientific is .NET's E: an exponent of at least three digits.
func scientific(exact *big.Rat, kind string, digits int) string {
	x, _ := exact.Float64()
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', digits, 64), "e")
	e, _ := strconv.Atoi(exponent)
	sign := "+"
	if e < 0 {
		sign, e = "-", -e
	}
	return fmt.Sprintf("%s%s%s%03d", mantissa, kind, sign, e)
}

// general is .NET's G with a number of significant digits.
func general(x float64, kind string, digits int) string {
	s := strconv.FormatFloat(x, 'g', digits, 64)
	mantissa, exponent, has := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exponent)
	switch {
	case !has:
		return s
	case e < digits && e > -5:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case kind == "G":
		return fmt.Sprintf("%sE%+03d", mantissa, e)
	}
	return fmt.Sprintf("%se%+03d", mantissa, e)
}

// custom renders a pattern of .NET: zeros and number signs for digits, a point, a comma between digits for thousands, a
// percent sign, other characters as they are; up to three patterns for what is positive, negative and zero.
func custom(exact *big.Rat, spec string) string {
	sections := strings.Split(spec, ";")
	negative := exact.Sign() < 0
	switch {
	case exact.Sign() == 0 && len(sections) > 2:
		spec = sections[2]
	case negative && len(sections) > 1 && sections[1] != "":
		spec, negative = sections[1], false
	default:
		spec = sections[0]
	}
	value := new(big.Rat).Abs(exact)
	if strings.Contains(spec, "%") {
		value.Mul(value, big.NewRat(100, 1))
	}
	from, to := strings.IndexAny(spec, "0#."), strings.LastIndexAny(spec, "0#.")
	if from < 0 {
		return spec
	}
	whole, fraction, _ := strings.Cut(spec[from:to+1], ".")
	text := digitsOf(value, whole, fraction)
	if negative && strings.Trim(text, "0.,") != "" {
		text = "-" + text
	}
	return spec[:from] + text + spec[to+1:]
}

// digitsOf renders a value by the two halves of a pattern.
func digitsOf(value *big.Rat, whole, fraction string) string {
	most, least := strings.Count(fraction, "0")+strings.Count(fraction, "#"), strings.LastIndex(fraction, "0")+1
	before, after, _ := strings.Cut(value.FloatString(most), ".")
	for len(after) > least && strings.HasSuffix(after, "0") {
		after = after[:len(after)-1]
	}
	wanted := 0
	if first := strings.IndexByte(whole, '0'); first >= 0 {
		wanted = strings.Count(whole[first:], "0") + strings.Count(whole[first:], "#")
	}
	before = strings.TrimLeft(before, "0")
	before = strings.Repeat("0", max(0, wanted-len(before))) + before
	if strings.Contains(whole, ",") {
		before = grouped(before)
	}
	if after != "" {
		before += "." + after
	}
	return before
}

func padInteger(n int64, digits int) string {
	if n < 0 {
		return fmt.Sprintf("%0*d", digits+1, n)
	}
	return fmt.Sprintf("%0*d", digits, n)
}

// grouped puts commas between thousands.
func grouped(s string) string {
	s, fraction, has := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if has {
		s += "." + fraction
	}
	return sign + s
}
