package builtin

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// dateFunctions are the functions over dates. Never written to.
var dateFunctions = map[string]Function{
	"datetimeadd":       {Min: 2, Max: 3, Eval: dateTimeAdd},
	"datetimefromepoch": {Min: 1, Max: 1, Eval: dateTimeFromEpoch},
	"datetimetoepoch":   {Min: 1, Max: 1, Eval: dateTimeToEpoch},
}

// moment reads argument i as a date with time.
func (c *Call) moment(i int) (time.Time, error) {
	s, err := c.Text(i)
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05Z", "2006-01-02 15:04:05", "20060102T150405Z", "2006-01-02", "01/02/2006 15:04:05", "01/02/2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, c.Fail("expects its parameter '%d' to be a date and time of ISO 8601", i+1)
}

var isoDuration = regexp.MustCompile(`^(-?)P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?$`)

// dateTimeAdd adds a duration of ISO 8601. As ARM documents, a year has 365 days here and a month 30.
func dateTimeAdd(c *Call) (any, error) {
	t, err := c.moment(0)
	if err != nil {
		return nil, err
	}
	text, err := c.Text(1)
	if err != nil {
		return nil, err
	}
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return nil, c.Fail("expects its parameter '2' to be a duration of ISO 8601")
	}
	part := func(i int) int { n, _ := strconv.Atoi("0" + m[i]); return n }
	days := part(2)*365 + part(3)*30 + part(4)*7 + part(5)
	seconds := part(6)*3600 + part(7)*60 + part(8)
	if m[1] == "-" {
		days, seconds = -days, -seconds
	}
	t = t.AddDate(0, 0, days+seconds/86400).Add(time.Duration(seconds%86400) * time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		return nil, c.Fail("leaves the years 1 to 9999")
	}
	layout := "yyyy-MM-ddTHH:mm:ssZ"
	if c.Has(2) {
		if layout, err = c.Text(2); err != nil {
			return nil, err
		}
	}
	return FormatTime(t.UTC(), layout), nil
}

func dateTimeFromEpoch(c *Call) (any, error) {
	n, err := c.Integer(0)
	if err != nil || n < -62135596800 || n > 253402300799 {
		return nil, c.Fail("expects seconds of the years 1 to 9999")
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339), nil
}

func dateTimeToEpoch(c *Call) (any, error) {
	t, err := c.moment(0)
	return t.Unix(), err
}

var timeRun = regexp.MustCompile(`'[^']*'|"[^"]*"|\\.|y+|M+|d+|H+|h+|m+|s+|f+|F+|t+|z+|K|.`)

// FormatTime writes t as .NET's DateTime.ToString does: the standard formats that templates use and custom ones.
func FormatTime(t time.Time, layout string) string {
	standard := map[string]string{"d": "MM/dd/yyyy", "o": "yyyy-MM-ddTHH:mm:ss.fffffffK", "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
		"s": "yyyy-MM-ddTHH:mm:ss", "u": "yyyy-MM-dd HH:mm:ss'Z'", "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'", "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
		"t": "HH:mm", "T": "HH:mm:ss", "g": "MM/dd/yyyy HH:mm", "G": "MM/dd/yyyy HH:mm:ss"}
	if full, ok := standard[layout]; ok {
		layout = full
	}
	var b strings.Builder
	for _, run := range timeRun.FindAllString(layout, -1) {
		b.WriteString(timePart(t, run))
	}
	return b.String()
}

func timePart(t time.Time, run string) string {
	layouts := map[string]string{"MMMM": "January", "MMM": "Jan", "dddd": "Monday", "ddd": "Mon", "h": "3", "hh": "03", "tt": "PM", "zzz": "-07:00"}
	if layout, ok := layouts[run]; ok {
		return t.Format(layout)
	}
	pad := func(n int) string { return fmt.Sprintf("%0*d", len(run), n) }
	switch run[0] {
	case '\'', '"':
		if len(run) > 1 {
			return run[1 : len(run)-1]
		}
	case '\\':
		return run[min(1, len(run)-1):]
	case 'y':
		if len(run) <= 2 {
			return pad(t.Year() % 100)
		}
		return pad(t.Year())
	case 'M':
		return pad(int(t.Month()))
	case 'd':
		return pad(t.Day())
	case 'H':
		return pad(t.Hour())
	case 'm':
		return pad(t.Minute())
	case 's':
		return pad(t.Second())
	case 'f', 'F':
		return fmt.Sprintf("%09d", t.Nanosecond())[:min(len(run), 7)]
	case 't':
		return t.Format("PM")[:1]
	case 'z':
		return t.Format("-07")
	case 'K':
		return "Z"
	}
	return run
}
