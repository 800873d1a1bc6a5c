package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"vitrine/internal/image/pace"
)

const (
	armHost  = "management.azure.com"
	armTries = 5
	maxBody  = 64 << 20
)

// HTTP is a client that reaches Azure's hosts through the server's proxy and trusts the bundle that the server wrote.
// The environment's own proxy is not asked: it may lead to another server.
func (s Server) HTTP() (*http.Client, error) {
	proxy, err := url.Parse(s.Proxy)
	if err != nil || proxy.Host == "" {
		return nil, fmt.Errorf("the server's proxy address %q is not a URL", s.Proxy)
	}
	pem, err := os.ReadFile(s.Bundle)
	if err != nil {
		return nil, fmt.Errorf("the server's certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.Bundle)
	}
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 30 * time.Second},
		// A token must not follow a redirection to another host; ARM redirects nobody.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// TokenSource gives an access token for Azure Resource Manager.
type TokenSource func(context.Context) (Token, error)

// ARM speaks to Azure Resource Manager as one principal: requests, retries, long-running operations.
type ARM struct {
	http  *http.Client
	fresh TokenSource

	mu    sync.Mutex
	token Token
}

// NewARM makes a client of the server's Azure Resource Manager. tokens is asked again shortly before a token expires.
func NewARM(s Server, tokens TokenSource) (*ARM, error) {
	h, err := s.HTTP()
	if err != nil {
		return nil, err
	}
	return &ARM{http: h, fresh: tokens}, nil
}

// Do sends a request to a path, which may carry a query, and follows what it started to the end. The resource, or the
// result of an action, is decoded into out, which may be nil. An error that the server answered is an *arm.Error.
func (a *ARM) Do(ctx context.Context, method, path, version string, in, out any) error {
	p, err := a.Begin(ctx, method, path, version, in)
	if err != nil {
		return err
	}
	for {
		done, err := p.Poll(ctx)
		if err != nil {
			return err
		}
		if done {
			return p.Result(ctx, out)
		}
		if err := pace.Sleep(ctx, p.Interval()); err != nil {
			return err
		}
	}
}

// Get reads a resource or a page of a list.
func (a *ARM) Get(ctx context.Context, path, version string, out any) error {
	reply, err := a.send(ctx, http.MethodGet, resourceURL(path, version), nil)
	if err != nil {
		return err
	}
	return reply.decode(out)
}

// List reads all pages of a list.
func List[T any](ctx context.Context, a *ARM, path, version string) ([]T, error) {
	var all []T
	for next := resourceURL(path, version); next != ""; {
		reply, err := a.send(ctx, http.MethodGet, next, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Value    []T    `json:"value"`
			NextLink string `json:"nextLink"`
		}
		if err := reply.decode(&page); err != nil {
			return nil, err
		}
		all, next = append(all, page.Value...), page.NextLink
	}
	return all, nil
}

func resourceURL(path, version string) string {
	path, query, _ := strings.Cut(path, "?")
	if query != "" {
		query += "&"
	}
	return (&url.URL{Scheme: "https", Host: armHost, Path: path, RawQuery: query + "api-version=" + version}).String()
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) decode(out any) error {
	if out == nil || len(bytes.TrimSpace(r.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.body, out); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return nil
}

// send sends one request, again when the server was busy or failed, or when an answer to what may be repeated was lost.
func (a *ARM) send(ctx context.Context, method, target string, in any) (reply, error) {
	var body []byte
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return reply{}, err
		}
		body = raw
	}
	for try := 1; ; try++ {
		r, err := a.once(ctx, method, target, body)
		if err == nil && r.status < 400 {
			return r, nil
		}
		again := err != nil && method != http.MethodPost && !errors.Is(err, errToken) && !isRefused(err) || err == nil && transient(r.status)
		if !again || try == armTries || ctx.Err() != nil {
			if err == nil {
				err = ReadError(r.status, r.body)
			}
			return r, err
		}
		if err := pace.Sleep(ctx, retryAfter(r.header, time.Second<<(try-1))); err != nil {
			return r, err
		}
	}
}

// errToken is what no repetition mends.
var errToken = errors.New("no access token is sent")

func (a *ARM) once(ctx context.Context, method, target string, body []byte) (reply, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), armHost) {
		return reply{}, fmt.Errorf("%w: the server names the address %.200q", errToken, target)
	}
	token, err := a.bearer(ctx)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %w", errToken, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return reply{}, unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return reply{resp.StatusCode, resp.Header, raw}, err
}

// bearer gives a token that is good for some minutes more.
func (a *ARM) bearer(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token.AccessToken == "" || time.Until(a.token.Expires) < 5*time.Minute {
		t, err := a.fresh(ctx)
		if err != nil {
			return "", err
		}
		a.token = t
	}
	return a.token.AccessToken, nil
}

// transient are the statuses that Azure's SDKs repeat a request for.
func transient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func unreachable(err error) error {
	if isRefused(err) {
		return fmt.Errorf("the server's proxy does not answer; is 'vitrine serve' running? (%w)", err)
	}
	return err
}

const longestPause = time.Minute

// retryAfter reads the header of that name, in seconds; it is not obeyed beyond a minute.
func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s >= 0 {
		return min(time.Duration(s)*time.Second, longestPause)
	}
	return min(otherwise, longestPause)
}
