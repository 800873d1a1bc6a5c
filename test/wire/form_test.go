package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// What differs from run to run is written by its kind. Order matters: URLs with signatures first, then what is in them.
var kinds = []struct {
	form *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`https://md-[a-z0-9]+\.[a-z0-9.]+/[^"<\s]*`), "{sas}"},
	{regexp.MustCompile(`/operationStatuses/[0-9]{19,20}`), "/operationStatuses/{digits}"},
	{regexp.MustCompile(`/operationresults/[A-Za-z0-9_=-]+`), "/operationresults/{opaque}"},
	{regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{7}`), "{time}"},
	{regexp.MustCompile(`"duration": "PT[0-9.]+S"`), `"duration": "{duration}"`},
	{regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT`), "{date}"},
	{regexp.MustCompile(`0x8D[0-9A-F]{13}`), "{etag}"},
	{regexp.MustCompile(`[A-Za-z0-9+/]{86}==`), "{key}"},
	{regexp.MustCompile(`\b[0-9a-f]{24}\.bx\.internal`), "{hex}.bx.internal"},
	{regexp.MustCompile(`disk1_[0-9a-f]{32}\b`), "disk1_{hex}"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "{hex}"},
	{regexp.MustCompile(`([0-9A-F]{2}-){5}[0-9A-F]{2}\b`), "{mac}"},
}

var guidForm = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// plain takes from a text what differs from run to run. GUIDs and times that the file has itself stay.
func (w *world) plain(text, file string) string {
	for _, k := range kinds {
		text = k.form.ReplaceAllStringFunc(text, func(s string) string {
			if strings.Contains(file, s) {
				return s
			}
			return k.form.ReplaceAllString(s, k.to)
		})
	}
	return guidForm.ReplaceAllStringFunc(text, func(s string) string {
		if name, ok := w.known[strings.ToLower(s)]; ok {
			return name
		}
		if strings.Contains(file, s) {
			return s
		}
		return "{guid}"
	})
}

// pretty lays a body out, with the order of members as it is: JSON, XML, or anything else as it is.
func pretty(raw string) string {
	raw = strings.TrimSpace(strings.TrimPrefix(raw, "\ufeff"))
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(raw), "", "  "); err == nil {
		return out.String()
	}
	if laid, ok := prettyXML(raw); ok {
		return laid
	}
	return raw
}

func prettyXML(raw string) (string, bool) {
	if !strings.HasPrefix(raw, "<") {
		return "", false
	}
	var out bytes.Buffer
	in, to := xml.NewDecoder(strings.NewReader(raw)), xml.NewEncoder(&out)
	to.Indent("", "  ")
	for {
		token, err := in.Token()
		if err == io.EOF {
			flushed := to.Flush() == nil
			return out.String(), flushed
		}
		if text, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if _, ok := token.(xml.ProcInst); ok {
			continue
		}
		if err != nil || to.EncodeToken(token) != nil {
			return "", false
		}
	}
}

// ordered sorts the members of every object.
func ordered(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return text
	}
	return string(raw)
}

// lacks says which part of a JSON body is not there; nothing when all is.
func lacks(part, body string) string {
	var want, got any
	if err := json.Unmarshal([]byte(part), &want); err != nil {
		return "the part that is written is no JSON: " + err.Error()
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return "the body is no JSON: " + err.Error()
	}
	return missing("", want, got)
}

func missing(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is no object", at)
		}
		for name, v := range want {
			if miss := missing(at+"."+name, v, g[name]); miss != "" {
				return miss
			}
		}
		return ""
	case []any:
		list, _ := got.([]any)
		for i, v := range want {
			if !slices.ContainsFunc(list, func(g any) bool { return missing(at, v, g) == "" }) {
				return fmt.Sprintf("%s has nothing like the written [%d]", at, i)
			}
		}
		return ""
	}
	if want != got {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}
