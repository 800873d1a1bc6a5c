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
	text := bundle(firstFile(systemRoots()), e.CACertPEM())
	if holds(path, text, 0o644) { // as at every start but the first: a rename that the disk has to keep takes longer than all the rest
		return nil
	}
	if err := writeFile(path, text, 0o644, os.Rename); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// holds says whether path is a file of its own, with that text and that mode.
func holds(path string, text []byte, mode os.FileMode) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != mode || st.Size() != int64(len(text)) {
		return false
	}
	is, err := os.ReadFile(path)
	return err == nil && bytes.Equal(is, text)
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
