package edge

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

const httpsPort = 443

// target is where a CONNECT wants to go: a canonical host name, or an IP address.
type target struct {
	host string
	addr netip.Addr // valid when the client named an address
	port uint16
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

func newTarget(host string, port uint16) (target, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return target{}, fmt.Errorf("address %q has a zone", host)
		}
		addr = addr.Unmap()
		return target{host: addr.String(), addr: addr, port: port}, nil
	}
	name, err := canonicalHost(host)
	return target{host: name, port: port}, err
}

// parseAllow reads the operator's list of further hosts.
func parseAllow(entries []string, rt *routes) (map[target]bool, error) {
	allow := map[target]bool{}
	for _, entry := range entries {
		host, port := entry, uint16(httpsPort)
		if _, err := netip.ParseAddr(entry); err != nil && strings.Contains(entry, ":") {
			if host, port, err = splitPort(entry); err != nil {
				return nil, fmt.Errorf("allowed host %q: %w", entry, err)
			}
		}
		t, err := newTarget(host, port)
		if err != nil {
			return nil, fmt.Errorf("allowed host %q: %w", entry, err)
		}
		if d := rt.door(t.host); d != nil {
			return nil, fmt.Errorf("allowed host %q is served here, by door %s", entry, d.Name)
		}
		allow[t] = true
	}
	return allow, nil
}

// serveProxy answers what does not come by TLS: CONNECT, and everything else with an explanation.
func (e *Edge) serveProxy(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		e.serveConnect(w, r)
	case r.URL.IsAbs():
		refuse(w, http.StatusForbidden, fmt.Sprintf("plain HTTP is not forwarded (asked for %q); this proxy serves Azure's hosts by CONNECT alone", r.URL.Host))
	default:
		refuse(w, http.StatusBadRequest, "this port speaks TLS and is a CONNECT proxy; point HTTPS_PROXY at it, as `vitrine env` does")
	}
}

func (e *Edge) serveConnect(w http.ResponseWriter, r *http.Request) {
	t, err := connectTarget(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("CONNECT %q: %v", r.RequestURI, err))
		return
	}
	door := e.routes.door(t.host)
	switch {
	case door != nil && t.port == httpsPort:
		e.connectDoor(w, t.host)
	case door != nil:
		refuse(w, http.StatusForbidden, fmt.Sprintf("%s is served on port 443 alone, not on %d", t.host, t.port))
	case e.allow[t]:
		e.connectTunnel(w, r, t)
	default:
		refuse(w, http.StatusForbidden, fmt.Sprintf("%s is not served here and not allowed; the operator can allow it: vitrine serve --allow-host %s", t, allowFlag(t)))
	}
}

func allowFlag(t target) string {
	if t.port == httpsPort {
		return t.host
	}
	return t.String()
}

// connectTarget reads the request line itself, since net/url is kinder to strange authorities than we want to be.
func connectTarget(r *http.Request) (target, error) {
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return target{}, errors.New("a body has no meaning here")
	}
	host, port, err := splitPort(r.RequestURI)
	if err != nil {
		return target{}, fmt.Errorf("want host:port: %w", err)
	}
	return newTarget(host, port)
}

// connectDoor answers 200 and hands the connection to the HTTP server once more, now as TLS.
func (e *Edge) connectDoor(w http.ResponseWriter, host string) {
	c, err := hijack(w)
	if err != nil {
		e.cfg.Log.Error("cannot take over a connection", "error", err)
		return
	}
	c.host = host
	if err := established(c); err != nil {
		c.Close()
		return
	}
	e.feed.put(tls.Server(c, e.tls))
}

func established(w io.Writer) error {
	_, err := io.WriteString(w, "HTTP/1.1 200 Connection established\r\n\r\n")
	return err
}

// hijack takes the connection from the HTTP server, with what the client sent too early in front.
func hijack(w http.ResponseWriter) (*conn, error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	c := under(nc)
	if c == nil {
		nc.Close()
		return nil, fmt.Errorf("connection is a %T", nc)
	}
	c.busy.Store(false)
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		c.Close()
		return nil, err
	}
	if len(early) > 0 {
		c.r = bufio.NewReader(io.MultiReader(strings.NewReader(string(early)), c.r))
	}
	return c, nil
}
