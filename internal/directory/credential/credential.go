package credential

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // #nosec: x5t is defined by SHA-1; it names a certificate and proves nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory/rule"
)

// Credentials is everything by which an application, or its service principal in one tenant, proves itself.
type Credentials struct {
	Secrets      []Secret              `json:"secrets,omitempty"`
	Certificates []Certificate         `json:"certificates,omitempty"`
	Federated    []FederatedCredential `json:"federated,omitempty"` // applications only
}

// Certificate is a key credential: the holder of its private key may sign client assertions.
type Certificate struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName,omitempty"`
	DER         []byte    `json:"der"`
	X5T         string    `json:"x5t"`     // base64url of its SHA-1, as in the header of an assertion
	X5TS256     string    `json:"x5tS256"` // base64url of its SHA-256
	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
}

// Thumbprint is the SHA-1 in upper-case hexadecimal, as portals and az show it.
func (c Certificate) Thumbprint() string {
	sum, err := base64.RawURLEncoding.DecodeString(c.X5T)
	if err != nil {
		return ""
	}
	return strings.ToUpper(hex.EncodeToString(sum))
}

// PublicKey is the key that verifies its assertions: RSA of 2,048 bits or more, or ECDSA.
func (c Certificate) PublicKey() (crypto.PublicKey, error) {
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return nil, fmt.Errorf("directory: certificate %s: %w", c.KeyID, err)
	}
	return cert.PublicKey, nil
}

// Valid says whether the credential may be used at a time.
func (c Certificate) Valid(now time.Time) bool { return !now.Before(c.Start) && now.Before(c.End) }

// SetKeyID names the credential as its client chose to; rule.ErrInvalid if that is no GUID.
func (c *Certificate) SetKeyID(id string) error {
	given, err := rule.NewOrGiven("key ID", id)
	if err == nil {
		c.KeyID = given
	}
	return err
}

// FederatedCredential lets the bearer of another issuer's token act as the application.
type FederatedCredential struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"` // unique in the application, cannot be changed
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Audiences   []string `json:"audiences"` // exactly one
	Description string   `json:"description,omitempty"`
}

// Matches says whether a token's claims are what the credential asks for; comparison is exact, as Entra's is.
func (f FederatedCredential) Matches(issuer, subject, audience string) bool {
	return f.Issuer == issuer && f.Subject == subject && len(f.Audiences) == 1 && f.Audiences[0] == audience
}

const (
	maxCertificates = 20
	maxFederated    = 20
	maxDER          = 16 << 10
)

// Check finds what is wrong with them, and completes them.
func (c *Credentials) Check() error {
	if len(c.Certificates) > maxCertificates || len(c.Federated) > maxFederated || len(c.Secrets) > MaxSecrets {
		return fmt.Errorf("an application has at most %d certificates, %d federated credentials and %d secrets: %w",
			maxCertificates, maxFederated, MaxSecrets, rule.ErrInvalid)
	}
	for i := range c.Certificates {
		for j := range i {
			if c.Certificates[i].KeyID == c.Certificates[j].KeyID || bytes.Equal(c.Certificates[i].DER, c.Certificates[j].DER) {
				return fmt.Errorf("certificate %s is there twice: %w", c.Certificates[i].KeyID, rule.ErrInvalid)
			}
		}
	}
	for i := range c.Federated {
		if err := c.Federated[i].check(); err != nil {
			return err
		}
		for _, f := range c.Federated[:i] {
			if f.Name == c.Federated[i].Name {
				return fmt.Errorf("FederatedIdentityCredential with name %s already exists: %w", f.Name, rule.ErrExists)
			}
			if f.Issuer == c.Federated[i].Issuer && f.Subject == c.Federated[i].Subject {
				return fmt.Errorf("Issuer and subject combination already exists for this Managed Identity or application: %w", rule.ErrExists)
			}
		}
	}
	return nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func (f *FederatedCredential) check() error {
	if f.ID == "" {
		f.ID = uuid.NewString()
	}
	issuer, err := url.Parse(f.Issuer)
	switch {
	case len(f.Name) < 3 || len(f.Name) > 120 || strings.Trim(f.Name, nameLetters) != "" || strings.Trim(f.Name[:1], "-_") == "":
		return fmt.Errorf("name %.130q of a federated credential needs 3 to 120 letters, digits, - and _, and starts with a letter or digit: %w", f.Name, rule.ErrInvalid)
	case err != nil || issuer.Scheme != "https" || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "" || len(f.Issuer) > 600:
		return fmt.Errorf("issuer %.300q of a federated credential is not an https URL: %w", f.Issuer, rule.ErrInvalid)
	case f.Subject == "" || len(f.Subject) > 600 || strings.ContainsFunc(f.Subject, rule.IsControl):
		return fmt.Errorf("subject %.300q of a federated credential needs 1 to 600 characters: %w", f.Subject, rule.ErrInvalid)
	case len(f.Audiences) != 1 || f.Audiences[0] == "" || len(f.Audiences[0]) > 600:
		return fmt.Errorf("a federated credential has exactly one audience of at most 600 characters: %w", rule.ErrInvalid)
	case len(f.Description) > 600:
		return fmt.Errorf("the description of a federated credential has at most 600 characters: %w", rule.ErrInvalid)
	}
	return nil
}

// NewCertificate makes a key credential of an X.509 certificate in DER. start and end narrow its own validity; zero: as it is.
func NewCertificate(der []byte, name string, start, end time.Time) (Certificate, error) {
	if len(der) > maxDER {
		return Certificate{}, fmt.Errorf("a certificate has at most %d bytes: %w", maxDER, rule.ErrInvalid)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Certificate{}, fmt.Errorf("the key is not an X.509 certificate: %w", errors.Join(rule.ErrInvalid, err))
	}
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
			return Certificate{}, fmt.Errorf("an RSA key has 2,048 to 8,192 bits, not %d: %w", key.N.BitLen(), rule.ErrInvalid)
		}
	case *ecdsa.PublicKey:
	default:
		return Certificate{}, fmt.Errorf("a certificate's key is RSA or ECDSA: %w", rule.ErrInvalid)
	}
	if name != "" {
		if err := rule.CheckName("certificate name", name); err != nil {
			return Certificate{}, err
		}
	}
	if start.IsZero() || start.Before(cert.NotBefore) {
		start = cert.NotBefore
	}
	if end.IsZero() || end.After(cert.NotAfter) {
		end = cert.NotAfter
	}
	if !end.After(start) {
		return Certificate{}, fmt.Errorf("key credential end date is invalid: %w", rule.ErrInvalid)
	}
	one, two := sha1.Sum(der), sha256.Sum256(der) // #nosec: see the import
	return Certificate{KeyID: uuid.NewString(), DisplayName: name, DER: der, X5T: base64.RawURLEncoding.EncodeToString(one[:]),
		X5TS256: base64.RawURLEncoding.EncodeToString(two[:]), Start: start.UTC(), End: end.UTC()}, nil
}
