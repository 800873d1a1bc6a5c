package grant

import (
	"sync"
	"time"
)

// limiter counts failures by key: so many at once, and one more after each pause. It lives in one server's memory; a guesser
// who changes servers gains their number as a factor, against secrets of 200 bits and codes of 15 minutes.
type limiter struct {
	burst int
	pause time.Duration
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]time.Time // when the bucket will be empty of failures
}

const maxBuckets = 100_000

func newLimiter(burst int, pause time.Duration, now func() time.Time) *limiter {
	return &limiter{burst: burst, pause: pause, now: now, buckets: map[string]time.Time{}}
}

// wait gives the seconds until the key may try again; 0: now.
func (l *limiter) wait(key string) int {
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

// count notes a failure.
func (l *limiter) count(key string) {
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
