package edge

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// maxHeader is room for four tokens of up to 3 KiB each (Authorization and three auxiliary ones) many times over.
	maxHeader     = 128 << 10
	headerTimeout = 15 * time.Second // also bounds the TLS handshake
	idleTimeout   = 2 * time.Minute
)

// newServer is the one HTTP server: of the proxy's requests and of all doors.
func (e *Edge) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           http.HandlerFunc(e.serveHTTP),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols,
		// "OPTIONS *" is no request to a door that we know; without this net/http would answer it before us.
		DisableGeneralOptionsHandler: true,
		ConnContext:                  withConn,
		ConnState:                    e.connState,
		ErrorLog:                     slog.NewLogLogger(e.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// connState notes which connections have a request under way. net/http would wait for a connection that has not begun
// one (http.StateNew) up to five seconds at a shutdown; we need not.
func (e *Edge) connState(nc net.Conn, state http.ConnState) {
	c := under(nc)
	if c == nil {
		return
	}
	c.pending.Store(false)
	if state == http.StateActive || state == http.StateIdle {
		c.since.Store(time.Now().UnixNano())
	}
	c.busy.Store(state == http.StateActive)
	select {
	case <-e.stopping:
		if state == http.StateNew {
			c.Close()
		}
	default:
	}
}

// tlsConfig speaks for the hosts of our doors alone.
func (e *Edge) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: e.certificate,
		Time:           e.cfg.Now,
		// A resumed session asks for no certificate, and with that for no host name.
		SessionTicketsDisabled: true,
	}
}

// certificate answers a client's hello. No certificate and no error makes crypto/tls send unrecognized_name.
func (e *Edge) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host, err := e.tlsHost(hello.ServerName, under(hello.Conn))
	if err != nil {
		e.cfg.Log.Debug("TLS refused", "reason", err)
		return nil, nil
	}
	return e.leaves.get(host)
}

// tlsHost is the host a TLS connection is for: the server name it asks for, else the host of its CONNECT. Both must
// belong to the same door.
func (e *Edge) tlsHost(serverName string, c *conn) (string, error) {
	connected := ""
	if c != nil {
		connected = c.host
	}
	if serverName == "" {
		serverName = connected
	}
	host, err := canonicalHost(serverName)
	if err != nil {
		return "", fmt.Errorf("server name: %w", err)
	}
	door := e.routes.door(host)
	if door == nil {
		return "", fmt.Errorf("no door for server name %q", host)
	}
	if connected != "" && e.routes.door(connected) != door {
		return "", fmt.Errorf("server name %q after CONNECT to %q", host, connected)
	}
	return host, nil
}

func (e *Edge) serveHTTP(w http.ResponseWriter, r *http.Request) {
	b := limitBody(w, r)
	if r.TLS == nil {
		e.serveProxy(w, r)
	} else {
		e.serveDoor(w, r)
	}
	b.drain(r)
}

// serveDoor hands a request to the door of its connection, provided that it names a host of that same door: what was
// checked for one door must not be answered by another.
func (e *Edge) serveDoor(w http.ResponseWriter, r *http.Request) {
	host, err := e.tlsHost(r.TLS.ServerName, connOf(r))
	if err != nil {
		refuse(w, http.StatusMisdirectedRequest, err.Error())
		return
	}
	door := e.routes.door(host)
	name, port, err := requestHost(r.Host)
	switch {
	case r.Method == http.MethodConnect:
		refuse(w, http.StatusMethodNotAllowed, "CONNECT inside TLS is not supported")
	case err != nil:
		refuse(w, http.StatusMisdirectedRequest, err.Error())
	case e.routes.door(name) != door:
		refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host %q does not belong to this connection, which is for %q", name, host))
	case connOf(r).host != "" && port != 0 && port != 443:
		refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host %q does not belong to this connection, which is for port 443", r.Host))
	default:
		if port != 0 && port != 443 {
			name = fmt.Sprintf("%s:%d", name, port)
		}
		r.Host, r.URL.Host, r.URL.Scheme, r.URL.User = name, name, "https", nil
		door.Handler.ServeHTTP(w, r)
	}
}

// refuse answers what no door will: plain text, and the end of the connection.
func refuse(w http.ResponseWriter, status int, reason string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	w.WriteHeader(status)
	io.WriteString(w, "vitrine: "+strings.TrimSpace(reason)+"\n")
}
