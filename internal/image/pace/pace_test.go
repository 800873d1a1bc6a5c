package pace

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, start := New(1<<20), time.Now()
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 25 {
					if err := l.Wait(t.Context(), 100<<10); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		const bytes = 100 * 100 << 10
		want := time.Duration(bytes) * time.Second / (1 << 20)
		if took := time.Since(start); took < want-2*burst || took > want+burst {
			t.Errorf("%d bytes took %v, want about %v", bytes, took, want)
		}
	})
}

func TestNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, l := range []*Limiter{nil, New(0), New(-1)} {
			if err := l.Wait(t.Context(), 1<<40); err != nil || time.Since(start) > 0 {
				t.Error(err, time.Since(start))
			}
		}
	})
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(1).Wait(ctx, 1<<20); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := New(0).Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
