package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Origin is a place that the operator allows: https, a host and a port. With Pinned it is reached at that address alone,
// which the operator vouches for, so that it may be a private one.
type Origin struct {
	Host   string // lower case, without a port
	Port   string
	Pinned netip.Addr
}

// ParseOrigin reads "https://HOST[:PORT][/…][=ADDRESS]". What follows the host as a path is not looked at here.
func ParseOrigin(s string) (Origin, error) {
	address, pin, pinned := strings.Cut(s, "=")
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Origin{}, fmt.Errorf("%q is not an address of the form https://HOST[:PORT][/PATH][=IP]", s)
	}
	o := Origin{Host: strings.ToLower(u.Hostname()), Port: portOf(u)}
	if _, err := netip.ParseAddr(o.Host); err == nil {
		return Origin{}, fmt.Errorf("%q: an IP address has no name to check a certificate by; write https://NAME=%s", s, o.Host)
	}
	if pinned {
		if o.Pinned, err = netip.ParseAddr(pin); err != nil {
			return Origin{}, fmt.Errorf("%q: %q is not an IP address", s, pin)
		}
	}
	return o, nil
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "443"
}

// FetchConfig says what a Fetcher may do. Zero limits have the defaults that their comments name.
type FetchConfig struct {
	Origins []Origin
	Max     int64         // bytes of an answer; 1 MiB
	Timeout time.Duration // of the whole exchange; 5 s
	// Lookup and Dial are the resolver and the network; tests bring their own.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Roots  *x509.CertPool // nil: the system's
}

// Fetcher is the one guarded way out: it reads documents by https from origins that the operator allows. A name is
// resolved once, each address is judged, and the connection goes to the address that was judged, so that a name that
// changes in between (DNS rebinding) gains nothing. Redirects are not followed, and no proxy of the environment is used.
type Fetcher struct {
	cfg    FetchConfig
	client *http.Client
}

// ErrFetchRefused says that an address is not allowed; nothing was sent.
var ErrFetchRefused = errors.New("web: the operator does not allow to fetch from there")

// NewFetcher returns a Fetcher.
func NewFetcher(cfg FetchConfig) *Fetcher {
	if cfg.Max == 0 {
		cfg.Max = 1 << 20
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	}
	f := &Fetcher{cfg: cfg}
	f.client = &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{Proxy: nil, DialContext: f.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots}},
	}
	return f
}

// Allowed says whether an address is https and of an allowed origin.
func (f *Fetcher) Allowed(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" {
		return false
	}
	_, ok := f.origin(strings.ToLower(u.Hostname()), portOf(u))
	return ok
}

func (f *Fetcher) origin(host, port string) (Origin, bool) {
	for _, o := range f.cfg.Origins {
		if o.Host == host && o.Port == port {
			return o, true
		}
	}
	return Origin{}, false
}

// Get reads a document. Anything but 200 is an error, and so is a document beyond the limit.
func (f *Fetcher) Get(ctx context.Context, address string) ([]byte, error) {
	if !f.Allowed(address) {
		return nil, fmt.Errorf("%w: %.200q", ErrFetchRefused, address)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("web: fetch: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "vitrine")
	resp, err := f.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("web: fetch: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("web: fetch %.200q: status %d", address, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.cfg.Max+1))
	if err != nil {
		return nil, fmt.Errorf("web: fetch %.200q: %w", address, err)
	}
	if int64(len(body)) > f.cfg.Max {
		return nil, fmt.Errorf("web: fetch %.200q: more than %d bytes", address, f.cfg.Max)
	}
	return body, nil
}

// dial resolves, judges and connects; the transport then speaks TLS by the name that was asked.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	o, ok := f.origin(strings.ToLower(host), port)
	if !ok {
		return nil, ErrFetchRefused
	}
	if o.Pinned.IsValid() {
		return f.cfg.Dial(ctx, network, net.JoinHostPort(o.Pinned.String(), port))
	}
	addresses, err := f.cfg.Lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	// One address of the inside among good ones already shows that somebody tries; none is used then.
	for _, a := range addresses {
		if !Public(a) {
			return nil, fmt.Errorf("%w: %s is at %s, which is not a public address", ErrFetchRefused, host, a)
		}
	}
	err = fmt.Errorf("web: %s has no address", host)
	for _, a := range addresses {
		var conn net.Conn
		if conn, err = f.cfg.Dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// Public says whether an address is one of the open Internet: not of this host, a private network, a link, a carrier's
// NAT, a documentation or benchmark range, multicast, nor an IPv6 form that wraps an IPv4 address. Azure's and others'
// metadata services (169.254.169.254, 168.63.129.16, fd00:ec2::254) are not.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, p := range inside() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// inside lists what net/netip has no predicate for (IANA's special-purpose registries), and Azure's wire server.
func inside() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10"} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}
