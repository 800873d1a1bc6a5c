package content

import (
	"time"

	"github.com/google/uuid"
)

// Lease is the hold of one client on a blob or a container.
type Lease struct {
	ID       string        `json:"id,omitempty"`
	Duration time.Duration `json:"duration,omitempty"` // 0 with an ID: without end
	Until    time.Time     `json:"until,omitzero"`     // of a lease with an end
	Breaks   time.Time     `json:"breaks,omitzero"`    // when a breaking lease is broken
}

// State is the lease's state in the service's words.
func (l *Lease) State(now time.Time) string {
	switch {
	case l.ID == "":
		return "available"
	case !l.Breaks.IsZero() && now.Before(l.Breaks):
		return "breaking"
	case !l.Breaks.IsZero():
		return "broken"
	case !l.Until.IsZero() && !now.Before(l.Until):
		return "expired"
	}
	return "leased"
}

// Locked says whether writes need the lease.
func (l *Lease) Locked(now time.Time) bool {
	s := l.State(now)
	return s == "leased" || s == "breaking"
}

// settle makes a lease that is over available once somebody wrote without it: its holder cannot renew it after that.
func (l *Lease) settle(now time.Time) {
	if !l.Locked(now) {
		*l = Lease{}
	}
}

// Allows says whether a write may go on that came with a lease ID, or with none (the service's table of outcomes).
func (l *Lease) Allows(id string, now time.Time, what string) error {
	switch {
	case l.Locked(now) && id == "":
		return refuse("LeaseIdMissing")
	case l.Locked(now) && id != l.ID:
		return refuse("LeaseIdMismatchWith" + what + "Operation")
	case !l.Locked(now) && id != "":
		if l.State(now) == "available" {
			return refuse("LeaseNotPresentWith" + what + "Operation")
		}
		return refuse("LeaseLost")
	}
	return nil
}

// Acquire takes the lease for d, or without end when d is negative; proposed may be empty.
func (l *Lease) Acquire(d time.Duration, proposed string, now time.Time) error {
	if d >= 0 && (d < 15*time.Second || d > time.Minute) {
		return refuse("InvalidHeaderValue")
	}
	if proposed != "" && uuid.Validate(proposed) != nil {
		return refuse("InvalidHeaderValue")
	}
	if l.Locked(now) && (l.ID != proposed || l.State(now) == "breaking") {
		return refuse("LeaseAlreadyPresent")
	}
	if proposed == "" {
		proposed = uuid.NewString()
	}
	*l = Lease{ID: proposed}
	if d >= 0 {
		l.Duration, l.Until = d, now.Add(d)
	}
	return nil
}

// Renew prolongs it.
func (l *Lease) Renew(id string, now time.Time) error {
	if id != l.ID || l.State(now) == "available" {
		return refuse("LeaseIdMismatchWithLeaseOperation")
	}
	if !l.Breaks.IsZero() {
		return refuse("LeaseIsBrokenAndCannotBeRenewed")
	}
	if l.Duration > 0 {
		l.Until = now.Add(l.Duration)
	}
	return nil
}

// Change gives it another ID.
func (l *Lease) Change(id, proposed string, now time.Time) error {
	switch {
	case uuid.Validate(proposed) != nil:
		return refuse("InvalidHeaderValue")
	case l.State(now) == "breaking":
		return refuse("LeaseIsBreakingAndCannotBeChanged")
	case l.State(now) != "leased":
		return refuse("LeaseNotPresentWithLeaseOperation")
	case id != l.ID && proposed != l.ID:
		return refuse("LeaseIdMismatchWithLeaseOperation")
	}
	l.ID = proposed
	return nil
}

// Release gives it back.
func (l *Lease) Release(id string, now time.Time) error {
	if id != l.ID || l.State(now) == "available" {
		return refuse("LeaseIdMismatchWithLeaseOperation")
	}
	*l = Lease{}
	return nil
}

// Break ends it after a period, at most its remaining time; negative: the remaining time. It gives the time left.
func (l *Lease) Break(period time.Duration, now time.Time) (time.Duration, error) {
	if l.State(now) == "available" {
		return 0, refuse("LeaseNotPresentWithLeaseOperation")
	}
	if period > time.Minute {
		return 0, refuse("InvalidHeaderValue")
	}
	left := time.Duration(0)
	switch {
	case !l.Breaks.IsZero():
		left = max(0, l.Breaks.Sub(now))
	case !l.Until.IsZero():
		left = max(0, l.Until.Sub(now))
	case period > 0: // without end: the period counts
		left = period
	}
	if period >= 0 {
		left = min(left, period)
	}
	l.Breaks = now.Add(left)
	return left, nil
}
