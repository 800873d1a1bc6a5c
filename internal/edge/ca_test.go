package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/seal"
)

// azureDoors have the hosts that clients believe to be Azure's; what an authority for them permits is part of the promise.
func azureDoors() []Door {
	return []Door{
		{Name: "login", Hosts: []string{"login.microsoftonline.com", "login.windows.net", "sts.windows.net"}},
		{Name: "arm", Hosts: []string{"management.azure.com", "management.core.windows.net"}},
		{Name: "graph", Hosts: []string{"graph.microsoft.com"}},
		{Name: "blob", Hosts: []string{".blob.core.windows.net", ".blob.storage.azure.net"}},
	}
}

func testSealer(t testing.TB, fill byte) *seal.Sealer {
	t.Helper()
	s, err := seal.New(bytes.Repeat([]byte{fill}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func azureDomains(t testing.TB, extra ...string) []string {
	t.Helper()
	names, err := Domains(azureDoors(), extra)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func testCA(t testing.TB, now time.Time) *CA {
	t.Helper()
	ca, err := LoadOrCreateCA(t.TempDir(), testSealer(t, 1), azureDomains(t, "vitrine.example"), now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestDomains(t *testing.T) {
	got := azureDomains(t, "Vitrine.Example.", "sub.vitrine.example", "localhost")
	want := []string{
		"blob.core.windows.net", "blob.storage.azure.net", "graph.microsoft.com", "localhost", "login.microsoftonline.com",
		"login.windows.net", "management.azure.com", "management.core.windows.net", "sts.windows.net", "vitrine.example",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Domains = %q, want %q", got, want)
	}
	for _, bad := range []string{"com", ".com", "", ".", "*.example.org", "10.0.0.1", "a..b", "exämple.org"} {
		if got, err := Domains(nil, []string{bad}); err == nil {
			t.Errorf("Domains took %q as %q", bad, got)
		}
	}
}

func TestAuthority(t *testing.T) {
	now := time.Now()
	ca := testCA(t, now)
	c := ca.cert
	if !c.PermittedDNSDomainsCritical || len(c.ExcludedIPRanges) != 2 || !c.IsCA || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("authority is not bounded as it should be: %+v", c)
	}
	for _, ext := range c.Extensions {
		switch id := ext.Id.String(); id {
		case "2.5.29.15", "2.5.29.19", "2.5.29.30": // key usage, basic constraints, name constraints
			if !ext.Critical {
				t.Errorf("extension %s is not critical", id)
			}
		}
	}
	if err := ca.NeedsRenewal(azureDomains(t, "vitrine.example"), now); err != nil {
		t.Error(err)
	}
}

// Whoever holds the key can sign anything; what counts is what clients make of it.
func TestNameConstraintsInGo(t *testing.T) {
	now := time.Now()
	ca := testCA(t, now)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	for _, tt := range hostsAndVerdicts() {
		leaf, _, err := ca.leaf(tt.host, now)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.host, CurrentTime: now})
		if (err == nil) != tt.good {
			t.Errorf("%s: verified %v, want %v (%v)", tt.host, err == nil, tt.good, err)
		}
	}
}

func TestNameConstraintsInOpenSSL(t *testing.T) {
	openssl := tool(t, "openssl")
	now := time.Now()
	ca := testCA(t, now)
	dir := t.TempDir()
	caPath := filepath.Join(dir, "ca.pem")
	write(t, caPath, ca.CertPEM())
	if out, err := exec.Command(openssl, "verify", "-x509_strict", "-CAfile", caPath, caPath).CombinedOutput(); err != nil {
		t.Errorf("the authority itself: %s", out)
	}
	for _, tt := range hostsAndVerdicts() {
		leaf, _, err := ca.leaf(tt.host, now)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "leaf.pem")
		write(t, path, pemOf(leaf))
		out, err := exec.Command(openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", tt.host,
			"-CAfile", caPath, path).CombinedOutput()
		if (err == nil) != tt.good {
			t.Errorf("%s: verified %v, want %v:\n%s", tt.host, err == nil, tt.good, out)
		}
		if !tt.good && !bytes.Contains(out, []byte("permitted subtree violation")) {
			t.Errorf("%s: refused for another reason than its name:\n%s", tt.host, out)
		}
	}
}

// What a thief of the key might try beside a plain foreign name.
func TestForgeries(t *testing.T) {
	openssl := tool(t, "openssl")
	now := time.Now()
	ca := testCA(t, now)
	caPath := filepath.Join(t.TempDir(), "ca.pem")
	write(t, caPath, ca.CertPEM())
	forgeries := map[string]x509.Certificate{
		"IPv4 address":       {IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
		"IPv6 address":       {IPAddresses: []net.IP{net.ParseIP("2001:db8::1")}},
		"address beside":     {DNSNames: []string{"management.azure.com"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
		"foreign name":       {DNSNames: []string{"management.azure.com", "example.org"}},
		"foreign wildcard":   {DNSNames: []string{"*.azure.com"}},
		"code signing":       {DNSNames: []string{"management.azure.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}},
		"expired":            {DNSNames: []string{"management.azure.com"}, NotBefore: now.Add(-2 * time.Minute), NotAfter: now.Add(-time.Minute)},
		"common name only":   {Subject: pkix.Name{CommonName: "example.org"}},
		"subordinate signer": {DNSNames: []string{"management.azure.com"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign},
	}
	for name, forgery := range forgeries {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "leaf.pem")
			args := []string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", caPath}
			cert, key := sign(t, ca, forgery, ca.cert, ca.key)
			inter := x509.NewCertPool()
			if forgery.IsCA { // what matters is whether it can sign in turn
				interPath := filepath.Join(t.TempDir(), "inter.pem")
				write(t, interPath, pemOf(cert))
				inter.AddCert(cert)
				cert, _ = sign(t, ca, x509.Certificate{DNSNames: []string{"graph.microsoft.com"}}, cert, key)
				args = append(args, "-untrusted", interPath)
			}
			write(t, path, pemOf(cert))
			if out, err := exec.Command(openssl, append(args, path)...).CombinedOutput(); err == nil {
				t.Errorf("openssl takes it: %s", out)
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca.cert)
			opts := x509.VerifyOptions{Roots: roots, Intermediates: inter, CurrentTime: now}
			if name == "common name only" { // Go reads no common name at all
				opts.DNSName = "example.org"
			}
			if _, err := cert.Verify(opts); err == nil {
				t.Error("Go takes it")
			}
		})
	}
}

// sign makes a certificate as a thief would: with the authority's key and whatever tmpl says.
func sign(t *testing.T, ca *CA, tmpl x509.Certificate, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber = serial()
	tmpl.BasicConstraintsValid = true
	if tmpl.Subject.CommonName == "" {
		tmpl.Subject.CommonName = "forged"
	}
	if tmpl.NotAfter.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = ca.cert.NotBefore, ca.cert.NotAfter
	}
	if tmpl.SubjectKeyId, err = keyID(&key.PublicKey); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

type verdict struct {
	host string
	good bool
}

func hostsAndVerdicts() []verdict {
	return []verdict{
		{"login.microsoftonline.com", true},
		{"management.azure.com", true},
		{"md-x.zone.blob.storage.azure.net", true},
		{"account.blob.core.windows.net", true},
		{strings.Repeat("a", 63) + ".blob.core.windows.net", true}, // too long for a common name
		{"node1.vitrine.example", true},
		{"example.org", false},
		{"microsoftonline.com", false},
		{"evil-login.microsoftonline.com", false},
		{"account.file.core.windows.net", false},
		{"login.microsoftonline.com.example.org", false},
	}
}

func TestLeaf(t *testing.T) {
	now := time.Now()
	ca := testCA(t, now)
	leaf, _, err := ca.leaf("management.azure.com", now)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.NotAfter.Sub(now) > leafLifetime || leaf.IsCA || !slices.Equal(leaf.DNSNames, []string{"management.azure.com"}) {
		t.Errorf("leaf: until %v, CA %v, names %q", leaf.NotAfter, leaf.IsCA, leaf.DNSNames)
	}
	late, _, err := ca.leaf("management.azure.com", ca.NotAfter().Add(-time.Hour))
	if err != nil || late.NotAfter.After(ca.NotAfter()) {
		t.Errorf("leaf outlives its authority: %v, %v", late.NotAfter, err)
	}
}

func TestKeptAndSealed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "edge")
	now := time.Now()
	first, err := LoadOrCreateCA(dir, testSealer(t, 1), azureDomains(t), now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreateCA(dir, testSealer(t, 1), azureDomains(t), now)
	if err != nil || !second.cert.Equal(first.cert) || !second.key.Equal(first.key) {
		t.Fatalf("a second start has another authority (%v)", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(first.key)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(data, key) || bytes.Contains(data, []byte("PRIVATE KEY")) {
			t.Errorf("%s shows the key (%v)", f.Name(), err)
		}
	}
	if _, err := LoadOrCreateCA(dir, testSealer(t, 2), azureDomains(t), now); !errors.Is(err, seal.ErrKey) {
		t.Errorf("with another master key: %v", err)
	}
	write(t, filepath.Join(dir, caFile), []byte("{"))
	if _, err := LoadOrCreateCA(dir, testSealer(t, 1), azureDomains(t), now); err == nil {
		t.Error("a damaged file was replaced or accepted")
	}
}

func TestStartersAgree(t *testing.T) {
	dir := t.TempDir()
	certs := make([]string, 8)
	var wg sync.WaitGroup
	for i := range certs {
		wg.Go(func() {
			ca, err := LoadOrCreateCA(dir, testSealer(t, 1), azureDomains(t), time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			certs[i] = string(ca.CertPEM())
		})
	}
	wg.Wait()
	for _, c := range certs {
		if c != certs[0] {
			t.Fatal("starters use different authorities")
		}
	}
}

func TestNeedsRenewal(t *testing.T) {
	now := time.Now()
	ca := testCA(t, now)
	tests := []struct {
		name    string
		domains []string
		now     time.Time
		want    string
	}{
		{"a domain more", azureDomains(t, "vitrine.example", "new.example"), now, `does not cover ["new.example"]`},
		{"a domain less", azureDomains(t), now, `covers ["vitrine.example"] without need`},
		{"old", azureDomains(t, "vitrine.example"), ca.NotAfter().Add(-caRenewLeft / 2), "valid until"},
		{"expired", azureDomains(t, "vitrine.example"), ca.NotAfter().Add(time.Hour), "valid until"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ca.NeedsRenewal(tt.domains, tt.now)
			var need *RenewalError
			if !errors.As(err, &need) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "vitrine ca renew") {
				t.Errorf("NeedsRenewal = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestLeafCache(t *testing.T) {
	now := time.Now()
	l := newLeaves(testCA(t, now), func() time.Time { return now })
	get := func(host string) string {
		c, err := l.get(host)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.String()
	}
	first := get("a.blob.core.windows.net")
	now = now.Add(leafLifetime / 2)
	if get("a.blob.core.windows.net") != first {
		t.Error("renewed at half of its life")
	}
	now = now.Add(leafLifetime / 4)
	second := get("a.blob.core.windows.net")
	if second == first {
		t.Error("not renewed with a quarter of its life left")
	}
	for i := range maxLeaves {
		l.get(strings.Repeat("b", i%60+1) + "." + strings.Repeat("c", i/60+1) + ".blob.core.windows.net")
	}
	if l.byUse.Len() != maxLeaves || len(l.byDNS) != maxLeaves {
		t.Errorf("cache holds %d and %d", l.byUse.Len(), len(l.byDNS))
	}
	if get("a.blob.core.windows.net") == second {
		t.Error("the least recently used stayed")
	}
}

func TestBundle(t *testing.T) {
	dir := t.TempDir()
	other := testCA(t, time.Now()).CertPEM()
	roots := filepath.Join(dir, "roots.pem")
	write(t, roots, bytes.TrimSpace(other)) // no line break at its end
	write(t, filepath.Join(dir, "junk"), []byte("no certificate"))
	ours := testCA(t, time.Now()).CertPEM()
	got := bundle(firstFile([]string{filepath.Join(dir, "none"), filepath.Join(dir, "junk"), roots}), ours)
	count := 0
	for block, rest := pem.Decode(got); block != nil; block, rest = pem.Decode(rest) {
		count++
	}
	if count != 2 {
		t.Errorf("bundle has %d certificates:\n%s", count, got)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tool finds a program, and says what is left out without it.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("VITRINE_FULL") == "1" {
		t.Fatalf("%s is missing", name)
	}
	if err != nil {
		t.Skipf("%s is missing: what it makes of our certificates and proxy is left out", name)
	}
	return path
}
