package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vitrine/internal/web"
)

// said is a Visible error of a door's dialect.
type said struct {
	status int
	text   string
	header map[string]string
}

func (s *said) Error() string                 { return s.text }
func (s *said) Render() (int, string, []byte) { return s.status, "text/plain", []byte(s.text) }
func (s *said) Headers() map[string]string    { return s.header }

func hide(err error) web.Visible {
	if large, ok := errors.AsType[*web.TooLarge](err); ok {
		return &said{status: 413, text: large.Error()}
	}
	fault, ok := errors.AsType[*web.Fault](err)
	if !ok {
		return &said{status: 500, text: "neither a fault nor too large"}
	}
	return &said{status: 500, text: "internal error, request " + fault.RequestID}
}

// serve runs f within Serve and returns the answer and the line of the access log.
func serve(t *testing.T, r *http.Request, f func(http.ResponseWriter, *http.Request) error) (*http.Response, string, map[string]any) {
	t.Helper()
	var log bytes.Buffer
	rec := httptest.NewRecorder()
	h := web.Serve(web.Config{Log: slog.New(slog.NewJSONHandler(&log, nil)), MaxBody: 100}, web.Handler(hide, f))
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		h.ServeHTTP(rec, r)
	}()
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("log is not one line: %v\n%s", err, &log)
	}
	body, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result(), string(body), line
}

func TestErrors(t *testing.T) {
	refusal := &said{status: 403, text: "not you", header: map[string]string{"WWW-Authenticate": "Bearer x"}}
	read := func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		return fmt.Errorf("read the body: %w", err)
	}
	for _, tc := range []struct {
		name   string
		body   string
		f      func(http.ResponseWriter, *http.Request) error
		status int
		text   string // of the answer
		level  string
		logged string // in err
	}{
		{"visible", "", func(http.ResponseWriter, *http.Request) error { return refusal }, 403, "not you", "INFO", "not you"},
		{"visible, wrapped", "", func(http.ResponseWriter, *http.Request) error { return fmt.Errorf("secret: %w", refusal) }, 403, "not you", "INFO", "secret: not you"},
		{"fault", "", func(http.ResponseWriter, *http.Request) error { return errors.New("disk is full") }, 500, "internal error, request ", "ERROR", "disk is full"},
		{"panic", "", func(http.ResponseWriter, *http.Request) error { panic("oops") }, 500, "internal error, request ", "ERROR", "panic: oops"},
		{"body within the limit", strings.Repeat("x", 100), func(w http.ResponseWriter, r *http.Request) error {
			b, err := io.ReadAll(r.Body)
			web.Write(w, 200, "text/plain", b)
			return err
		}, 200, strings.Repeat("x", 100), "INFO", ""},
		{"body beyond the limit", strings.Repeat("x", 101), read, 413, "more than 100 bytes", "INFO", "read the body"},
		{"not implemented is no alarm", "", func(http.ResponseWriter, *http.Request) error { return &said{status: 501, text: "not yet"} }, 501, "not yet", "INFO", "not yet"},
		{"nothing written", "", func(http.ResponseWriter, *http.Request) error { return nil }, 200, "", "INFO", ""},
		{"error after half an answer", "", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			return errors.New("disk is full")
		}, 200, "half", "INFO", "disk is full"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/a/b?sig=private", strings.NewReader(tc.body))
		res, text, line := serve(t, r, tc.f)
		logged, _ := line["err"].(string)
		if res.StatusCode != tc.status || !strings.Contains(text, tc.text) || line["level"] != tc.level || !strings.Contains(logged, tc.logged) {
			t.Errorf("%s: %d %q, log %v", tc.name, res.StatusCode, text, line)
		}
		if tc.status == 500 && (strings.Contains(text, tc.logged) || !strings.Contains(text, res.Header.Get("x-ms-request-id"))) {
			t.Errorf("%s: the caller sees %q, request %s", tc.name, text, res.Header.Get("x-ms-request-id"))
		}
		if tc.status == 403 && res.Header.Get("WWW-Authenticate") != "Bearer x" {
			t.Errorf("%s: headers %v", tc.name, res.Header)
		}
		if int(line["status"].(float64)) != tc.status || line["request"] != res.Header.Get("x-ms-request-id") || line["path"] != "/a/b" ||
			int(line["bytes"].(float64)) != len(text) {
			t.Errorf("%s: log %v", tc.name, line)
		}
		if strings.Contains(fmt.Sprint(line), "private") {
			t.Errorf("%s: the query is in the log: %v", tc.name, line)
		}
	}
}

// A half-written answer must not look complete: the connection is cut.
func TestHalfAnswerIsCut(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	h := web.Serve(web.Config{Log: log}, web.Handler(hide, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		return errors.New("disk is full")
	}))
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.Server(h, log)
	server.Start()
	defer server.Close()
	res, err := server.Client().Get(server.URL)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("the answer looks complete")
	}
}

func TestIDs(t *testing.T) {
	const id, other = "0F8FAD5B-D9CB-469F-A165-70867728950E", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	for _, tc := range []struct {
		name        string
		send        map[string]string
		correlation string // "" : the request ID
		want        map[string]string
	}{
		{"nothing sent", nil, "", map[string]string{"x-ms-client-request-id": "", "client-request-id": ""}},
		{"ARM's correlation", map[string]string{"x-ms-correlation-request-id": id}, strings.ToLower(id), nil},
		{"Entra's correlation", map[string]string{"client-request-id": other}, other, map[string]string{"client-request-id": other}},
		{"not a GUID", map[string]string{"x-ms-correlation-request-id": "a\"b", "client-request-id": "x"}, "", map[string]string{"client-request-id": ""}},
		{"client's ID asked back", map[string]string{"x-ms-client-request-id": id, "x-ms-return-client-request-id": "True"}, "", map[string]string{"x-ms-client-request-id": id}},
		{"client's ID not asked back", map[string]string{"x-ms-client-request-id": id}, "", map[string]string{"x-ms-client-request-id": ""}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for name, value := range tc.send {
			r.Header.Set(name, value)
		}
		var ctx context.Context
		res, _, line := serve(t, r, func(_ http.ResponseWriter, r *http.Request) error {
			ctx = r.Context()
			web.Annotate(ctx, slog.String("who", "me"))
			return nil
		})
		want := tc.correlation
		if want == "" {
			want = web.RequestID(ctx)
		}
		if web.CorrelationID(ctx) != want || res.Header.Get("x-ms-correlation-request-id") != want || line["correlation"] != want || line["who"] != "me" {
			t.Errorf("%s: correlation %q, want %q, log %v", tc.name, web.CorrelationID(ctx), want, line)
		}
		if !web.IsID(web.RequestID(ctx)) || res.Header.Get("x-ms-request-id") != web.RequestID(ctx) {
			t.Errorf("%s: request ID %q", tc.name, web.RequestID(ctx))
		}
		for name, value := range tc.want {
			if got := res.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", tc.name, name, got, value)
			}
		}
	}
}

func TestIsID(t *testing.T) {
	if a, b := web.NewID(), web.NewID(); !web.IsID(a) || a == b || a[14] != '4' {
		t.Errorf("NewID: %q %q", a, b)
	}
	for _, s := range []string{"", "0f8fad5b-d9cb-469f-a165-70867728950", "0f8fad5bxd9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950g", "{f8fad5b-d9cb-469f-a165-70867728950}"} {
		if web.IsID(s) {
			t.Errorf("IsID(%q)", s)
		}
	}
}

// Without Serve around it a handler still answers; there is just no ID.
func TestHandlerAlone(t *testing.T) {
	rec := httptest.NewRecorder()
	web.Handler(hide, func(http.ResponseWriter, *http.Request) error { return errors.New("x") }).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != 500 || web.RequestID(t.Context()) != "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
