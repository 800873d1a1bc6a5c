package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// fakeQEMU answers on a monitor socket: script maps a command to what is sent for it, with %d for the id.
func fakeQEMU(t *testing.T, script map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qmp")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			var q struct {
				Execute string
				ID      int
			}
			if json.Unmarshal(lines.Bytes(), &q) != nil {
				return
			}
			answer, ok := script[q.Execute]
			switch {
			case q.Execute == "qmp_capabilities":
				fmt.Fprintf(conn, `{"return": {}, "id": %d}`+"\n", q.ID)
			case !ok:
				return
			case answer != "":
				fmt.Fprintf(conn, answer+"\n", q.ID)
			}
		}
	}()
	return path
}

func TestMonitor(t *testing.T) {
	m, err := dialMonitor(t.Context(), fakeQEMU(t, map[string]string{
		"good":   `{"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}` + "\n" + `{"return": {}, "id": %d}`,
		"bad":    `{"error": {"class": "GenericError", "desc": "no"}, "id": %d}`,
		"silent": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	if err := m.execute(t.Context(), "good", nil); err != nil {
		t.Error(err)
	}
	if e := <-m.events; e.Name != "SHUTDOWN" {
		t.Errorf("%+v", e)
	}
	var q *qmpError
	if err := m.execute(t.Context(), "bad", nil); !errors.As(err, &q) || q.Desc != "no" {
		t.Errorf("%v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.execute(short, "silent", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := m.execute(t.Context(), "hang up", nil); !errors.Is(err, errMonitorClosed) {
		t.Errorf("%v", err)
	}
	if _, open := <-m.events; open {
		t.Error("events go on")
	}
	if err := m.execute(t.Context(), "good", nil); !errors.Is(err, errMonitorClosed) {
		t.Errorf("%v", err)
	}
}
