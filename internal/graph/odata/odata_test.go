package odata

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func sample() map[string]any {
	return map[string]any{"id": "1", "displayName": "O'Brien Tools", "appId": "A", "accountEnabled": true, "mail": nil,
		"servicePrincipalNames": []string{"A", "api://a"}, "createdDateTime": "2026-11-22T10:00:00Z",
		"keyCredentials": []map[string]any{{"keyId": "k", "usage": "Verify"}}, "web": map[string]any{"homePageUrl": "https://x"}}
}

func TestFilter(t *testing.T) {
	for filter, want := range map[string]bool{
		"appId eq 'a'":                                                   true,
		"appId eq 'b'":                                                   false,
		"appId ne 'b'":                                                   true,
		"displayName eq 'O''Brien Tools'":                                true,
		"startswith(displayName,'o''bri')":                               true,
		"startsWith(displayName, 'x')":                                   false,
		"startswith(displayName,'O') eq true":                            true,
		"startswith(displayName,'O') eq false":                           false,
		"endswith(displayName,'tools')":                                  true,
		"contains(displayName,'brien')":                                  true,
		"accountEnabled eq true and appId eq 'A'":                        true,
		"accountEnabled eq false or appId eq 'A'":                        true,
		"not (accountEnabled eq true)":                                   false,
		"not accountEnabled eq false":                                    true,
		"appId eq 'x' or appId eq 'y' and appId eq 'A'":                  false,
		"(appId eq 'x' or appId eq 'A') and accountEnabled eq true":      true,
		"servicePrincipalNames/any(c:c eq 'API://A')":                    true,
		"servicePrincipalNames/any(c:c eq 'z')":                          false,
		"servicePrincipalNames/any(c:startswith(c,'api://'))":            true,
		"servicePrincipalNames/all(c:startswith(c,'a'))":                 true,
		"servicePrincipalNames/all(c:startswith(c,'api'))":               false,
		"keyCredentials/any(k:k/keyId eq 'K' and k/usage eq 'Verify')":   true,
		"keyCredentials/any()":                                           true,
		"web/homePageUrl eq 'https://x'":                                 true,
		"mail eq null":                                                   true,
		"mail ne null":                                                   false,
		"displayName ne null":                                            true,
		"appId in ('b', 'a')":                                            true,
		"appId in ('b')":                                                 false,
		"createdDateTime ge 2026-11-22T09:00:00Z":                        true,
		"createdDateTime lt 2026-11-22T09:00:00Z":                        false,
		"createdDateTime eq 2026-11-22T11:00:00+01:00":                   true,
		"mail gt 'a'":                                                    false,
		"appId eq 'a' and displayName eq 'x' or accountEnabled eq true ": true,
	} {
		f, err := ParseFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if err := f.Check(sample()); err != nil {
			t.Errorf("%s: %v", filter, err)
		}
		if got := f.Match(sample()); got != want {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
	}
}

func TestFilterRefused(t *testing.T) {
	for _, filter := range []string{"", "appId", "appId eq", "appId eq 'a", "eq 'a'", "appId eq 'a' and", "appId has 'a'", "tolower(appId) eq 'a'",
		"(appId eq 'a'", "appId eq 'a')", "appId eq 'a' appId eq 'a'", "nothing eq 'a'", "startswith(nothing,'a')", "names/any(c:c eq 'a')",
		"appId in ()", "appId in ('a'", "servicePrincipalNames/any(c:d eq 'a')", "servicePrincipalNames/$count gt 1", "appId eq \xff", "a;b", "servicePrincipalNames/any(a:servicePrincipalNames/any(b:b eq 'x'))", "/any(x:x eq 1)",
		strings.Repeat("(", 30) + "appId eq 'a'" + strings.Repeat(")", 30), strings.Repeat("not ", 30) + "appId eq 'a'",
		strings.Repeat("appId eq 'a' or ", 220) + "appId eq 'a'", "displayName eq '" + strings.Repeat("x", 5000) + "'"} {
		f, err := ParseFilter(filter)
		if err == nil {
			err = f.Check(sample())
		}
		if fault, ok := errors.AsType[*Error](err); !ok || fault.Status < 400 {
			t.Errorf("%.60q: %v", filter, err)
		}
	}
}

func TestPinned(t *testing.T) {
	for filter, want := range map[string]string{
		"appId eq 'a'":                                  "a",
		"displayName eq 'x' and appId eq 'a'":           "a",
		"appId eq 'a' or appId eq 'b'":                  "",
		"not (appId eq 'a')":                            "",
		"appId ne 'a'":                                  "",
		"servicePrincipalNames/any(c:c eq 'a')":         "",
		"servicePrincipalNames/all(appId:appId eq 'a')": "",
	} {
		f, err := ParseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := f.Pinned("appId"); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	f, err := ParseFilter("servicePrincipalNames/any(c:c eq 'a')")
	if got, ok := f.Pinned("servicePrincipalNames"); err != nil || !ok || got != "a" {
		t.Errorf("lambda: %q %v %v", got, ok, err)
	}
}

// Pages put together are the whole, in order and each once, also when something is added between them.
func TestPages(t *testing.T) {
	var all []map[string]any
	for i := range 25 {
		all = append(all, map[string]any{"id": fmt.Sprintf("%02d", (i*7)%25), "displayName": fmt.Sprintf("n%d", i%4)})
	}
	for _, order := range []string{"", "displayName", "displayName desc"} {
		seen, last, token := 0, []string{"", ""}, ""
		for {
			v := url.Values{"$top": {"4"}}
			if order != "" {
				v.Set("$orderby", order)
			}
			if token != "" {
				v.Set("$skiptoken", token)
			}
			q, err := Parse(v)
			if err != nil {
				t.Fatal(err)
			}
			page, total, next := q.Page(all)
			if total != 25 {
				t.Fatalf("total %d", total)
			}
			for _, o := range page {
				if seen > 0 && q.compare(last, q.place(o)) >= 0 {
					t.Errorf("%s: %v after %v", order, q.place(o), last)
				}
				last = q.place(o)
				seen++
			}
			if token = next; token == "" {
				break
			}
		}
		if seen != 25 {
			t.Errorf("%q: %d objects in all pages", order, seen)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, query := range []string{"$top=0", "$top=1000", "$top=x", "$count=yes", "$search=%22a%22", "$skip=1", "$skiptoken=%25", "$skiptoken=YQ",
		"$orderby=a,b", "$orderby=a+b+c", "x=1", "$filter=a+eq+1&$filter=b+eq+2", "$apply=x"} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(v); err == nil {
			t.Errorf("%s was accepted", query)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"appId eq 'a'", "not (startswith(displayName,'x') or a/any(c:c/d eq null))", "x in ('a',2026-11-22T10:00:00Z)", "((", "a/b/all(x:x ne 'y') eq"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		filter, err := ParseFilter(s)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%q: %T", s, err)
			}
			return
		}
		filter.Match(sample())
		_ = filter.Check(sample())
		if v, ok := filter.Pinned("appId"); ok {
			other := sample()
			other["appId"] = v + "x"
			if filter.Match(other) {
				t.Fatalf("%q pins appId to %q and matches another", s, v)
			}
		}
	})
}
