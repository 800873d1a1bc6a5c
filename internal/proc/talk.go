package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// maxLine bounds a request or a reply.
const maxLine = 1 << 20

// talkTimeout is how long the other side may take to send its request, or to take its reply.
const talkTimeout = 10 * time.Second

// Ask puts one request to the process behind a Unix socket and reads its reply; both are lines of JSON.
func Ask(ctx context.Context, socket string, request, reply any) error {
	conn, err := Open(ctx, socket, request, reply)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Open is Ask, and answers the connection, which then carries what request and reply agree on.
func Open(ctx context.Context, socket string, request, reply any) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = exchange(conn, request, reply)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func exchange(conn net.Conn, request, reply any) error {
	if err := writeLine(conn, request); err != nil {
		return err
	}
	line, err := readLine(conn)
	if err != nil {
		return err
	}
	return json.Unmarshal(line, reply)
}

// Call is one connection to Serve, with its request.
type Call struct {
	net.Conn
	Request []byte
}

// Listen opens a Unix socket, in place of one that a dead process left.
func Listen(socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", socket)
}

// Serve hands calls to handle, each in a goroutine of calls, until ln is closed. The connection is closed when handle
// returns.
func Serve(ln net.Listener, calls *sync.WaitGroup, handle func(*Call)) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors; callers wait in the backlog
			<-time.After(100 * time.Millisecond)
			continue
		}
		calls.Go(func() {
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(talkTimeout))
			line, err := readLine(conn)
			if err != nil {
				return
			}
			_ = conn.SetReadDeadline(time.Time{})
			handle(&Call{Conn: conn, Request: line})
		})
	}
}

// Reply answers the request.
func (c *Call) Reply(v any) error {
	_ = c.SetWriteDeadline(time.Now().Add(talkTimeout))
	defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	return writeLine(c, v)
}

// HungUp answers a context that ends when the caller hangs up, for calls on which it says no more than its request.
// stop must be called before the handler returns.
func (c *Call) HungUp() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Read(make([]byte, 1))
		cancel()
	}()
	return ctx, func() {
		_ = c.SetReadDeadline(time.Unix(1, 0))
		<-done
	}
}

func writeLine(conn net.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) >= maxLine {
		return fmt.Errorf("proc: a message of %d bytes is too long", len(b))
	}
	_, err = conn.Write(append(b, '\n'))
	return err
}

// readLine reads byte by byte, so that nothing of what follows the line is lost.
func readLine(conn net.Conn) ([]byte, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxLine {
		if _, err := conn.Read(one); err != nil {
			return nil, err
		}
		if one[0] == '\n' {
			return line, nil
		}
		line = append(line, one[0])
	}
	return nil, errors.New("proc: a line is too long")
}
