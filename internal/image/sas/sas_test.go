package sas

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestSignedURL(t *testing.T) {
	key := NewKey()
	u := New("z1.blob.storage.azure.net", "0f7a2d0e-8c7f-4f3e-9d55-111111111111")
	text := u.Sign(key)
	form := regexp.MustCompile(`^https://md-[a-z0-9]{12}\.z1\.blob\.storage\.azure\.net/[a-z0-9]{12}/abcd\?sv=2018-03-28&sr=b&si=[0-9a-f-]{36}&sig=[A-Za-z0-9%]+$`)
	if !form.MatchString(text) {
		t.Fatalf("URL %s", text)
	}
	verify := func(host string, change func(*url.URL, url.Values)) error {
		p, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		q := p.Query()
		change(p, q)
		got, err := Parse(host, p.EscapedPath(), q)
		if err != nil {
			return err
		}
		return got.Verify(key)
	}
	if err := verify(u.Host, func(*url.URL, url.Values) {}); err != nil {
		t.Fatal(err)
	}
	if err := verify(strings.ToUpper(u.Host)+":443", func(_ *url.URL, q url.Values) { q.Set("comp", "page") }); err != nil {
		t.Errorf("with port and comp: %v", err)
	}
	for name, change := range map[string]func(*url.URL, url.Values){
		"path": func(p *url.URL, _ url.Values) { p.Path += "x" }, "si": func(_ *url.URL, q url.Values) { q.Set("si", "other") },
		"sv": func(_ *url.URL, q url.Values) { q.Set("sv", "2020-10-02") }, "sr": func(_ *url.URL, q url.Values) { q.Set("sr", "c") },
		"sig": func(_ *url.URL, q url.Values) { q.Set("sig", "AAAA") }, "no sig": func(_ *url.URL, q url.Values) { q.Del("sig") },
		"two si": func(_ *url.URL, q url.Values) { q.Add("si", "x") }, "bad sig": func(_ *url.URL, q url.Values) { q.Set("sig", "%%") },
	} {
		if err := verify(u.Host, change); err == nil {
			t.Errorf("changed %s was taken", name)
		}
	}
	if err := verify("md-other.z1.blob.storage.azure.net", func(*url.URL, url.Values) {}); err == nil {
		t.Error("another host was taken")
	}
	good, err := Parse(u.Host, u.Path, url.Values{"sv": {Version}, "sr": {"b"}, "si": {u.ID}, "sig": {""}})
	if err == nil && (good.Verify(nil) == nil || good.Verify(key) == nil) {
		t.Error("an empty signature was taken")
	}
}
