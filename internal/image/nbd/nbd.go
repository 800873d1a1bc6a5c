// Package nbd shows a disk to a process at the other end of a stream, by the Network Block Device protocol.
//
// It owns the server's half of the fixed newstyle handshake and the simple replies, as the protocol's specification (doc/proto.md of
// NetworkBlockDevice/nbd) has them; one client a stream, no TLS. It knows no files: a disk is an io.ReaderAt, and one that can be
// written a Sink beside it. What the client asks for is checked against the size; its data passes like this:
//
//	qemu-img in a sandbox ◀─ socket pair ─▶ Serve ─▶ Export.Reader, Export.Sink      one request after the other
//	QEMU under a guest ◀─ Unix socket ─▶ ServeNamed ─▶ the named Export's Reader     many reads at a time
package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Export is a disk to show.
type Export struct {
	Size   int64
	Reader io.ReaderAt
	Sink   Sink // nil: read only
}

// Sink takes what is written. Offsets and lengths lie inside the size.
type Sink interface {
	io.WriterAt
	Zero(off, n int64) error
}

const (
	optionMagic  = 0x49484156454F5054 // IHAVEOPT
	replyMagic   = 0x3e889045565a9
	requestMagic = 0x25609513
	simpleMagic  = 0x67446698

	maxBlock = 32 << 20 // bytes of one request; what clients take for granted when nothing is said
	maxName  = 4096     // bytes of an option

	// Of ServeNamed: with these, a client can make us hold so many times as much, and no more.
	maxReads = 16      // at a time
	maxRead  = 4 << 20 // bytes of one
)

// Options and their replies.
const (
	optExportName, optAbort, optInfo, optGo = 1, 2, 6, 7

	repAck, repInfo = 1, 3
	repUnsupported  = 1<<31 | 1
	repInvalid      = 1<<31 | 3
	repUnknown      = 1<<31 | 6

	infoExport, infoBlockSize = 0, 3
)

// Commands, flags and errors.
const (
	cmdRead, cmdWrite, cmdDisconnect, cmdFlush, cmdTrim, cmdZero = 0, 1, 2, 3, 4, 6

	flagHas, flagReadOnly, flagFlush, flagTrim, flagZero, flagMulti = 1, 2, 4, 32, 64, 256

	errPermission, errIO, errInvalid, errNoSpace = 1, 5, 22, 28
)

// ErrProtocol says that the client does not speak the protocol.
var ErrProtocol = errors.New("nbd: the client breaks the protocol")

type server struct {
	Export
	conn   io.ReadWriter
	find   func(name string) (Export, error) // nil: there is one export, whatever its name
	buffer []byte                            // of requests one after the other

	in      *bufio.Reader // of conn
	many    bool          // reads are answered many at a time
	workers sync.WaitGroup

	pool sync.Pool // of *[]byte

	waiting atomic.Int32 // workers that wait for their turn, or have it
	turn    sync.Mutex   // held by the worker that waits for the next request; of
	working int          // workers
	over    bool         // there is no next request
	ended   error        // why

	mu     sync.Mutex // of conn's writing half, and of
	failed error      // the first failure of Reader or Sink
	broken error      // the first failure to answer
}

// Serve answers a client until it leaves. It returns the first failure of the Reader or the Sink, if any, else ErrProtocol or
// a failure of the stream; an end of the stream is none.
func Serve(conn io.ReadWriter, e Export) error {
	return (&server{Export: e, conn: conn, in: bufio.NewReader(conn)}).run()
}

// ServeNamed is Serve for a client that names its export, and reads only. find is asked once it has, and may take its time; its error
// is the client's "unknown". Many reads are answered at a time, in the order in which they end.
func ServeNamed(conn io.ReadWriter, find func(name string) (Export, error)) error {
	return (&server{conn: conn, in: bufio.NewReader(conn), find: find, many: true}).run()
}

func (s *server) run() error {
	err := s.handshake()
	switch {
	case err == nil && s.many:
		err = s.side()
	case err == nil:
		err = s.serve()
	}
	switch {
	case s.failed != nil:
		return s.failed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	}
	return err
}

func (s *server) read(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(s.in, b)
	return b, err
}

func (s *server) handshake() error {
	be := binary.BigEndian
	hello := be.AppendUint64([]byte("NBDMAGIC"), optionMagic)
	if _, err := s.conn.Write(be.AppendUint16(hello, 3)); err != nil { // fixed newstyle, no zeroes
		return err
	}
	if _, err := s.read(4); err != nil {
		return err
	}
	for {
		h, err := s.read(16)
		if err != nil {
			return err
		}
		option, n := be.Uint32(h[8:]), be.Uint32(h[12:])
		if be.Uint64(h) != optionMagic || n > maxName {
			return fmt.Errorf("%w: an option of %d bytes", ErrProtocol, n)
		}
		data, err := s.read(int(n))
		if err != nil {
			return err
		}
		started, err := s.option(option, data)
		if err != nil || started {
			return err
		}
	}
}

// option answers one; true: the transmission begins.
func (s *server) option(option uint32, data []byte) (bool, error) {
	be := binary.BigEndian
	switch option {
	case optExportName:
		if err := s.choose(data); err != nil { // the protocol has no answer but the end
			return false, io.EOF
		}
		_, err := s.conn.Write(be.AppendUint16(be.AppendUint64(nil, uint64(s.Size)), s.flags()))
		return true, err
	case optInfo, optGo:
		name, ok := exportName(data)
		if !ok && s.find != nil {
			return false, s.reply(option, repInvalid, nil)
		}
		if err := s.choose(name); err != nil {
			return false, s.reply(option, repUnknown, nil)
		}
		export := be.AppendUint16(be.AppendUint64(be.AppendUint16(nil, infoExport), uint64(s.Size)), s.flags())
		block := be.AppendUint16(nil, infoBlockSize)
		for _, n := range []uint32{1, 4096, s.most()} {
			block = be.AppendUint32(block, n)
		}
		err := errors.Join(s.reply(option, repInfo, export), s.reply(option, repInfo, block), s.reply(option, repAck, nil))
		return option == optGo, err
	case optAbort:
		return false, errors.Join(s.reply(option, repAck, nil), io.EOF)
	}
	return false, s.reply(option, repUnsupported, nil)
}

// exportName reads the data of an optInfo or optGo.
func exportName(data []byte) ([]byte, bool) {
	if len(data) < 6 || uint64(binary.BigEndian.Uint32(data)) > uint64(len(data)-6) {
		return nil, false
	}
	return data[4 : 4+binary.BigEndian.Uint32(data)], true
}

func (s *server) choose(name []byte) (err error) {
	if s.find != nil {
		s.Export, err = s.find(string(name))
		s.Sink = nil
	}
	return err
}

// most is how many bytes one request may carry.
func (s *server) most() uint32 {
	if s.many {
		return maxRead
	}
	return maxBlock
}

func (s *server) flags() uint16 {
	if s.many {
		return flagHas | flagReadOnly | flagMulti
	}
	if s.Sink == nil {
		return flagHas | flagReadOnly
	}
	return flagHas | flagFlush | flagTrim | flagZero
}

func (s *server) reply(option, kind uint32, data []byte) error {
	be := binary.BigEndian
	b := be.AppendUint32(be.AppendUint32(be.AppendUint64(nil, replyMagic), option), kind)
	_, err := s.conn.Write(append(be.AppendUint32(b, uint32(len(data))), data...))
	return err
}

// serve answers one request after the other.
func (s *server) serve() error {
	for {
		q, err := s.next()
		if err == nil {
			err = s.carryOut(q)
		}
		if err != nil {
			return err
		}
	}
}

// order is what a client asks for.
type order struct {
	cookie  [8]byte
	command uint16
	off     uint64
	n       uint32
}

// next reads one; io.EOF: the client leaves.
func (s *server) next() (q order, err error) {
	be := binary.BigEndian
	var h [28]byte
	if _, err := io.ReadFull(s.in, h[:]); err != nil {
		return q, err
	}
	q = order{[8]byte(h[8:16]), be.Uint16(h[6:]), be.Uint64(h[16:]), be.Uint32(h[24:])}
	switch {
	case be.Uint32(h[:]) != requestMagic:
		return q, fmt.Errorf("%w: no request", ErrProtocol)
	case q.command == cmdDisconnect:
		return q, io.EOF
	case q.carries() && q.n > s.most():
		return q, fmt.Errorf("%w: %d bytes at once", ErrProtocol, q.n)
	}
	return q, nil
}

// carries says whether data comes with it or with its answer.
func (q order) carries() bool { return q.command == cmdRead || q.command == cmdWrite }

// carryOut answers a request, reading the data of a write, before the next one is read.
func (s *server) carryOut(q order) error {
	var data []byte
	if q.carries() {
		s.buffer = enough(s.buffer, q.n)
		data = s.buffer[:q.n]
	}
	if q.command == cmdWrite {
		if _, err := io.ReadFull(s.in, data); err != nil {
			return err
		}
	}
	return s.answer(q, s.do(q.command, data, q.off, uint64(q.n)), data)
}

// enough gives a buffer of at least n bytes.
func enough(b []byte, n uint32) []byte {
	if int(n) <= cap(b) {
		return b
	}
	return make([]byte, max(n, 1<<16))
}

func (s *server) answer(q order, code uint32, data ...[]byte) error {
	be := binary.BigEndian
	b := net.Buffers{append(be.AppendUint32(be.AppendUint32(make([]byte, 0, 16), simpleMagic), code), q.cookie[:]...)}
	if code == 0 && q.command == cmdRead {
		b = append(b, data...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := b.WriteTo(s.conn)
	return err
}

func (s *server) do(command uint16, data []byte, off, n uint64) uint32 {
	size := uint64(s.Size)
	if off > size || n > size-off {
		if command == cmdWrite || command == cmdZero {
			return errNoSpace
		}
		return errInvalid
	}
	if s.Sink == nil && command != cmdRead && command != cmdFlush {
		return errPermission
	}
	var err error
	switch command {
	case cmdRead:
		var got int
		if got, err = s.Reader.ReadAt(data, int64(off)); got == len(data) {
			err = nil
		}
	case cmdWrite:
		_, err = s.Sink.WriteAt(data, int64(off))
	case cmdZero:
		err = s.Sink.Zero(int64(off), int64(n))
	case cmdFlush, cmdTrim:
	default:
		return errInvalid
	}
	if err != nil {
		return s.fail(err)
	}
	return 0
}

// fail remembers a failure of Reader or Sink, and gives what the client hears.
func (s *server) fail(err error) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	return errIO
}
