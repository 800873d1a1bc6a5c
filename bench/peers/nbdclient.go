package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The half of the Network Block Device protocol (doc/proto.md of NetworkBlockDevice/nbd) that a reader needs.
const (
	nbdHello, nbdOption, nbdReply = 0x4e42444d41474943, 0x49484156454F5054, 0x3e889045565a9
	nbdRequest, nbdSimple         = 0x25609513, 0x67446698
	nbdGo, nbdAck                 = 7, 1
)

// nbdClient reads from an export, several requests on their way at once.
type nbdClient struct {
	conn net.Conn
}

func dialNBD(socket string) (*nbdClient, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	if err := nbdHandshake(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &nbdClient{conn}, nil
}

func nbdHandshake(conn net.Conn) error {
	be := binary.BigEndian
	var hello [18]byte
	if _, err := io.ReadFull(conn, hello[:]); err != nil {
		return err
	}
	if be.Uint64(hello[:]) != nbdHello || be.Uint64(hello[8:]) != nbdOption {
		return errors.New("not an NBD server")
	}
	ask := be.AppendUint32(nil, 3) // fixed newstyle, no zeroes
	ask = be.AppendUint32(be.AppendUint64(ask, nbdOption), nbdGo)
	ask = be.AppendUint32(ask, 6)
	ask = append(ask, 0, 0, 0, 0, 0, 0) // the default export, no further questions
	if _, err := conn.Write(ask); err != nil {
		return err
	}
	for {
		var h [20]byte
		if _, err := io.ReadFull(conn, h[:]); err != nil {
			return err
		}
		kind, n := be.Uint32(h[12:]), be.Uint32(h[16:])
		if be.Uint64(h[:]) != nbdReply || kind>>31 != 0 || n > 1<<16 {
			return fmt.Errorf("an NBD server that answers %x", kind)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(n)); err != nil {
			return err
		}
		if kind == nbdAck {
			return nil
		}
	}
}

// read asks for n bytes at each of the offsets, depth of them at a time, and throws them away.
func (c *nbdClient) read(offsets []int64, n, depth int) error {
	free, failed := make(chan struct{}, depth), make(chan error, 1)
	go func() {
		for i, off := range offsets {
			free <- struct{}{}
			if _, err := c.conn.Write(nbdRead(uint64(i), off, n)); err != nil {
				failed <- err
				return
			}
		}
	}()
	buffer := make([]byte, n)
	for range offsets {
		var h [16]byte
		if _, err := io.ReadFull(c.conn, h[:]); err != nil {
			select {
			case sent := <-failed:
				return errors.Join(err, sent)
			default:
				return err
			}
		}
		if magic, code := binary.BigEndian.Uint32(h[:]), binary.BigEndian.Uint32(h[4:]); magic != nbdSimple || code != 0 {
			return fmt.Errorf("an NBD reply %x with error %d", magic, code)
		}
		if _, err := io.ReadFull(c.conn, buffer); err != nil {
			return err
		}
		<-free
	}
	return nil
}

func nbdRead(cookie uint64, off int64, n int) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, nbdRequest)
	b = be.AppendUint32(b, 0) // no flags, read
	b = be.AppendUint64(be.AppendUint64(b, cookie), uint64(off))
	return be.AppendUint32(b, uint32(n))
}

func (c *nbdClient) close() error { return c.conn.Close() }
