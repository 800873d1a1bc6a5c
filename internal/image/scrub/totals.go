package scrub

import "time"

// Totals are what the scrubs of this process have done, those that were cut off included. They only grow.
type Totals struct {
	Begun, Ended                                        int
	Manifests, Chunks, Bytes, Mended, Resealed, Damaged int64
	Took                                                time.Duration // of those that ended
}

// Totals tells them.
func (s *Scrubber) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals
}

// add counts what a report has more than the one before.
func (t *Totals) add(now, before Report) {
	t.Manifests += int64(now.Manifests - before.Manifests)
	t.Chunks += int64(now.Chunks - before.Chunks)
	t.Bytes += now.Bytes - before.Bytes
	t.Mended += int64(now.Mended - before.Mended)
	t.Resealed += int64(now.Resealed - before.Resealed)
	t.Damaged += int64(now.Damaged - before.Damaged)
}
