package sdk

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser opens the pages of the token service as a person would, without a script: it follows redirects, fills in the form that it
// gets and accepts what it is asked.
type browser struct {
	t      *testing.T
	http   *http.Client
	person user
	answer url.Values // what the token service let the browser post to where open ended; nil: it led there by a redirect
}

func newBrowser(t *testing.T, person user) *browser {
	return &browser{t: t, person: person, http: &http.Client{Jar: must(cookiejar.New(nil)),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

var (
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
	action = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
	fault  = regexp.MustCompile(`role="alert"[^>]*>([^<]+)<`)
)

// open goes on until the token service sends the browser elsewhere, and gives that address; or until it says that all is done: "".
func (b *browser) open(address string) string {
	b.t.Helper()
	b.answer = nil
	var form url.Values
	for range 12 {
		at := must(url.Parse(address))
		if at.Host != "login.microsoftonline.com" {
			return address
		}
		page, to := b.load(address, form)
		form = nil
		if to != "" {
			address = at.ResolveReference(must(url.Parse(to))).String()
			continue
		}
		if m := action.FindStringSubmatch(page); m != nil { // the client asked for a form instead of a redirect
			b.answer = fields(page)
			return html.UnescapeString(m[1])
		}
		if m := fault.FindStringSubmatch(page); m != nil {
			b.t.Fatalf("%s: %s", address, m[1])
		}
		form = fields(page)
		switch {
		case strings.Contains(page, `name="password"`):
			form.Set("act", "signin")
			form.Set("username", b.person.UserPrincipalName)
			form.Set("password", b.person.Password)
		case strings.Contains(page, `value="accept"`):
			form.Set("act", "accept")
		case strings.Contains(page, `role="status"`):
			return ""
		default:
			b.t.Fatalf("%s is a page that nobody expects:\n%s", address, page)
		}
	}
	b.t.Fatalf("the token service leads round in circles: %s", address)
	return ""
}

// approve types the code of a device.
func (b *browser) approve(address, code string) {
	b.t.Helper()
	if end := b.open(address + "?user_code=" + url.QueryEscape(code)); end != "" {
		b.t.Errorf("the device's page leads to %s", end)
	}
}

func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

// load gets a page, or sends a form; to is where it leads, if it does.
func (b *browser) load(address string, form url.Values) (page, to string) {
	b.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r := must(http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode())))
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://login.microsoftonline.com")
	}
	answer, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	return string(must(io.ReadAll(answer.Body))), answer.Header.Get("Location")
}

// follow is open, and then the loopback address on which a library waits.
func (b *browser) follow(address string) error {
	end := b.open(address)
	var r *http.Response
	var err error
	if b.answer != nil {
		r, err = http.PostForm(end, b.answer)
	} else {
		r, err = http.Get(end)
	}
	if err == nil {
		r.Body.Close()
	}
	return err
}
