// Package pace keeps work on bytes below a rate, so that what nobody waits for leaves the disk and the line to the rest.
//
// It owns one number and the time when more may be moved; it moves nothing itself:
//
//	scrub, replication, filling of bases ── Wait(n bytes) ──▶ after the right delay
//	who tries again ── Sleep(d) ──▶ after it, or at the context's end
package pace

import (
	"context"
	"sync"
	"time"
)

// Limiter admits so many bytes a second, shared by all who ask it. Nil admits everything at once.
type Limiter struct {
	rate int64
	mu   sync.Mutex
	next time.Time // when the bytes admitted so far are paid for
}

// burst is how far admission may run ahead of the rate.
const burst = 100 * time.Millisecond

// New makes one of rate bytes a second; 0 or less: no limit.
func New(rate int64) *Limiter {
	if rate <= 0 {
		return nil
	}
	return &Limiter{rate: rate}
}

// Wait returns when n more bytes may be moved, or with the context's error.
func (l *Limiter) Wait(ctx context.Context, n int64) error {
	if l == nil || n <= 0 {
		return ctx.Err()
	}
	l.mu.Lock()
	now := time.Now()
	l.next = later(l.next, now.Add(-burst)).Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	delay := l.next.Sub(now)
	l.mu.Unlock()
	if delay <= 0 {
		return ctx.Err()
	}
	return Sleep(ctx, delay)
}

// Sleep returns after d, or with the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
