package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// ConnectPath is where the operator's socket takes streams to machines.
const ConnectPath = "/v1/connect"

// upgrade asks for a stream and hands it over once the server agreed.
func upgrade(conn net.Conn, target string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: ConnectPath, RawQuery: url.Values{"target": {target}}.Encode()},
		Host: "operator", Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"vitrine-stream"}}}
	if err := req.Write(conn); err != nil {
		conn.Close()
		return nil, err
	}
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, req)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: %w", target, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
		conn.Close()
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", target, err)
		}
		return nil, ReadError(resp.StatusCode, raw)
	}
	return &stream{Conn: conn, r: buffered}, nil
}

// stream reads first what came along with the answer.
type stream struct {
	net.Conn
	r *bufio.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }

// CloseWrite ends the sending half.
func (s *stream) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.Close()
}
