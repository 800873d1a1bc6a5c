// Package sas makes and checks the signed URLs by which a disk's bytes are read or written without a token.
//
// It owns the form of the URL, which is that of Azure's disk export and upload URLs, and its signature. It does not know
// what a URL grants nor until when: the identifier in it (si) names a grant, which the disk provider keeps.
//
//	grant, key ── URL.Sign ──▶ https://md-<12>.<zone>.blob.storage.azure.net/<12>/abcd?sv=…&sr=b&si=<grant>&sig=…
//	request ── Parse ──▶ URL without proof ── grant looked up by ID ── Verify(key) ──▶ nil or ErrSignature
package sas

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// Version is the storage service version that these URLs name (recorded from Azure).
const Version = "2018-03-28"

// ErrSignature says that a URL is not one that was signed with this key.
var ErrSignature = errors.New("sas: signature does not match")

// URL is a signed URL in parts.
type URL struct {
	Host string // without port, lower case
	Path string // with its leading slash
	ID   string // of the grant
	sig  []byte
}

// New invents host and path below zone, such as "z12.blob.storage.azure.net", for the grant id.
func New(zone, id string) URL {
	return URL{Host: "md-" + random() + "." + zone, Path: "/" + random() + "/abcd", ID: id}
}

// NewKey makes a key for one grant.
func NewKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails, see crypto/rand
	return key
}

func random() string { return strings.ToLower(rand.Text()[:12]) }

// Sign gives the URL as text.
func (u URL) Sign(key []byte) string {
	q := "sv=" + Version + "&sr=b&si=" + url.QueryEscape(u.ID) + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(u.mac(key)))
	return "https://" + u.Host + u.Path + "?" + q
}

// mac covers everything that the URL says, each part ended so that none can borrow from the next.
func (u URL) mac(key []byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range []string{"b", Version, u.ID, u.Host, u.Path} {
		h.Write([]byte(part + "\n"))
	}
	return h.Sum(nil)
}

// Parse reads what a request was sent to. It proves nothing; Verify does. Other query parameters, such as comp, are
// not part of the signature.
func Parse(host, path string, q url.Values) (URL, error) {
	if h, _, ok := strings.Cut(host, ":"); ok {
		host = h
	}
	for _, name := range []string{"sv", "sr", "si", "sig"} {
		if len(q[name]) != 1 {
			return URL{}, errors.New("sas: parameter " + name + " must be given once")
		}
	}
	sig, err := base64.StdEncoding.DecodeString(q.Get("sig"))
	if err != nil || q.Get("sv") != Version || q.Get("sr") != "b" || len(q.Get("si")) > 128 {
		return URL{}, ErrSignature
	}
	return URL{Host: strings.ToLower(host), Path: path, ID: q.Get("si"), sig: sig}, nil
}

// Verify says in constant time whether the URL was signed with key.
func (u URL) Verify(key []byte) error {
	if len(key) == 0 || !hmac.Equal(u.sig, u.mac(key)) {
		return ErrSignature
	}
	return nil
}
