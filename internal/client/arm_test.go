package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
)

// step is one exchange that a test expects.
type step struct {
	want   string // method and URL
	status int
	header map[string]string
	body   string
	err    error
}

// script answers the exchanges of a test, in order.
type script struct {
	t     *testing.T
	steps []step
	at    int
}

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	got := r.Method + " " + r.URL.String()
	if s.at == len(s.steps) {
		s.t.Fatalf("unexpected request %s", got)
	}
	next := s.steps[s.at]
	s.at++
	if got != next.want {
		s.t.Errorf("request %d is %s, want %s", s.at, got, next.want)
	}
	if auth := r.Header.Get("Authorization"); auth != "Bearer secret" {
		s.t.Errorf("Authorization is %q", auth)
	}
	if next.err != nil {
		return nil, next.err
	}
	h := http.Header{"Retry-After": {"0"}}
	for k, v := range next.header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: next.status, Header: h, Body: io.NopCloser(strings.NewReader(next.body)), Request: r}, nil
}

func scripted(t *testing.T, steps ...step) *ARM {
	s := &script{t: t, steps: steps}
	t.Cleanup(func() {
		if s.at != len(s.steps) {
			t.Errorf("%d of %d expected requests were sent", s.at, len(s.steps))
		}
	})
	return &ARM{http: &http.Client{Transport: s}, fresh: func(context.Context) (Token, error) {
		return Token{AccessToken: "secret", Expires: time.Now().Add(time.Hour)}, nil
	}}
}

const (
	base = "https://management.azure.com"
	disk = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d"
	at   = base + disk + "?api-version=1"
)

func TestFollow(t *testing.T) {
	async := map[string]string{"Azure-AsyncOperation": base + "/op", "Location": base + "/result"}
	location := map[string]string{"Location": base + "/result"}
	running, succeeded := `{"status":"InProgress"}`, `{"status":"Succeeded"}`
	for name, test := range map[string]struct {
		method string
		steps  []step
	}{
		"PUT at once": {"PUT", []step{{want: "PUT " + at, status: 200, body: `{"name":"d"}`}}},
		"PUT by Azure-AsyncOperation": {"PUT", []step{{want: "PUT " + at, status: 201, header: async, body: `{}`},
			{want: "GET " + base + "/op", status: 200, body: running}, {want: "GET " + base + "/op", status: 200, body: succeeded},
			{want: "GET " + at, status: 200, body: `{"name":"d"}`}}},
		"PUT by provisioningState": {"PUT", []step{{want: "PUT " + at, status: 201, body: `{"properties":{"provisioningState":"Creating"}}`},
			{want: "GET " + at, status: 200, body: `{"properties":{"provisioningState":"Updating"}}`},
			{want: "GET " + at, status: 200, body: `{"name":"d","properties":{"provisioningState":"Succeeded"}}`}}},
		"POST by Azure-AsyncOperation, result at Location": {"POST", []step{{want: "POST " + at, status: 202, header: async},
			{want: "GET " + base + "/op", status: 200, body: succeeded}, {want: "GET " + base + "/result", status: 200, body: `{"name":"d"}`}}},
		"POST by Location": {"POST", []step{{want: "POST " + at, status: 202, header: location},
			{want: "GET " + base + "/result", status: 202}, {want: "GET " + base + "/result", status: 200, body: `{"name":"d"}`}}},
		"busy, then a lost answer": {"PUT", []step{{want: "PUT " + at, status: 429}, {want: "PUT " + at, status: 503},
			{want: "PUT " + at, status: 200, body: `{"name":"d"}`}}},
	} {
		t.Run(name, func(t *testing.T) {
			var out struct{ Name string }
			if err := scripted(t, test.steps...).Do(t.Context(), test.method, disk, "1", nil, &out); err != nil {
				t.Fatal(err)
			}
			if out.Name != "d" {
				t.Errorf("the result is %+v", out)
			}
		})
	}
}

func TestFollowFailures(t *testing.T) {
	async := map[string]string{"Azure-AsyncOperation": base + "/op"}
	elsewhere := map[string]string{"Azure-AsyncOperation": "https://elsewhere.example/op"}
	for name, test := range map[string]struct {
		steps []step
		code  string // of an *arm.Error; empty: any other error
	}{
		"refused":                  {[]step{{want: "PUT " + at, status: 403, body: `{"error":{"code":"AuthorizationFailed","message":"no"}}`}}, "AuthorizationFailed"},
		"failed later":             {[]step{{want: "PUT " + at, status: 201, header: async}, {want: "GET " + base + "/op", status: 200, body: `{"status":"Failed","error":{"code":"InvalidVhd","message":"no"}}`}}, "InvalidVhd"},
		"failed, no reason":        {[]step{{want: "PUT " + at, status: 201, header: async}, {want: "GET " + base + "/op", status: 200, body: `{"status":"Canceled"}`}}, "OperationCanceled"},
		"failed resource":          {[]step{{want: "PUT " + at, status: 200, body: `{"properties":{"provisioningState":"Failed"}}`}}, "ResourceDeploymentFailed"},
		"no token for other hosts": {[]step{{want: "PUT " + at, status: 201, header: elsewhere}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := scripted(t, test.steps...).Do(t.Context(), "PUT", disk, "1", nil, nil)
			refused, ok := errors.AsType[*arm.Error](err)
			if err == nil || ok != (test.code != "") || ok && refused.Code != test.code {
				t.Errorf("the error is %v, want %s", err, test.code)
			}
		})
	}
}

// An action whose answer was lost may have been done; it is not sent twice.
func TestLostAnswer(t *testing.T) {
	lost := errors.New("connection reset")
	a := scripted(t, step{want: "POST " + at, err: lost})
	if err := a.Do(t.Context(), "POST", disk, "1", nil, nil); !errors.Is(err, lost) {
		t.Errorf("the error is %v", err)
	}
}

func TestListPages(t *testing.T) {
	a := scripted(t, step{want: "GET " + base + "/list?$expand=x&api-version=1", status: 200, body: `{"value":["a"],"nextLink":"` + base + `/list?page=2"}`},
		step{want: "GET " + base + "/list?page=2", status: 200, body: `{"value":["b"]}`})
	list, err := List[string](t.Context(), a, "/list?$expand=x", "1")
	if err != nil || strings.Join(list, ",") != "a,b" {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 2 * time.Second, "0": 0, "7": 7 * time.Second, "-1": 2 * time.Second, "99999": time.Minute, "soon": 2 * time.Second} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, 2*time.Second); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}
