package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// memory is a disk.
type memory struct {
	b    []byte
	fail error
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.b[off:]), m.fail }
func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	return copy(m.b[off:], p), m.fail
}
func (m *memory) Zero(off, n int64) error { clear(m.b[off : off+n]); return m.fail }

// script is a client that has said everything before it listens.
type script struct {
	io.Reader
	said bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.said.Write(p) }

var be = binary.BigEndian

func option(n uint32, data string) string {
	b := be.AppendUint32(be.AppendUint64(nil, optionMagic), n)
	return string(be.AppendUint32(b, uint32(len(data)))) + data
}

func request(command uint16, off uint64, n uint32, data string) string {
	b := be.AppendUint16(be.AppendUint16(be.AppendUint32(nil, requestMagic), 0), command)
	return string(be.AppendUint32(be.AppendUint64(be.AppendUint64(b, 7), off), n)) + data
}

const hello = "\x00\x00\x00\x03"

// talk gives what the server said after the handshake, and how it ended.
func talk(e Export, words ...string) (string, error) {
	s := &script{Reader: strings.NewReader(hello + option(99, "") + option(optGo, "\x00\x00\x00\x00\x00\x00") + strings.Join(words, ""))}
	err := Serve(s, e)
	said := s.said.String()
	ack := string(be.AppendUint32(be.AppendUint32(be.AppendUint32(be.AppendUint64(nil, replyMagic), optGo), repAck), 0))
	_, rest, _ := strings.Cut(said, ack)
	return rest, err
}

func answer(code uint32, data string) string {
	return string(be.AppendUint64(be.AppendUint32(be.AppendUint32(nil, simpleMagic), code), 7)) + data
}

func TestCommands(t *testing.T) {
	m := &memory{b: []byte("0123456789")}
	rw, ro := Export{Size: 10, Reader: m, Sink: m}, Export{Size: 10, Reader: m}
	for _, test := range []struct {
		name string
		e    Export
		ask  string
		want string
	}{
		{"read", ro, request(cmdRead, 2, 3, ""), answer(0, "234")},
		{"read all", ro, request(cmdRead, 0, 10, ""), answer(0, "0123456789")},
		{"read beyond", ro, request(cmdRead, 8, 3, ""), answer(errInvalid, "")},
		{"read far beyond", ro, request(cmdRead, 1<<63, 3, ""), answer(errInvalid, "")},
		{"write to what is read only", ro, request(cmdWrite, 0, 2, "xx"), answer(errPermission, "")},
		{"zero what is read only", ro, request(cmdZero, 0, 2, ""), answer(errPermission, "")},
		{"flush", ro, request(cmdFlush, 0, 0, ""), answer(0, "")},
		{"unknown", rw, request(77, 0, 0, ""), answer(errInvalid, "")},
		{"write", rw, request(cmdWrite, 1, 2, "ab"), answer(0, "")},
		{"read it", rw, request(cmdRead, 0, 4, ""), answer(0, "0ab3")},
		{"write beyond", rw, request(cmdWrite, 9, 2, "ab"), answer(errNoSpace, "")},
		{"zero beyond", rw, request(cmdZero, 9, 1<<31, ""), answer(errNoSpace, "")},
		{"zero", rw, request(cmdZero, 0, 2, ""), answer(0, "")},
		{"trim", rw, request(cmdTrim, 0, 2, ""), answer(0, "")},
		{"read that", rw, request(cmdRead, 0, 4, ""), answer(0, "\x00\x00b3")},
	} {
		if got, err := talk(test.e, test.ask, request(cmdDisconnect, 0, 0, "")); got != test.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestBadClients(t *testing.T) {
	m := &memory{b: make([]byte, 10)}
	for name, words := range map[string]string{"no request": strings.Repeat("x", 28), "huge": request(cmdRead, 0, 1<<31, ""), "huge write": request(cmdWrite, 0, 1<<31, "")} {
		if _, err := talk(Export{Size: 10, Reader: m, Sink: m}, words); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, words := range map[string]string{"no option": strings.Repeat("x", 20), "huge option": hello + option(optGo, "")[:12] + "\xff\xff\xff\xff"} {
		if err := Serve(&script{Reader: strings.NewReader(words)}, Export{Size: 10, Reader: m}); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Serve(&script{Reader: strings.NewReader(hello + option(optAbort, ""))}, Export{Size: 10, Reader: m}); err != nil {
		t.Errorf("abort: %v", err)
	}
	broken := &memory{b: make([]byte, 10), fail: errors.New("the disk is full")}
	if got, err := talk(Export{Size: 10, Reader: broken, Sink: broken}, request(cmdWrite, 0, 1, "x")); got != answer(errIO, "") || err == nil || err.Error() != "the disk is full" {
		t.Errorf("a failure of ours: %q, %v", got, err)
	}
}

// The old way into the transmission, and a real connection.
func TestExportName(t *testing.T) {
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(ours, Export{Size: 5, Reader: strings.NewReader("hello")}) }()
	head := make([]byte, 18)
	if _, err := io.ReadFull(theirs, head); err != nil || string(head[:16]) != "NBDMAGICIHAVEOPT" {
		t.Fatalf("%q, %v", head, err)
	}
	go func() { _, _ = io.WriteString(theirs, hello+option(optExportName, "x")+request(cmdRead, 0, 5, "")) }()
	got := make([]byte, 10+16+5)
	if _, err := io.ReadFull(theirs, got); err != nil || string(got[26:]) != "hello" || be.Uint64(got) != 5 {
		t.Errorf("%q, %v", got, err)
	}
	theirs.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// named is a host of one export.
func named(e Export) func(string) (Export, error) {
	return func(name string) (Export, error) {
		if name != "a/b" {
			return Export{}, errors.New("no such export")
		}
		return e, nil
	}
}

func naming(name string) string {
	return string(be.AppendUint32(nil, uint32(len(name)))) + name + "\x00\x00"
}

func TestServeNamed(t *testing.T) {
	for ask, want := range map[string]struct {
		reply uint32
		rest  string
	}{
		option(optGo, naming("a/c")) + option(optAbort, ""):                                          {repUnknown, ""},
		option(optGo, "\x00\x00\x00\x09a/b"):                                                         {repInvalid, ""},
		option(optInfo, naming("a/c")):                                                               {repUnknown, ""},
		option(optGo, naming("a/b")) + request(cmdRead, 1, 3, "") + request(cmdDisconnect, 0, 0, ""): {repAck, answer(0, "123")},
		option(optGo, naming("a/c")) + option(optGo, naming("a/b")) + request(cmdRead, 8, 3, "") + request(cmdDisconnect, 0, 0, ""): {repAck, answer(errInvalid, "")},
		option(optGo, naming("a/b")) + request(cmdWrite, 1, 3, "abc") + request(cmdDisconnect, 0, 0, ""):                            {repAck, answer(errPermission, "")},
		option(optGo, naming("a/b")) + request(cmdZero, 1, 3, "") + request(cmdFlush, 0, 0, "") + request(cmdDisconnect, 0, 0, ""):  {repAck, answer(errPermission, "") + answer(0, "")},
	} {
		s := &script{Reader: strings.NewReader(hello + ask)}
		err := ServeNamed(s, named(Export{Size: 10, Reader: strings.NewReader("0123456789"), Sink: &memory{}}))
		said := s.said.String()
		if err != nil || !strings.HasSuffix(said, want.rest) || !strings.Contains(said, string(be.AppendUint32(nil, want.reply))) {
			t.Errorf("%q: %q, %v", ask, said, err)
		}
	}
	err := ServeNamed(&script{Reader: strings.NewReader(hello + option(optGo, naming("a/b")) + request(cmdRead, 0, maxRead+1, ""))}, named(Export{Size: 1 << 30, Reader: &memory{b: []byte{1}}}))
	if !errors.Is(err, ErrProtocol) {
		t.Errorf("a read of more than may be: %v", err)
	}
}

// gate is a disk whose reads at offset 0 wait.
type gate struct{ open chan struct{} }

func (g gate) ReadAt(p []byte, off int64) (int, error) {
	if off == 0 {
		<-g.open
	}
	for i := range p {
		p[i] = byte(off)
	}
	return len(p), nil
}

// A read that waits holds up no other, and each is answered under its own cookie.
func TestReadsSideBySide(t *testing.T) {
	ours, theirs := net.Pipe()
	g := gate{make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- ServeNamed(ours, named(Export{Size: 100, Reader: g})) }()
	go func() {
		_, _ = io.WriteString(theirs, hello+option(optExportName, "a/b"))
		for _, off := range []uint64{0, 7, 8} {
			r := []byte(request(cmdRead, off, 2, ""))
			be.PutUint64(r[8:], off)
			_, _ = theirs.Write(r)
		}
	}()
	if _, err := io.ReadFull(theirs, make([]byte, 18+10)); err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{}
	for i := range 3 {
		got := make([]byte, 18)
		if _, err := io.ReadFull(theirs, got); err != nil {
			t.Fatal(err)
		}
		if got[15] != got[16] || got[15] != got[17] || i < 2 && got[16] == 0 {
			t.Errorf("answer %d: %x", i, got)
		}
		seen[got[16]] = true
		if i == 1 {
			close(g.open)
		}
	}
	theirs.Close()
	if err := <-ended; err != nil || len(seen) != 3 {
		t.Errorf("%v, %v", seen, err)
	}
}

func FuzzServeNamed(f *testing.F) {
	f.Add([]byte(hello + option(optGo, naming("a/b")) + request(cmdRead, 0, 4, "") + request(cmdRead, 990, 4, "")))
	f.Add([]byte(hello + option(optInfo, naming("x")) + option(optExportName, "a/b") + request(cmdZero, 0, 10, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = ServeNamed(&script{Reader: bytes.NewReader(b)}, named(Export{Size: 1000, Reader: &memory{b: make([]byte, 1000)}}))
	})
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(hello + option(optGo, "") + request(cmdWrite, 1, 2, "ab") + request(cmdRead, 0, 4, "")))
	f.Add([]byte(hello + option(optInfo, "") + option(optExportName, "x") + request(cmdZero, 0, 10, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &memory{b: make([]byte, 1000)}
		_ = Serve(&script{Reader: bytes.NewReader(b)}, Export{Size: 1000, Reader: m, Sink: m})
	})
}
