package netstack

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"vitrine/internal/vm"
)

const (
	// maxFrame bounds a frame of a guest's: MTU and header, with room for a VLAN tag.
	maxFrame = mtu + 14 + 4
	mtu      = 1500
	// queueLength is how many frames may wait for a guest that does not take them; more are dropped, as on any wire.
	queueLength = 512
	// redial is how often QEMU's socket is tried while the machine is away.
	redial = 150 * time.Millisecond
)

// port is the network's end of one NIC's wire.
type port struct {
	nic       string
	mac       [6]byte
	socket    string
	out       chan []byte // whole frames
	endpoint  atomic.Pointer[vm.Endpoint]
	connected atomic.Bool
	leased    atomic.Bool
	cancel    context.CancelFunc
	ctx       context.Context // ends with the port
}

// run keeps the wire plugged in until the port's end.
func (p *port) run(receive func(*port, []byte)) {
	tick := time.NewTicker(redial)
	defer tick.Stop()
	for {
		var d net.Dialer
		if conn, err := d.DialContext(p.ctx, "unix", p.socket); err == nil {
			p.converse(conn, receive)
		}
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// converse carries frames until QEMU hangs up. Each has its length before it, four bytes, big endian (QEMU net/stream.c).
func (p *port) converse(conn net.Conn, receive func(*port, []byte)) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p.connected.Store(true)
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer cancel()
		p.write(ctx, conn)
	}()
	_ = readFrames(conn, func(frame []byte) { receive(p, frame) })
	cancel()
	conn.Close()
	<-written
	p.connected.Store(false)
}

func readFrames(conn io.Reader, receive func([]byte)) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	var size [4]byte
	for {
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > 64<<10 {
			return fmt.Errorf("netstack: a frame of %d bytes", n)
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		if n >= 14 && n <= maxFrame {
			receive(frame)
		}
	}
}

func (p *port) write(ctx context.Context, conn net.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case frame := <-p.out:
			b := binary.BigEndian.AppendUint32(make([]byte, 0, len(frame)+4), uint32(len(frame)))
			if _, err := conn.Write(append(b, frame...)); err != nil {
				return
			}
		}
	}
}

// send queues a frame for the guest.
func (p *port) send(frame []byte) {
	if !p.connected.Load() {
		return
	}
	select {
	case p.out <- frame:
	default:
	}
}
