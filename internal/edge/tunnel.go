package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	tunnelIdle  = 10 * time.Minute
)

// errPrivate is a name that leads into the operator's own network.
var errPrivate = errors.New("the name leads to an address that is not public; the operator can allow the address itself")

// connectTunnel copies bytes between the client and a host that the operator allowed.
func (e *Edge) connectTunnel(w http.ResponseWriter, r *http.Request, t target) {
	if !e.enter() {
		refuse(w, http.StatusServiceUnavailable, "the server is stopping")
		return
	}
	defer e.served.Done()
	up, err := e.dial(r.Context(), t)
	if err != nil {
		e.cfg.Log.Warn("tunnel failed", "host", t.String(), "error", err)
		status := http.StatusBadGateway
		if errors.Is(err, errPrivate) {
			status = http.StatusForbidden
		}
		refuse(w, status, fmt.Sprintf("%s: %v", t, err))
		return
	}
	defer up.Close()
	c, err := hijack(w)
	if err != nil {
		e.cfg.Log.Error("cannot take over a connection", "error", err)
		return
	}
	defer c.Close()
	if err := established(c); err != nil {
		return
	}
	e.tunnel(c, up)
}

// dial connects to an allowed host. The address is checked when it is about to be used, so that no second look-up can
// answer differently from the one that was checked.
func (e *Edge) dial(ctx context.Context, t target) (net.Conn, error) {
	d := *e.dialer
	if !t.addr.IsValid() {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return checkPublic(ap.Addr())
		}
	}
	return d.DialContext(ctx, "tcp", t.String())
}

// checkPublic refuses addresses that mean something inside this host or its network only: through a name in a public
// zone anyone could point there.
func checkPublic(addr netip.Addr) error {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return fmt.Errorf("%w (%s)", errPrivate, addr)
	}
	for _, prefix := range specialPrefixes() {
		if prefix.Contains(addr) {
			return fmt.Errorf("%w (%s)", errPrivate, addr)
		}
	}
	return nil
}

// specialPrefixes are the ranges of the IANA special-purpose registries that netip does not know by a method and that
// are not, or not always, the public internet.
func specialPrefixes() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),        // this network
		netip.MustParsePrefix("100.64.0.0/10"),    // carrier's shared space
		netip.MustParsePrefix("168.63.129.16/32"), // Azure's wireserver, which a host in Azure can reach
		netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments
		netip.MustParsePrefix("192.0.2.0/24"),     // documentation
		netip.MustParsePrefix("198.18.0.0/15"),    // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"),  // documentation
		netip.MustParsePrefix("203.0.113.0/24"),   // documentation
		netip.MustParsePrefix("240.0.0.0/4"),      // reserved
		netip.MustParsePrefix("::/96"),            // IPv4-compatible
		netip.MustParsePrefix("64:ff9b::/96"),     // NAT64, may embed a private IPv4 address
		netip.MustParsePrefix("64:ff9b:1::/48"),   // local NAT64
		netip.MustParsePrefix("100::/64"),         // discard
		netip.MustParsePrefix("2001::/32"),        // Teredo
		netip.MustParsePrefix("2001:db8::/32"),    // documentation
		netip.MustParsePrefix("2002::/16"),        // 6to4, embeds an IPv4 address
		netip.MustParsePrefix("fec0::/10"),        // site-local, deprecated
	}
}

// tunnel copies both ways until both sides have ended, one fails, nothing has moved for tunnelIdle, or a shutdown begins.
func (e *Edge) tunnel(client *conn, up net.Conn) {
	touch := func() {
		now := time.Now()
		client.since.Store(now.UnixNano())
		deadline := now.Add(tunnelIdle)
		_ = client.SetDeadline(deadline) // fails on a closed connection only
		up.SetDeadline(deadline)
	}
	touch()
	ends := make(chan error, 2)
	copyOneWay := func(to, from net.Conn) { ends <- pipe(to, from, touch) }
	e.served.Go(func() { copyOneWay(up, client) })
	e.served.Go(func() { copyOneWay(client, up) })
	for range 2 {
		select {
		case err := <-ends:
			if err != nil {
				return // the deferred closes of the caller end the other way
			}
		case <-e.stopping:
			return
		}
	}
}

// pipe copies until from ends, and tells to that it did.
func pipe(to, from net.Conn, touch func()) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			touch()
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return closeWrite(to)
		}
		if err != nil {
			return err
		}
	}
}
