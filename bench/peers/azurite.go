package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const azuriteAccount, azuriteContainer = "bench", "disks"

// azurite is Microsoft's emulator of the Blob service, behind TLS as ours is.
type azurite struct {
	*process
	dir   string
	base  string // https://127.0.0.1:PORT/bench
	key   []byte
	http  *http.Client
	ready float64
}

// azuriteMissing says why it cannot take part.
func (b *bench) azuriteMissing() error {
	if _, err := os.Stat(b.azuriteMain()); err != nil {
		return fmt.Errorf("npm's package azurite is missing (scripts/bench-peers): %w", err)
	}
	return found("node", "nodejs")
}

func (b *bench) azuriteMain() string {
	return filepath.Join(b.azurite, "node_modules", "azurite", "dist", "src", "blob", "main.js")
}

func (b *bench) startAzurite(ctx context.Context) (*azurite, error) {
	dir, err := b.scratch("azurite")
	if err != nil {
		return nil, err
	}
	return b.startAzuriteIn(ctx, dir)
}

// startAzuriteIn starts it on a folder, which it may have had before.
func (b *bench) startAzuriteIn(ctx context.Context, dir string) (_ *azurite, err error) {
	a := &azurite{dir: dir, key: []byte("a key of the bench alone, no secret")}
	defer func() {
		if err != nil {
			a.end()
		}
	}()
	roots, err := certificate(a.dir)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	a.base = "https://127.0.0.1:" + port + "/" + azuriteAccount
	a.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 8}}
	argv := []string{"node", b.azuriteMain(), "--silent", "--blobHost", "127.0.0.1", "--blobPort", port, "--location", filepath.Join(a.dir, "data"),
		"--cert", filepath.Join(a.dir, "cert.pem"), "--key", filepath.Join(a.dir, "key.pem"), "--disableTelemetry"}
	a.process, err = start(argv, []string{"AZURITE_ACCOUNTS=" + azuriteAccount + ":" + base64.StdEncoding.EncodeToString(a.key)}, nil)
	if err != nil {
		return nil, err
	}
	a.ready, err = a.await(ctx, func() bool {
		res, err := a.http.Get(a.base + "?comp=list")
		return err == nil && drain(res) == nil
	})
	if err != nil {
		return nil, err
	}
	if _, err = os.Stat(filepath.Join(dir, "container")); err == nil {
		return a, nil
	}
	err = errors.Join(a.put(ctx, a.url(azuriteContainer, "", "restype=container"), nil, nil), os.WriteFile(filepath.Join(dir, "container"), nil, 0o600))
	return a, err
}

// small is the address of a small blob.
func (a *azurite) small(n int) string {
	return a.url(fmt.Sprintf("%s/small-%d", azuriteContainer, n), "", "")
}

func (a *azurite) putSmall(ctx context.Context, n int) error {
	return a.put(ctx, a.small(n), make([]byte, 2048), map[string]string{"x-ms-blob-type": "BlockBlob"})
}

func (a *azurite) end() {
	a.stop()
}

// pageBlob makes a page blob of zeros and gives a signed URL.
func (a *azurite) pageBlob(ctx context.Context, name string, size int64) (string, error) {
	target := a.url(azuriteContainer+"/"+name, "", "")
	return target, a.put(ctx, target, nil, map[string]string{"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": strconv.FormatInt(size, 10)})
}

func (a *azurite) put(ctx context.Context, target string, body []byte, header map[string]string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("x-ms-version", "2020-10-02")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return err
	}
	if err := drain(res); err != nil || res.StatusCode/100 != 2 {
		return errors.Join(err, fmt.Errorf("azurite answers %s to PUT", res.Status))
	}
	return nil
}

// url signs for the whole account and a day, as an account SAS of version 2020-10-02 (docs: "Create an account SAS").
func (a *azurite) url(path, start, query string) string {
	const version, perms, services, kinds = "2020-10-02", "rwdlacup", "b", "sco"
	expiry := time.Now().Add(24 * time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	sign := strings.Join([]string{azuriteAccount, perms, services, kinds, start, expiry, "", "https", version, ""}, "\n")
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(sign))
	v := url.Values{"sv": {version}, "sp": {perms}, "ss": {services}, "srt": {kinds}, "se": {expiry}, "spr": {"https"},
		"sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	if query != "" {
		query = "&" + query
	}
	return a.base + "/" + path + "?" + v.Encode() + query
}

// certificate writes cert.pem and key.pem for 127.0.0.1 and gives the pool that trusts it.
func certificate(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots, errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
}

// freePort finds a port that was free a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
