package template_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vitrine/internal/template"
)

func TestLenient(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"strict": {`{"a":[1,-2.5e+3,true,null,"x\u00e9\n"]}`, `{"a":[1,-2.5e+3,true,null,"x\u00e9\n"]}`},
		// The form that az deployment group create sends.
		"az": {
			"{\"properties\": {\"parameters\": {\"p\": {\"value\": 1}}, \"mode\": \"Incremental\", template:{\r\n  // a comment, \"quoted\"\r\n  \"a\": \"x // no comment\", /* b\n lock */ \"b\": [1, 2,],\n}\r\n}}",
			`{"properties":{"parameters":{"p":{"value":1}},"mode":"Incremental","template":{"a":"x // no comment","b":[1,2]}}}`,
		},
		"string of several lines": {"{\"a\":\"one\r\n\ttwo\"}", `{"a":"one\r\n\ttwo"}`},
		"byte order mark":         {"\ufeff{\"t\":\ufeff{}}", `{"t":{}}`},
		"empty":                   {"{,}", ""},
		"unquoted value":          {"{a:b}", ""},
		"single quotes":           {"{'a':1}", ""},
		"two values":              {"{} {}", ""},
		"nothing":                 {"", ""},
		"open":                    {`{"a":`, ""},
		"open string":             {`{"a":"`, ""},
		"open comment":            {`{/*`, ""},
		"escape":                  {`{"a":"\x"}`, ""},
		"number":                  {`{"a":01}`, ""},
		"deep":                    {strings.Repeat("[", 200), ""},
		"large":                   {`"` + strings.Repeat("x", 9<<20) + `"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := template.Lenient([]byte(c.in))
			if c.want == "" {
				var e *template.Error
				if !errors.As(err, &e) || e.Code != template.CodeInvalidRequestContent || e.Line < 1 || e.Position < 1 {
					t.Errorf("accepted as %.100s, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if same(t, got) != same(t, []byte(c.want)) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func same(t *testing.T, data []byte) string {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

func TestLenientErrorPlace(t *testing.T) {
	_, err := template.Lenient([]byte("{\"properties\": {\n  template: { \"a\": ?}}}"))
	want := "The request content was invalid and could not be deserialized: 'Unexpected character encountered while parsing value: ?. Path 'properties.template.a', line 2, position 20.'."
	var e *template.Error
	if !errors.As(err, &e) || e.Message != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Lines of faults in the template are those of the author's file, whatever was taken out.
func TestLenientKeepsLines(t *testing.T) {
	raw, err := template.Lenient([]byte("{\"$schema\":\"a\nb\", /* c\n */ \"contentVersion\": \"1\", // d\n \"resources\": [],\n \"variables\": {\"v\": \"[foo()]\"}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, errs := template.Parse(raw); len(errs) != 1 || errs[0].Line != 5 {
		t.Errorf("%+v", errs)
	}
}

func FuzzLenient(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{`, "{a:[1,],/*x*/\"b\":\"y\nz\"//\n}", `{"properties": {"mode": "Incremental", template:{}}}`, "\ufeff[]", `"\u12`, `{"a":"\"`, "[[[[", "-", "{\"a\" :\t1 ,}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := template.Lenient(data)
		if err != nil {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("invalid JSON %q from %q", out, data)
		}
		again, err := template.Lenient(out)
		if err != nil || string(again) != string(out) {
			t.Fatalf("not stable: %q then %q, %v", out, again, err)
		}
		_, _ = template.Parse(out)
	})
}
