package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sniffTimeout  = 10 * time.Second // for the first byte of a connection
	writeStall    = 2 * time.Minute  // a client that takes nothing for so long is cut off
	shutdownGrace = 10 * time.Second

	tlsHandshakeByte = 0x16 // content type of a TLS record that begins a handshake
)

// conn is a client's connection: what was read ahead is read again, it is counted until it is closed, and a write that
// the client does not take ends after writeStall.
type conn struct {
	net.Conn
	turn
	r       *bufio.Reader
	host    string      // canonical host of the CONNECT that led here; empty: direct
	timed   atomic.Bool // somebody set a write deadline of their own
	release func()
}

func (c *conn) Read(p []byte) (int, error) {
	c.reading.Store(true)
	defer c.reading.Store(false)
	return c.r.Read(p)
}

// Write sets a deadline unless net/http or crypto/tls set one.
func (c *conn) Write(p []byte) (int, error) {
	if !c.timed.Load() {
		c.Conn.SetWriteDeadline(time.Now().Add(writeStall))
	}
	c.writing.Store(time.Now().UnixNano())
	defer c.writing.Store(0)
	return c.Conn.Write(p)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.timed.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	c.timed.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// CloseWrite tells the other side that nothing more will come (for tunnels).
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// accept takes connections until the listener is closed by a shutdown (nil) or breaks.
func (e *Edge) accept(ln net.Listener) error {
	for {
		nc, err := ln.Accept()
		if err != nil {
			select {
			case <-e.stopping:
				return nil
			default:
			}
			if !e.waitAfter(err) {
				return err
			}
			continue
		}
		if !e.makeRoom() {
			nc.Close()
			return nil
		}
		if c := e.track(nc); c != nil {
			e.served.Go(func() { e.sniff(c) })
		}
	}
}

// waitAfter waits a little after an error that may pass (no file descriptors left, a client that was gone too soon).
func (e *Edge) waitAfter(err error) bool {
	var ne net.Error
	if !errors.As(err, &ne) || errors.Is(err, net.ErrClosed) || !temporary(ne) {
		return false
	}
	e.cfg.Log.Error("accept failed, trying again", "error", err)
	e.closeOldest(1) // it may be that no file descriptor is left
	select {
	case <-time.After(100 * time.Millisecond):
	case <-e.stopping:
	}
	return true
}

// temporary asks what net/http's own accept loop asks; the method is deprecated for everything but accept.
func temporary(err net.Error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// track counts a connection; after a shutdown began it closes it and returns nil.
func (e *Edge) track(nc net.Conn) *conn {
	c := &conn{Conn: nc, r: bufio.NewReader(nc)}
	c.since.Store(time.Now().UnixNano())
	c.release = sync.OnceFunc(func() {
		e.mu.Lock()
		delete(e.conns, c)
		e.mu.Unlock()
		select {
		case e.freed <- struct{}{}:
		default: // it is known already that one has gone
		}
	})
	e.mu.Lock()
	if !e.closed {
		e.conns[c] = struct{}{}
		e.mu.Unlock()
		return c
	}
	e.mu.Unlock()
	c.Close()
	return nil
}

// sniff looks at the first byte and hands the connection on: TLS goes straight to the doors, the rest is a proxy's client.
func (e *Edge) sniff(c *conn) {
	c.SetReadDeadline(time.Now().Add(sniffTimeout))
	first, err := c.r.Peek(1)
	c.SetReadDeadline(time.Time{})
	if err != nil {
		c.Close()
		return
	}
	if first[0] == tlsHandshakeByte {
		e.feed.put(tls.Server(c, e.tls))
		return
	}
	e.feed.put(c)
}

// feed is the listener that the HTTP server sees: the connections that we hand it.
type feed struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newFeed() *feed {
	f := &feed{conns: make(chan net.Conn), done: make(chan struct{})}
	f.close = sync.OnceFunc(func() { close(f.done) })
	return f
}

// put hands over c, or closes it when the server has stopped.
func (f *feed) put(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.done:
		c.Close()
	}
}

func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error {
	f.close()
	return nil
}

func (f *feed) Addr() net.Addr { return &net.TCPAddr{} }

// under returns our conn below whatever net/http holds.
func under(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, under(nc))
}

func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}
