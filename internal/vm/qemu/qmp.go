package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// monitor is a conversation with QEMU in its machine protocol (QMP): commands with ids, events in between.
type monitor struct {
	conn   net.Conn
	events chan event // closed when the conversation ends

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply // nil when the conversation has ended
}

type event struct {
	Name string
	Data json.RawMessage
}

type reply struct {
	Return json.RawMessage
	Err    error
}

// qmpError is an error object of QEMU's.
type qmpError struct{ Class, Desc string }

func (e *qmpError) Error() string { return "qmp: " + e.Class + ": " + e.Desc }

var errMonitorClosed = errors.New("qmp: connection closed")

// maxMessage bounds one message of QEMU's, which a guest may have taken over.
const maxMessage = 1 << 20

// dialMonitor connects and leaves the negotiation mode behind.
func dialMonitor(ctx context.Context, path string) (*monitor, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn, events: make(chan event, 64), waiting: map[int]chan reply{}}
	go m.read()
	if err := m.execute(ctx, "qmp_capabilities", nil); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) close() { m.conn.Close() }

// execute runs a command that answers nothing of interest.
func (m *monitor) execute(ctx context.Context, command string, args any) error {
	m.mu.Lock()
	if m.waiting == nil {
		m.mu.Unlock()
		return errMonitorClosed
	}
	m.next++
	id, ch := m.next, make(chan reply, 1)
	m.waiting[id] = ch
	m.mu.Unlock()
	msg := map[string]any{"execute": command, "id": id}
	if args != nil {
		msg["arguments"] = args
	}
	b, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	_ = m.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if _, err := m.conn.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("qmp: %s: %w", command, err)
	}
	select {
	case r := <-ch:
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read deals out what QEMU says until it says no more.
func (m *monitor) read() {
	defer m.finish()
	lines := bufio.NewScanner(m.conn)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		var msg struct {
			ID     int             `json:"id"`
			Return json.RawMessage `json:"return"`
			Error  *qmpError       `json:"error"`
			Event  string          `json:"event"`
			Data   json.RawMessage `json:"data"`
		}
		if json.Unmarshal(lines.Bytes(), &msg) != nil {
			return
		}
		switch {
		case msg.Event != "":
			select {
			case m.events <- event{msg.Event, msg.Data}:
			default: // nobody listens so late; commands must not wait for that
			}
		case msg.Error != nil:
			m.answer(msg.ID, reply{Err: msg.Error})
		case msg.Return != nil:
			m.answer(msg.ID, reply{Return: msg.Return})
		}
	}
}

func (m *monitor) answer(id int, r reply) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ch := m.waiting[id]; ch != nil {
		delete(m.waiting, id)
		ch <- r
	}
}

func (m *monitor) finish() {
	m.conn.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ch := range m.waiting {
		ch <- reply{Err: errMonitorClosed}
	}
	m.waiting = nil
	close(m.events)
}
