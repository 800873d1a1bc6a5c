package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"vitrine/internal/seal"
)

const (
	caFile   = "ca.json" // certificate and sealed key: one file, so that they cannot come apart
	caPublic = "ca.pem"  // the certificate again, for people and tools
	caFormat = 1
)

// stored is the authority at rest.
type stored struct {
	Format      int    `json:"format"`
	Certificate string `json:"certificate"` // PEM
	SealedKey   string `json:"sealedKey"`   // PKCS #8, sealed for the certificate's serial number
}

// LoadOrCreateCA reads the authority from dir, or makes one for domains (see Domains) when there is none. An authority
// that is there is returned as it is; ask its NeedsRenewal whether it still fits. Of several processes that start at once
// one makes the authority and all use it.
func LoadOrCreateCA(dir string, s *seal.Sealer, domains []string, now time.Time) (*CA, error) {
	path := filepath.Join(dir, caFile)
	ca, err := loadCA(path, s)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createCA(dir, s, domains, now); err == nil {
			ca, err = loadCA(path, s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
	}
	if err := publish(dir, ca); err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
	}
	return ca, nil
}

// RenewCA replaces the authority in dir by one with a new key for domains. Clients need the new certificate (a new
// bundle) from then on, and a running server goes on with the old one until its Renew or next start.
func RenewCA(dir string, s *seal.Sealer, domains []string, now time.Time) (*CA, error) {
	ca, data, err := sealedCA(s, domains, now)
	if err == nil {
		err = writeFile(filepath.Join(dir, caFile), data, 0o600, os.Rename)
	}
	if err == nil {
		err = publish(dir, ca)
	}
	if err != nil {
		return nil, fmt.Errorf("renew certificate authority in %s: %w", dir, err)
	}
	return ca, nil
}

func createCA(dir string, s *seal.Sealer, domains []string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, data, err := sealedCA(s, domains, now)
	if err != nil {
		return err
	}
	// A link, unlike a rename, fails when another process was first; then its authority is ours.
	err = writeFile(filepath.Join(dir, caFile), data, 0o600, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func sealedCA(s *seal.Sealer, domains []string, now time.Time) (*CA, []byte, error) {
	ca, err := newCA(domains, now)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, nil, err
	}
	key, err := s.Seal(der, sealResource(ca.cert))
	if err != nil {
		return nil, nil, err
	}
	data, err := json.MarshalIndent(stored{caFormat, string(ca.CertPEM()), key}, "", "  ")
	return ca, data, err
}

func loadCA(path string, s *seal.Sealer) (*CA, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var st stored
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	if st.Format != caFormat {
		return nil, fmt.Errorf("%s has format %d, this program knows format %d", caFile, st.Format, caFormat)
	}
	block, _ := pem.Decode([]byte(st.Certificate))
	if block == nil {
		return nil, fmt.Errorf("%s: no certificate", caFile)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	der, err := s.Open(st.SealedKey, sealResource(cert))
	if err != nil {
		return nil, fmt.Errorf("key of the certificate authority: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key of the certificate authority: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("key and certificate of the certificate authority do not belong together")
	}
	return &CA{cert: cert, key: key}, nil
}

func sealResource(cert *x509.Certificate) string {
	return "edge/ca/" + hex.EncodeToString(cert.SerialNumber.Bytes())
}

// publish keeps ca.pem equal to the authority; it is a copy and nothing reads it back.
func publish(dir string, ca *CA) error {
	path := filepath.Join(dir, caPublic)
	if data, err := os.ReadFile(path); err == nil && bytes.Equal(data, ca.CertPEM()) {
		return nil
	}
	return writeFile(path, ca.CertPEM(), 0o600, os.Rename)
}

// writeFile writes a whole file beside path and, once it is on disk, puts it in place with place (os.Rename or os.Link).
func writeFile(path string, data []byte, mode os.FileMode, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
