package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	caLifetime   = 2 * 365 * 24 * time.Hour
	caRenewLeft  = 30 * 24 * time.Hour // renewal is asked for when less than this is left
	leafLifetime = 7 * 24 * time.Hour
	leafRenew    = leafLifetime / 3
	backdate     = time.Hour // for clients whose clock is a little behind
)

// A CA is a private certificate authority that can vouch for its Domains alone.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CertPEM returns the certificate, which is public.
func (ca *CA) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Domains returns the permitted names, sorted; each covers all names below it.
func (ca *CA) Domains() []string { return slices.Clone(ca.cert.PermittedDNSDomains) }

// NotAfter is when the authority, and with it every leaf, stops being valid.
func (ca *CA) NotAfter() time.Time { return ca.cert.NotAfter }

// RenewalError says why an authority should be replaced, which `vitrine ca renew` does.
type RenewalError struct {
	// Missing are domains of doors or of the operator that the authority cannot vouch for: their clients would refuse
	// the certificate.
	Missing []string
	// Surplus are domains that it may vouch for without need.
	Surplus []string
	// NotAfter is set when the authority has expired or soon will.
	NotAfter time.Time
}

// Error names the reasons and the remedy.
func (e *RenewalError) Error() string {
	text := "the certificate authority should be renewed (vitrine ca renew):"
	if len(e.Missing) > 0 {
		text += fmt.Sprintf(" it does not cover %q;", e.Missing)
	}
	if len(e.Surplus) > 0 {
		text += fmt.Sprintf(" it covers %q without need;", e.Surplus)
	}
	if !e.NotAfter.IsZero() {
		text += fmt.Sprintf(" it is valid until %s;", e.NotAfter.UTC().Format(time.RFC3339))
	}
	return text[:len(text)-1]
}

// NeedsRenewal returns nil, or a *RenewalError when the authority was made for other domains or is about to expire.
func (ca *CA) NeedsRenewal(domains []string, now time.Time) error {
	need := &RenewalError{}
	for _, d := range domains {
		if !slices.Contains(ca.cert.PermittedDNSDomains, d) {
			need.Missing = append(need.Missing, d)
		}
	}
	for _, d := range ca.cert.PermittedDNSDomains {
		if !slices.Contains(domains, d) {
			need.Surplus = append(need.Surplus, d)
		}
	}
	if now.Add(caRenewLeft).After(ca.cert.NotAfter) {
		need.NotAfter = ca.cert.NotAfter
	}
	if len(need.Missing) == 0 && len(need.Surplus) == 0 && need.NotAfter.IsZero() {
		return nil
	}
	return need
}

func newCA(domains []string, now time.Time) (*CA, error) {
	if len(domains) == 0 {
		return nil, errors.New("a certificate authority without domains would be unbounded")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	skid, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		// The name differs from authority to authority, so that a client that trusts an old and a new one finds the right one.
		Subject:   pkix.Name{Organization: []string{"Vitrine"}, CommonName: "Vitrine private CA " + hex.EncodeToString(skid[:4])},
		NotBefore: now.Add(-backdate).UTC(), NotAfter: now.Add(caLifetime).UTC(),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:    x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, // servers only: not mail, not code
		// Both given, since a self-signed certificate gets no authority key id from crypto/x509 otherwise.
		SubjectKeyId: skid, AuthorityKeyId: skid,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key}, nil
}

// leaf makes a certificate for one host. It does not ask whether the host is permitted: that is for the caller, and in
// the end for the client, which checks the name constraints.
func (ca *CA) leaf(host string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	skid, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Vitrine"}, CommonName: commonName(host)},
		NotBefore:    later(now.Add(-backdate), ca.cert.NotBefore).UTC(),
		NotAfter:     earlier(now.Add(leafLifetime), ca.cert.NotAfter).UTC(),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId: skid, AuthorityKeyId: ca.cert.SubjectKeyId,
		BasicConstraintsValid: true,
		DNSNames:              []string{host},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// commonName has at most 64 characters (RFC 5280, ub-common-name); clients read the alternative name anyway.
func commonName(host string) string {
	if len(host) <= 64 {
		return host
	}
	return "Vitrine leaf"
}

// serial is 127 random bits: positive and at most 20 octets, as RFC 5280 has it.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	b[15] |= 1 // never zero
	return new(big.Int).SetBytes(b)
}

// keyID is RFC 5280's method 1, a name for a key and no protection.
func keyID(pub *ecdsa.PublicKey) ([]byte, error) {
	point, err := pub.Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(point)
	return sum[:], nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
