package proc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// answering serves a socket with a handler until the test ends.
func answering(t *testing.T, handle func(*Call)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	calls.Go(func() { Serve(ln, &calls, handle) })
	t.Cleanup(func() {
		ln.Close()
		calls.Wait()
	})
	return socket
}

func TestAsk(t *testing.T) {
	socket := answering(t, func(c *Call) {
		var q string
		if json.Unmarshal(c.Request, &q) == nil {
			_ = c.Reply(strings.ToUpper(q))
		}
	})
	var r string
	if err := Ask(t.Context(), socket, "hello\nworld", &r); err != nil || r != "HELLO\nWORLD" {
		t.Errorf("%q, %v", r, err)
	}
	if err := Ask(t.Context(), socket, 7, &r); !errors.Is(err, io.EOF) {
		t.Errorf("no reply: %v", err)
	}
	if err := Ask(t.Context(), socket, strings.Repeat("x", maxLine), &r); err == nil {
		t.Error("a request without bounds was sent")
	}
	if err := Ask(t.Context(), socket+"x", "q", &r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
}

// TestOpen: nothing of what follows the reply is lost in a buffer.
func TestOpen(t *testing.T) {
	socket := answering(t, func(c *Call) {
		_ = c.Reply("ok")
		_, _ = io.WriteString(c, "SSH-2.0\r\n")
		_, _ = io.Copy(c, io.LimitReader(c, 4))
	})
	var r string
	conn, err := Open(t.Context(), socket, "dial", &r)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "echo")
	if b, err := io.ReadAll(conn); string(b) != "SSH-2.0\r\necho" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHungUp(t *testing.T) {
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	socket := answering(t, func(c *Call) {
		caller, stop := c.HungUp()
		defer stop()
		cancel() // the caller gives up when it has been heard, and no earlier
		<-caller.Done()
		close(ended)
	})
	var r string
	if err := Ask(ctx, socket, "wait", &r); err == nil {
		t.Error("answered")
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the handler goes on after its caller has gone")
	}
}

func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if Held(path) {
		t.Error("held before it exists")
	}
	release, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	if !Held(path) {
		t.Error("not held")
	}
	if _, err := Hold(path); !errors.Is(err, ErrHeld) {
		t.Errorf("second hold: %v", err)
	}
	release()
	if Held(path) {
		t.Error("held after release")
	}
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, v := range []string{"one", "two"} {
		if err := WriteState(path, v); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := ReadState(path, &got); err != nil || got != v {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := WriteState(path, func() {}); err == nil {
		t.Error("a function was written")
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
