package edge

import (
	"bytes"
	"fmt"
	"os"
)

// systemRoots are where the usual systems keep their roots as one PEM file. SSL_CERT_FILE is not asked: in a shell
// prepared by `vitrine env` it names our own bundle, and an old authority would stay in it forever.
func systemRoots() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Gentoo
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
		"/etc/ssl/ca-bundle.pem",                            // SUSE
		"/etc/ssl/cert.pem",                                 // Alpine, macOS, BSD
	}
}

// WriteBundle writes the system's roots and ours to path, in one step and readable by everyone: the file that
// REQUESTS_CA_BUNDLE, SSL_CERT_FILE and NODE_EXTRA_CA_CERTS name. On a system without roots it holds ours alone.
func (e *Edge) WriteBundle(path string) error {
	if err := writeFile(path, bundle(firstFile(systemRoots()), e.CACertPEM()), 0o644, os.Rename); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

func bundle(roots, ours []byte) []byte {
	var b bytes.Buffer
	b.Write(roots)
	if len(roots) > 0 && !bytes.HasSuffix(roots, []byte("\n")) {
		b.WriteByte('\n')
	}
	b.WriteString("# Vitrine private CA\n")
	b.Write(ours)
	return b.Bytes()
}

func firstFile(paths []string) []byte {
	for _, p := range paths {
		if data, err := os.ReadFile(p); err == nil && bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
			return data
		}
	}
	return nil
}
