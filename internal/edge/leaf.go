package edge

import (
	"container/list"
	"crypto/tls"
	"fmt"
	"sync"
	"time"
)

// maxLeaves bounds the cache: anyone may ask for any name below a door's suffix.
const maxLeaves = 1024

// leaves makes certificates for hosts and keeps the most recently used in memory; none is ever written to disk.
type leaves struct {
	now func() time.Time

	mu    sync.Mutex
	ca    *CA
	byUse *list.List // of *tls.Certificate, most recent first
	byDNS map[string]*list.Element
}

func newLeaves(ca *CA, now func() time.Time) *leaves {
	l := &leaves{now: now}
	l.reset(ca)
	return l
}

// reset forgets all leaves and makes new ones with ca from now on.
func (l *leaves) reset(ca *CA) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ca, l.byUse, l.byDNS = ca, list.New(), map[string]*list.Element{}
}

func (l *leaves) authority() *CA {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ca
}

// get returns a certificate for a canonical host name; it is renewed when less than a third of its life is left.
func (l *leaves) get(host string) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if el := l.byDNS[host]; el != nil {
		cert := el.Value.(*tls.Certificate)
		if now.Add(leafRenew).Before(cert.Leaf.NotAfter) {
			l.byUse.MoveToFront(el)
			return cert, nil
		}
		l.drop(el)
	}
	leaf, key, err := l.ca.leaf(host, now)
	if err != nil {
		return nil, fmt.Errorf("certificate for %s: %w", host, err)
	}
	cert := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	l.byDNS[host] = l.byUse.PushFront(cert)
	if l.byUse.Len() > maxLeaves {
		l.drop(l.byUse.Back())
	}
	return cert, nil
}

func (l *leaves) drop(el *list.Element) {
	l.byUse.Remove(el)
	delete(l.byDNS, el.Value.(*tls.Certificate).Leaf.DNSNames[0])
}
