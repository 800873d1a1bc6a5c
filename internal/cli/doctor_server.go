package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/client"
)

// checkServer asks whether the server is there, and whether a client would trust it.
func (e *env) checkServer(ctx context.Context) []finding {
	const name = "server"
	s, err := e.server()
	if err != nil {
		return []finding{{name, notice, "not started on this data folder", "vitrine serve --data " + quote(e.data)}}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var now client.Server
	if err := client.NewOperator(s.Operator).Do(ctx, "/v1/status", nil, &now); err != nil {
		return []finding{{name, notice, "it does not answer on " + s.Operator, "vitrine serve --data " + quote(e.data)}}
	}
	all := []finding{good(name, "running (pid %d, %s), proxy %s", now.PID, now.Version, now.Proxy)}
	return append(all, checkCA(now)...)
}

// checkCA verifies the chain of a host as a client does, through the proxy's direct TLS.
func checkCA(s client.Server) []finding {
	const name = "certificates"
	const remedy = "vitrine ca renew, then 'vitrine env' again in each shell"
	raw, err := os.ReadFile(s.CA)
	if err != nil {
		return []finding{{name, trouble, err.Error(), remedy}}
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return []finding{{name, trouble, filepath.Base(s.CA) + " is not PEM", remedy}}
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return []finding{{name, trouble, err.Error(), remedy}}
	}
	if left := time.Until(ca.NotAfter); left < 0 {
		return []finding{{name, trouble, "the certificate authority has expired on " + ca.NotAfter.Format(time.DateOnly), remedy}}
	} else if !ca.IsCA || !ca.PermittedDNSDomainsCritical || len(ca.PermittedDNSDomains) == 0 {
		return []finding{{name, trouble, "the certificate authority is not bound to Azure's hosts by critical name constraints", remedy}}
	}
	if err := handshake(s, ca); err != nil {
		return []finding{{name, trouble, fmt.Sprintf("a client would not trust the server: %v", err), remedy}}
	}
	return []finding{good(name, "valid until %s, for %s only", ca.NotAfter.Format(time.DateOnly), strings.Join(ca.PermittedDNSDomains, ", "))}
}

func handshake(s client.Server, ca *x509.Certificate) error {
	u, err := url.Parse(s.Proxy)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, host := range []string{"management.azure.com", "login.microsoftonline.com", "graph.microsoft.com"} {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", u.Host, &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12})
		if err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}
