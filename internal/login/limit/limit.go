// Package limit counts failures by key, such as an address, and says how long who failed too often has to wait.
//
// It owns the counts, in one server's memory. It does not know what failed:
//
//	a failure ── Count(key) ──▶ a bucket that empties with time ── Wait(key) ──▶ seconds, 0: go on
package limit

import (
	"net/netip"
	"sync"
	"time"
)

// Limiter counts failures by key: so many at once, and one more after each pause. It lives in one server's memory; a guesser
// who changes servers gains their number as a factor, against secrets of 200 bits and codes of 15 minutes.
type Limiter struct {
	burst int
	pause time.Duration
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]time.Time // when the bucket will be empty of failures
}

const maxBuckets = 100_000

// New allows so many failures at once, and one more after each pause.
func New(burst int, pause time.Duration, now func() time.Time) *Limiter {
	return &Limiter{burst: burst, pause: pause, now: now, buckets: map[string]time.Time{}}
}

// Wait gives the seconds until the key may try again; 0: now.
func (l *Limiter) Wait(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.buckets[key]
	if !known {
		return 0
	}
	over := until.Sub(l.now()) - time.Duration(l.burst-1)*l.pause
	if over <= 0 {
		return 0
	}
	return int(over/time.Second) + 1
}

// Count notes a failure.
func (l *Limiter) Count(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.buckets) >= maxBuckets {
		for k, t := range l.buckets {
			if !t.After(now) {
				delete(l.buckets, k)
			}
		}
		if len(l.buckets) >= maxBuckets {
			clear(l.buckets) // so many sources at once are one attacker; memory matters more than their counts
		}
	}
	until := l.buckets[key]
	if until.Before(now) {
		until = now
	}
	l.buckets[key] = until.Add(l.pause)
}

// Site is what one subscriber holds of addresses: of IPv6 the first 64 bits, since the host chooses the others as it likes, and else the address.
func Site(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}
