package account

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/provider/storage"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fuzzed is an exchange with an account whose name could be the letters of a SAS.
func fuzzed(r *http.Request) (*exchange, bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	path, err2 := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	x := &exchange{door: &door{Config: Config{Now: func() time.Time { return noon }}}, r: r, query: query,
		account: storage.Account{Name: "racwdl", UniqueID: "u", Keys: [][]byte{[]byte("key1"), []byte("key2")}, SharedKey: true}}
	x.container, x.blob, _ = strings.Cut(path, "/")
	return x, err == nil && err2 == nil
}

func signed(text string) string { return base64.StdEncoding.EncodeToString(mac([]byte("key1"), text)) }

// FuzzSAS changes a signed URL: what is still let in says the same as what was signed.
func FuzzSAS(f *testing.F) {
	const fields = "sp=racwdl&se=2030-01-01T00:00:00Z&sv=2021-06-08&sr=b"
	first, _ := fuzzed(&http.Request{Method: "GET", URL: &url.URL{Path: "/box/b", RawQuery: fields}})
	sig := url.QueryEscape(signed(first.serviceText(false)))
	for _, uri := range []string{"/box/b?" + fields, "/box/b?sp=racwdl%0A&se=2030-01-01T00:00:00Z&sv=2021-06-08&sr=b", "/box/b%0A?" + fields, "/box?" + fields,
		"/box/b?sp=&ss=2030-01-01T00:00:00Z%0A/blob/racwdl/box/b&srt=&se=2030&sv=2021-06-08", "/box%2Fb?" + fields, "/box/b?" + fields + "&sv=2018-11-09", "/box/b?" + fields + "&rsct=a",
		"/box/b?sp=racwdl&st=2030-01-01T00:00:00Z&sv=2021-06-08&sr=b", "/box/b?" + fields + "&si=&sip=&ses=", "/box/b?" + fields + "&skoid=a"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil || len(uri) > 4096 {
			return
		}
		q := u.Query()
		if q.Has("sig") {
			return
		}
		u.RawQuery += "&sig=" + sig
		x, ok := fuzzed(&http.Request{Method: "GET", URL: u, Header: http.Header{}, RemoteAddr: "127.0.0.1:1"})
		if !ok || q.Has("skoid") { // who it names is looked up
			return
		}
		p, err := x.prove()
		if err != nil {
			return
		}
		s, isSAS := p.(sas)
		if !isSAS || s.services != "" || s.permissions != "racwdl" || s.resource != "b" || x.container != "box" || x.blob != "b" || q.Get("se") != "2030-01-01T00:00:00Z" {
			t.Errorf("%q was let in as %+v for %q/%q", uri, p, x.container, x.blob)
		}
	})
}

// FuzzSharedKey changes a request that was signed with a key: what is still let in means the same.
func FuzzSharedKey(f *testing.F) {
	const request = "PUT /box/b?blockid=QUFB&comp=block HTTP/1.1\r\nHost: racwdl.blob.core.windows.net\r\nx-ms-date: Sun, 22 Nov 2026 12:00:00 GMT\r\nx-ms-meta-a: 1\r\nContent-Length: 3\r\n\r\nabc"
	read := func(raw string) (*exchange, bool) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil || r.Host == "" {
			return nil, false
		}
		return fuzzed(r)
	}
	first, _ := read(request)
	credential := "SharedKey racwdl:" + signed(first.stringToSign(strings.Compare))
	for _, raw := range []string{request, strings.Replace(request, "blockid=QUFB&comp=block", "blockid=QUFB%0Acomp:block", 1), strings.Replace(request, "/box/b", "/box%2Fb", 1),
		strings.Replace(request, "x-ms-meta-a: 1", "x-ms-meta-a: 1\r\nx-ms-meta-a: 2", 1), strings.Replace(request, "PUT", "POST", 1), strings.Replace(request, "comp=block", "COMP=block", 1),
		strings.Replace(request, "Content-Length: 3", "Transfer-Encoding: chunked", 1), strings.Replace(request, "&comp", "&comp=x&comp", 1), strings.Replace(request, "Host", "Range: bytes=0-1\r\nHost", 1)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		x, ok := read(raw)
		if !ok || len(raw) > 8192 {
			return
		}
		x.r.Header.Set("Authorization", credential)
		if _, err := x.prove(); err != nil {
			return
		}
		same := x.r.Method == "PUT" && x.container == "box" && x.blob == "b" && x.r.ContentLength == 3 && x.r.Header.Get("x-ms-meta-a") == "1"
		for name, want := range map[string]string{"comp": "block", "blockid": "QUFB", "restype": "", "snapshot": ""} {
			for k, v := range x.query {
				if strings.EqualFold(k, name) && strings.Join(v, ",") != want {
					same = false
				}
			}
		}
		if !same {
			t.Errorf("%q was let in", raw)
		}
	})
}
