package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// upper is a host that answers every line in capitals and goes when its client has said all.
func upper(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewScanner(c)
				for lines.Scan() {
					io.WriteString(c, strings.ToUpper(lines.Text())+"\n")
				}
				io.WriteString(c, "BYE\n")
			}()
		}
	}()
	return ln
}

func openTunnel(t *testing.T, r *running, target string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := r.dial(t)
	io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\n\r\nearly\n") // sent without waiting for the answer
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("CONNECT %s: %v, %v", target, res, err)
	}
	if line, err := br.ReadString('\n'); line != "EARLY\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c, br
}

func TestTunnel(t *testing.T) {
	target := upper(t).Addr().String()
	r := start(t, func(c *Config) { c.AllowHosts = []string{target} })
	c, br := openTunnel(t, r, target)
	io.WriteString(c, "hello\n")
	if line, err := br.ReadString('\n'); line != "HELLO\n" {
		t.Errorf("%q, %v", line, err)
	}
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(br); string(rest) != "BYE\n" || err != nil {
		t.Errorf("after the client's end: %q, %v", rest, err)
	}
	if status, body := exchange(t, r.dial(t), "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n"); status != 403 {
		t.Errorf("another port of the same address: %d %s", status, body)
	}
}

func TestTunnelToNobody(t *testing.T) {
	ln := upper(t)
	ln.Close()
	r := start(t, func(c *Config) { c.AllowHosts = []string{ln.Addr().String()} })
	status, body := exchange(t, r.dial(t), "CONNECT "+ln.Addr().String()+" HTTP/1.1\r\n\r\n")
	if status != http.StatusBadGateway || !strings.Contains(body, "refused") {
		t.Errorf("%d %s", status, body)
	}
}

func TestShutdownEndsTunnelsAndIdle(t *testing.T) {
	target := upper(t).Addr().String()
	r := start(t, func(c *Config) { c.AllowHosts = []string{target} })
	_, tunnel := openTunnel(t, r, target)
	silent := r.dial(t)
	idle, err := r.inside(t, "graph.microsoft.com", "graph.microsoft.com")
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, idle, "GET / HTTP/1.1\r\nHost: graph.microsoft.com\r\n\r\n")
	unused, err := r.inside(t, "graph.microsoft.com", "graph.microsoft.com")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > sniffTimeout*9/10 { // the shortest of the times after which they would end by themselves
		t.Errorf("took %v", took)
	}
	for name, c := range map[string]io.Reader{"tunnel": tunnel, "silent": silent, "idle": idle, "unused": unused} {
		if n, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s is still open: %d, %v", name, n, err)
		}
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		c.Close()
		t.Error("still accepting")
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestShutdownWaitsForRequests(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	r := start(t, func(c *Config) {
		c.Doors[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-release
			io.WriteString(w, "done")
		})
	})
	c, err := r.inside(t, "management.azure.com", "management.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n")
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- r.Shutdown(context.Background()) }()
	<-r.stopping
	close(release)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != "done" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsOff(t *testing.T) {
	begun := make(chan struct{})
	r := start(t, func(c *Config) {
		c.Doors[1].Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
		})
	})
	c, err := r.inside(t, "management.azure.com", "management.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestContextEndsServe(t *testing.T) {
	r := start(t, nil) // for its configuration
	cfg := r.cfg
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Serve(ctx, ln); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if err := e.Serve(t.Context(), ln); err == nil {
		t.Error("served twice")
	}
}

// pipes is a listener whose connections live in memory, so that a test may bend time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

func TestSilentClientsAreCutOff(t *testing.T) {
	tests := []struct {
		name, send string
		within     time.Duration
	}{
		{"nothing sent", "", sniffTimeout},
		{"half a hello", "\x16\x03\x01\x02", headerTimeout},
		{"half a CONNECT", "CONNECT management.azure.com:443 HTTP/1.1\r\nHost:", headerTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := &pipes{make(chan net.Conn), make(chan struct{})}
				e := newTestEdge(t)
				go e.Serve(context.Background(), ln)
				c := ln.dial()
				began := time.Now()
				io.WriteString(c, tt.send)
				io.Copy(io.Discard, c) // until the server closes it
				if took := time.Since(began); took < tt.within || took > tt.within+time.Second {
					t.Errorf("closed after %v, want %v", took, tt.within)
				}
				if err := e.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestIdleTunnelIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTestEdge(t)
		ours, theirs := net.Pipe()
		upOurs, upTheirs := net.Pipe()
		client := e.track(theirs)
		began := time.Now()
		ended := make(chan struct{})
		go func() {
			e.tunnel(client, upOurs)
			client.Close()
			upOurs.Close()
			close(ended)
		}()
		<-time.After(tunnelIdle / 2) // of the time in the bubble
		go io.WriteString(ours, "x")
		io.ReadFull(upTheirs, make([]byte, 1))
		<-ended
		if took := time.Since(began); took != tunnelIdle/2+tunnelIdle {
			t.Errorf("ended after %v", took)
		}
		e.served.Wait()
	})
}

func newTestEdge(t *testing.T) *Edge {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), Sealer: testSealer(t, 1)}
	for _, d := range azureDoors() {
		d.Handler = echo(d.Name)
		cfg.Doors = append(cfg.Doors, d)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCheckPublic(t *testing.T) {
	for _, good := range []string{"8.8.8.8", "151.101.0.223", "2606:4700::1111"} {
		if err := checkPublic(netip.MustParseAddr(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.1.1.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
		"168.63.129.16", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
		"::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fd00::1", "ff02::1", "fec0::1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:0:1::1",
	} {
		if err := checkPublic(netip.MustParseAddr(bad)); err == nil {
			t.Errorf("%s passes for public", bad)
		}
	}
}

// A client that stops in the middle of its body, or of reading the answer, does not hold a handler forever.
func TestStalledTransfersAreCutOff(t *testing.T) {
	tests := []struct {
		name, send string
		handler    func(w http.ResponseWriter, r *http.Request) error
		within     time.Duration
	}{
		{
			"body", "PUT / HTTP/1.1\r\nHost: graph.microsoft.com\r\nContent-Length: 10\r\n\r\nfive.",
			func(_ http.ResponseWriter, r *http.Request) error {
				_, err := io.Copy(io.Discard, r.Body)
				return err
			}, bodyStall,
		},
		{
			"answer", "GET / HTTP/1.1\r\nHost: graph.microsoft.com\r\n\r\n",
			func(w http.ResponseWriter, _ *http.Request) error {
				_, err := io.Copy(w, zeros{})
				return err
			}, writeStall,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := make(chan error, 1)
				e := newTestEdge(t)
				e.routes.door("graph.microsoft.com").Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					failed <- tt.handler(w, r)
				})
				ln := &pipes{make(chan net.Conn), make(chan struct{})}
				go e.Serve(context.Background(), ln)
				c := tls.Client(ln.dial(), &tls.Config{ServerName: "graph.microsoft.com", InsecureSkipVerify: true})
				io.WriteString(c, tt.send)
				began := time.Now()
				if err := <-failed; err == nil || time.Since(began) < tt.within || time.Since(began) > tt.within+10*time.Second { // a little more: TLS says goodbye
					t.Errorf("handler ended after %v with %v", time.Since(began), err)
				}
				c.NetConn().Close()
				if err := e.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A handler may take as long as it needs once it has the body: the limits are for clients that stall.
func TestSlowHandlerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTestEdge(t)
		e.routes.door("graph.microsoft.com").Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			select {
			case <-r.Context().Done():
				t.Error("the request was cancelled")
			case <-time.After(time.Hour):
			}
			io.WriteString(w, "done")
		})
		ln := &pipes{make(chan net.Conn), make(chan struct{})}
		go e.Serve(context.Background(), ln)
		c := tls.Client(ln.dial(), &tls.Config{ServerName: "graph.microsoft.com", InsecureSkipVerify: true})
		if _, body := exchange(t, c, "PUT / HTTP/1.1\r\nHost: graph.microsoft.com\r\nContent-Length: 4\r\n\r\nbody"); body != "done" {
			t.Errorf("%q", body)
		}
		c.NetConn().Close()
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
