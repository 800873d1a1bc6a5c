package source

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vitrine/internal/image/pace"
	"vitrine/internal/web"
)

// Fetch is the network of downloads. The zero value is the host's; tests bring their own.
type Fetch struct {
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Roots  *x509.CertPool // nil: the system's
	Stall  time.Duration  // for how long nothing may come; zero: one minute
	Pause  time.Duration  // before the first repetition, twice as long before each further one; zero: one second
}

const (
	redirects  = 5
	fetchTries = 6                  // in a row that brought nothing
	keepParts  = 7 * 24 * time.Hour // for how long a download that nobody goes on with is kept
)

// ErrAddress says that a download must not come from there.
var ErrAddress = errors.New("this address is not fetched")

// checkURL takes https alone, without a name and password in it.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https":
		return fmt.Errorf("%w: it is %s, and only https is taken", ErrAddress, u.Scheme)
	case u.User != nil:
		return fmt.Errorf("%w: it holds a user name", ErrAddress)
	case u.Hostname() == "":
		return fmt.Errorf("%w: it names no host", ErrAddress)
	}
	return nil
}

// bare is an address without what may be secret in it.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// fetcher downloads from one address.
type fetcher struct {
	Fetch
	address *url.URL
	client  *http.Client
}

func newFetcher(cfg Fetch, address string) (*fetcher, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be read", ErrAddress) // err shows it all
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	f := &fetcher{Fetch: cfg, address: u}
	if f.Lookup == nil {
		f.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if f.Dial == nil {
		f.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if f.Stall == 0 {
		f.Stall = time.Minute
	}
	if f.Pause == 0 {
		f.Pause = time.Second
	}
	// No proxy: the environment's may be the server's own, which leads nowhere but to Azure's names.
	f.client = &http.Client{
		Transport: &http.Transport{DialContext: f.dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.Roots},
			TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: f.Stall, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > redirects {
				return fmt.Errorf("%w: it leads on more than %d times", ErrAddress, redirects)
			}
			r.Header.Del("Referer") // an address may hold a secret
			return checkURL(r.URL)
		},
	}
	return f, nil
}

// dial resolves once, judges every address, and connects to one that was judged.
func (f *fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addresses = append(addresses, a)
	} else if addresses, err = f.Lookup(ctx, host); err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if err := f.judge(host, a.Unmap()); err != nil {
			return nil, err
		}
	}
	err = fmt.Errorf("%s has no address", host)
	for _, a := range addresses {
		var conn net.Conn
		if conn, err = f.Dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// judge lets the user reach the own network by the name that the user gave, and nobody else lead there: a host that is
// redirected to must be a public one. Where clouds keep their secrets nobody is led, the user included.
func (f *fetcher) judge(host string, a netip.Addr) error {
	named := strings.EqualFold(host, f.address.Hostname())
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.MustParseAddr("168.63.129.16"), a == netip.MustParseAddr("fd00:ec2::254"):
		return fmt.Errorf("%w: %s is at %s, an address of a link or of a metadata service", ErrAddress, host, a)
	case !named && !web.Public(a):
		return fmt.Errorf("%w: it leads to %s at %s, which is not a public address; name that address yourself if you want it", ErrAddress, host, a)
	}
	return nil
}

// part is a download that may go on later: the bytes in one file, what they are of in another.
type part struct {
	file  *os.File
	note  string // path
	Total int64  `json:"total"`
	Tag   string `json:"tag"` // strong ETag, or Last-Modified
}

// openPart finds or makes the files of an address in a folder.
func openPart(folder, address string) (*part, error) {
	if folder == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("a folder for the download: %w", err)
		}
		folder = filepath.Join(base, "vitrine", "import")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	tidy(folder)
	sum := sha256.Sum256([]byte(address))
	path := filepath.Join(folder, hex.EncodeToString(sum[:16]))
	f, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("another import downloads the same address; wait until it has ended")
	}
	p := &part{file: f, note: path + ".json"}
	raw, err := os.ReadFile(p.note)
	if err != nil || json.Unmarshal(raw, p) != nil || p.Tag == "" {
		p.Total, p.Tag = 0, ""
	}
	return p, nil
}

// tidy removes downloads that nobody went on with.
func tidy(folder string) {
	entries, _ := os.ReadDir(folder) // what cannot be listed cannot be tidied
	for _, e := range entries {
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() && time.Since(st.ModTime()) > keepParts {
			_ = os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}

func (p *part) remove() {
	_ = os.Remove(p.note)
	_ = os.Remove(p.file.Name())
}

// restart empties it for another version of the same address.
func (p *part) restart(total int64, tag string) error {
	p.Total, p.Tag = total, tag
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return errors.Join(p.file.Truncate(0), os.WriteFile(p.note, raw, 0o600))
}

// download fetches the address into a part, from where an earlier run was cut off.
func (s *Source) download(ctx context.Context) error {
	f, err := newFetcher(s.Fetch, s.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", bare(s.Name), err)
	}
	p, err := openPart(s.Cache, s.Name)
	if err != nil {
		return err
	}
	s.file, s.forget = p.file, p.remove
	quiet := 0
	for {
		before := p.have()
		err := s.attempt(ctx, f, p)
		if err == nil {
			return nil
		}
		var lasting *lastingError
		if errors.As(err, &lasting) || errors.Is(err, ErrAddress) {
			p.remove()
			return fmt.Errorf("%s: %w", bare(s.Name), hidden(err))
		}
		if quiet++; p.have() > before {
			quiet = 1
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if quiet == fetchTries {
			return fmt.Errorf("%s: %w; what came is kept, and the same command goes on from there", bare(s.Name), hidden(err))
		}
		if err := pace.Sleep(ctx, f.Pause<<(quiet-1)); err != nil {
			return err
		}
	}
}

// hidden drops the address from a transport's error.
func hidden(err error) error {
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

// lastingError is what no repetition mends.
type lastingError struct{ text string }

func (e *lastingError) Error() string { return e.text }

func (p *part) have() int64 {
	st, err := p.file.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// attempt is one request: for the rest of what is known, else for all.
func (s *Source) attempt(ctx context.Context, f *fetcher, p *part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	have := p.have()
	if p.Tag == "" {
		have = 0
	} else if have > 0 && have == p.Total {
		s.Report.Say("What an earlier run downloaded is whole.")
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "vitrine")
	r.Header.Set("Accept-Encoding", "identity")
	if have > 0 {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		r.Header.Set("If-Range", p.Tag)
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := s.begin(resp, p, have); err != nil {
		return err
	}
	return s.receive(cancel, f.Stall, resp.Body, p)
}

// begin judges the answer's head: the rest of what is there, or another whole.
func (s *Source) begin(resp *http.Response, p *part, have int64) error {
	h := resp.Header
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &lastingError{"the server packs what it sends (" + strconv.Quote(e) + "), which was not asked for"}
	}
	switch code := resp.StatusCode; {
	case code == http.StatusPartialContent:
		if have == 0 || h.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", have, p.Total-1, p.Total) {
			p.Tag = "" // from the beginning, the next time
			return fmt.Errorf("the server answered with another range than was asked for")
		}
		return nil
	case code == http.StatusRequestedRangeNotSatisfiable:
		p.Tag = ""
		return errors.New("the server has another content now")
	case code == http.StatusOK:
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("the server answers %s", resp.Status)
	default:
		return &lastingError{"the server answers " + resp.Status}
	}
	limit := limitOf(s.Limits)
	if resp.ContentLength > limit {
		return &lastingError{fmt.Sprintf("it has %d bytes; at most %d are taken", resp.ContentLength, limit)}
	}
	tag := h.Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") {
		tag = h.Get("Last-Modified")
	}
	if resp.ContentLength < 0 {
		tag = "" // whether it is whole is known at the end alone
	}
	return p.restart(resp.ContentLength, tag)
}

// receive appends what comes, and ends a connection on which nothing comes.
func (s *Source) receive(cancel func(), stall time.Duration, body io.Reader, p *part) error {
	watch := time.AfterFunc(stall, cancel)
	defer watch.Stop()
	at, limit := p.have(), limitOf(s.Limits)
	buffer := make([]byte, 1<<20)
	for {
		n, err := body.Read(buffer)
		watch.Reset(stall)
		if n > 0 {
			if at+int64(n) > limit {
				return &lastingError{fmt.Sprintf("more than %d bytes come", limit)}
			}
			if _, err := p.file.WriteAt(buffer[:n], at); err != nil {
				return &lastingError{err.Error()}
			}
			at += int64(n)
			s.Report.Bytes("Downloading", at, max(p.Total, 0))
		}
		switch {
		case err == io.EOF && (p.Total < 0 || at == p.Total):
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}
