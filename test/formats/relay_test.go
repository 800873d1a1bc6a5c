package formats

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// relay passes connections on to the server's proxy, and counts. It can hold everything up, or cut it.
type relay struct {
	t      *testing.T
	to     string
	l      net.Listener
	up     atomic.Int64 // bytes to the server
	down   atomic.Int64 // bytes from it
	budget atomic.Int64 // bytes, both ways, after which reached is closed; negative: none

	mu      sync.Mutex
	reached chan struct{}
	hold    chan struct{} // closed: pass on
	conns   map[net.Conn]bool
}

func newRelay(t *testing.T, proxy string) *relay {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, to: u.Host, l: l, conns: map[net.Conn]bool{}}
	r.free()
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c)
		}
	}()
	return r
}

func (r *relay) proxy() string { return "http://" + r.l.Addr().String() }

// after holds all up once so many bytes have passed, and closes the channel then.
func (r *relay) after(n int64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reached, r.hold = make(chan struct{}), make(chan struct{})
	r.up.Store(0)
	r.down.Store(0)
	r.budget.Store(n)
	return r.reached
}

// free passes all on again, and counts anew.
func (r *relay) free() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hold != nil {
		select {
		case <-r.hold:
		default:
			close(r.hold)
		}
	}
	r.up.Store(0)
	r.down.Store(0)
	r.budget.Store(-1)
}

// cut ends every connection.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

func (r *relay) pass(a net.Conn) {
	b, err := net.Dial("tcp", r.to)
	if err != nil {
		a.Close()
		return
	}
	r.mu.Lock()
	r.conns[a], r.conns[b] = true, true
	r.mu.Unlock()
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(counter{b, r, &r.up}, a); done <- struct{}{} }()
	go func() { _, _ = io.Copy(counter{a, r, &r.down}, b); done <- struct{}{} }()
	<-done
	a.Close()
	b.Close()
	r.mu.Lock()
	delete(r.conns, a)
	delete(r.conns, b)
	r.mu.Unlock()
}

// counter counts what is written, and waits where all is held up.
type counter struct {
	net.Conn
	r *relay
	n *atomic.Int64
}

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	if budget := c.r.budget.Load(); budget >= 0 && c.r.up.Load()+c.r.down.Load() > budget {
		c.r.mu.Lock()
		hold := c.r.hold
		select {
		case <-c.r.reached:
		default:
			close(c.r.reached)
		}
		c.r.mu.Unlock()
		<-hold
	}
	return c.Conn.Write(p)
}
