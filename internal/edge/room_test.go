package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Of a full table the connection goes whose client was awaited longest; one at work stays.
func TestFullTable(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	r := start(t, func(c *Config) {
		c.MaxConns = 2
		c.Doors[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			begun <- struct{}{}
			<-release
			io.WriteString(w, "done")
		})
	})
	work, err := r.inside(t, "management.azure.com", "management.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(work, "GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n")
	<-begun
	silent := r.dial(t)
	third := r.dial(t)
	if status, _ := exchange(t, third, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); status != 400 {
		t.Errorf("third: %d", status)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the silent one is still open: %v", err)
	}
	// Two at work: nothing may be closed, and a third waits until one of them ends.
	second, err := r.inside(t, "management.azure.com", "management.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(second, "GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n")
	<-begun
	fourth := r.dial(t)
	answered := make(chan int, 1)
	go func() {
		status, _ := exchange(t, fourth, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answered <- status
	}()
	select {
	case <-answered:
		t.Error("one more was served beside two at work")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	for _, c := range []io.Reader{work, second} {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != "done" {
			t.Errorf("%q", body)
		}
	}
	if status := <-answered; status != 400 {
		t.Errorf("after one has ended: %d", status)
	}
}

// Clients that stop wherever a client can stop fill the table; everybody else is served all the same.
func TestFlood(t *testing.T) {
	const post = "POST /common/oauth2/v2.0/token HTTP/1.1\r\nHost: login.microsoftonline.com\r\nContent-Length: 100\r\n\r\n"
	unread := func(c *Config) {
		c.Doors[0].Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) })
	}
	tests := []struct {
		name, send string
		change     func(*Config)
	}{
		{"body", post, nil},
		{"body that nobody reads", post, unread},
		{"trickle", post + "x", nil},
		{"body for another host", "POST / HTTP/1.1\r\nHost: graph.microsoft.com\r\nContent-Length: 100\r\n\r\n", nil},
		{"head", "POST / HTTP/1.1\r\nHost:", nil},
		{"idle", "GET / HTTP/1.1\r\nHost: login.microsoftonline.com\r\n\r\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(c *Config) {
				c.MaxConns = 16
				if tt.change != nil {
					tt.change(c)
				}
			})
			for range 40 {
				c, err := r.inside(t, "", "login.microsoftonline.com")
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(c, tt.send)
			}
			client := r.client(t)
			client.Timeout = drainTime * 9 / 10 // the shortest time for which one of those clients may be awaited
			for i := range 3 {
				get(t, client, fmt.Sprintf("https://management.azure.com/%d", i))
				client.CloseIdleConnections()
			}
		})
	}
}

// What a body may take: a small one bodyGrace however it trickles, a large one as long as it comes at bodyRate.
func TestSlowBodies(t *testing.T) {
	for _, tt := range []struct {
		name        string
		size, piece int
		every       time.Duration
		want        time.Duration // until it is cut off; 0: never
	}{
		{"small, a byte a second", 100, 1, time.Second, bodyGrace},
		{"large, too slow", 4 << 20, bodyRate / 4, 2 * time.Second, 34 * time.Second},
		{"large, slow", 1 << 20, bodyRate, time.Second, 0},
		{"large, with a pause", 1 << 20, 256 << 10, bodyStall - time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				e := newTestEdge(t)
				e.routes.door("graph.microsoft.com").Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					ended <- err
				})
				ln := &pipes{make(chan net.Conn), make(chan struct{})}
				go e.Serve(context.Background(), ln)
				c := tls.Client(ln.dial(), &tls.Config{ServerName: "graph.microsoft.com", InsecureSkipVerify: true})
				began := time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: graph.microsoft.com\r\nContent-Length: %d\r\n\r\n", tt.size)
					for left := tt.size; left > 0; left -= tt.piece {
						if _, err := c.Write(bytes.Repeat([]byte("x"), min(left, tt.piece))); err != nil {
							return
						}
						<-time.After(tt.every)
					}
				}()
				err := <-ended
				took := time.Since(began)
				if tt.want == 0 && err != nil || tt.want > 0 && (err == nil || took < tt.want || took > tt.want+5*time.Second) {
					t.Errorf("ended after %v with %v", took, err)
				}
				c.NetConn().Close()
				<-sent
				if err := e.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A client that sends all before it reads gets the answer to a body of which the handler read little.
func TestRefusedBody(t *testing.T) {
	r := start(t, func(c *Config) {
		c.Doors[1].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 4<<20)); err != nil {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}
		})
	})
	c, err := r.inside(t, "management.azure.com", "management.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	const size = 40 << 20
	fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: management.azure.com\r\nContent-Length: %d\r\n\r\n", size)
	if _, err := io.CopyN(c, zeros{}, size); err != nil {
		t.Fatalf("sending: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 413 {
		t.Fatalf("%v %v", res, err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != "too large\n" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}
