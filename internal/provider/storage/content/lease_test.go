package content

import (
	"errors"
	"testing"
	"time"
)

const (
	leaseA = "aaaaaaaa-0000-4000-8000-000000000001"
	leaseB = "bbbbbbbb-0000-4000-8000-000000000001"
	leaseC = "cccccccc-0000-4000-8000-000000000001"
)

// states are leases of A in each state, at noon.
func states(noon time.Time) map[string]Lease {
	fixed := Lease{ID: leaseA, Duration: time.Minute, Until: noon.Add(30 * time.Second)}
	breaking, broken, expired := fixed, fixed, fixed
	breaking.Breaks, broken.Breaks = noon.Add(20*time.Second), noon
	expired.Until = noon
	return map[string]Lease{"available": {}, "leased": fixed, "breaking": breaking, "broken": broken, "expired": expired}
}

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestLeaseOperations is the service's table of outcomes of lease operations by state (learn.microsoft.com, Lease Blob):
// the state after it, or what it fails with.
func TestLeaseOperations(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const present, absent, other = "LeaseAlreadyPresent", "LeaseNotPresentWithLeaseOperation", "LeaseIdMismatchWithLeaseOperation"
	const broken, breaking = "LeaseIsBrokenAndCannotBeRenewed", "LeaseIsBreakingAndCannotBeChanged"
	order := []string{"available", "leased", "breaking", "broken", "expired"}
	for _, c := range []struct {
		name string
		do   func(*Lease) error
		want [5]string
	}{
		{"acquire", func(l *Lease) error { return l.Acquire(time.Minute, "", noon) }, [5]string{"leased", present, present, "leased", "leased"}},
		{"acquire A", func(l *Lease) error { return l.Acquire(-1, leaseA, noon) }, [5]string{"leased", "leased", present, "leased", "leased"}},
		{"acquire B", func(l *Lease) error { return l.Acquire(time.Minute, leaseB, noon) }, [5]string{"leased", present, present, "leased", "leased"}},
		{"break 0", func(l *Lease) error { _, err := l.Break(0, noon); return err }, [5]string{absent, "broken", "broken", "broken", "broken"}},
		{"break 10", func(l *Lease) error { _, err := l.Break(10*time.Second, noon); return err }, [5]string{absent, "breaking", "breaking", "broken", "broken"}},
		{"break", func(l *Lease) error { _, err := l.Break(-1, noon); return err }, [5]string{absent, "breaking", "breaking", "broken", "broken"}},
		{"change A to B", func(l *Lease) error { return l.Change(leaseA, leaseB, noon) }, [5]string{absent, "leased", breaking, absent, absent}},
		{"change B to A", func(l *Lease) error { return l.Change(leaseB, leaseA, noon) }, [5]string{absent, "leased", breaking, absent, absent}},
		{"change B to C", func(l *Lease) error { return l.Change(leaseB, leaseC, noon) }, [5]string{absent, other, breaking, absent, absent}},
		{"renew A", func(l *Lease) error { return l.Renew(leaseA, noon) }, [5]string{other, "leased", broken, broken, "leased"}},
		{"renew B", func(l *Lease) error { return l.Renew(leaseB, noon) }, [5]string{other, other, other, other, other}},
		{"release A", func(l *Lease) error { return l.Release(leaseA, noon) }, [5]string{other, "available", "available", "available", "available"}},
		{"release B", func(l *Lease) error { return l.Release(leaseB, noon) }, [5]string{other, other, other, other, other}},
		{"release nothing", func(l *Lease) error { return l.Release("", noon) }, [5]string{other, other, other, other, other}},
		{"renew nothing", func(l *Lease) error { return l.Renew("", noon) }, [5]string{other, other, other, other, other}},
		{"a write without it", func(l *Lease) error { l.settle(noon); return nil }, [5]string{"available", "leased", "breaking", "available", "available"}},
	} {
		for i, state := range order {
			l := states(noon)[state]
			got := code(c.do(&l))
			if got == "" {
				got = l.State(noon)
			}
			if got != c.want[i] {
				t.Errorf("%s, %s: %s, want %s", state, c.name, got, c.want[i])
			}
		}
	}
}

// TestLeaseUse is the table of outcomes of use attempts by state.
func TestLeaseUse(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for state, want := range map[string][3]string{ // without a lease, with A, with B
		"available": {"", "LeaseNotPresentWithBlobOperation", "LeaseNotPresentWithBlobOperation"},
		"leased":    {"LeaseIdMissing", "", "LeaseIdMismatchWithBlobOperation"},
		"breaking":  {"LeaseIdMissing", "", "LeaseIdMismatchWithBlobOperation"},
		"broken":    {"", "LeaseLost", "LeaseLost"},
		"expired":   {"", "LeaseLost", "LeaseLost"},
	} {
		l := states(noon)[state]
		for i, id := range []string{"", leaseA, leaseB} {
			if got := code(l.Allows(id, noon, "Blob")); got != want[i] {
				t.Errorf("%s, used with %q: %q, want %q", state, id, got, want[i])
			}
		}
	}
}

func TestLeaseTimes(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, d := range []time.Duration{0, 14 * time.Second, 61 * time.Second} {
		if l := (Lease{}); code(l.Acquire(d, "", noon)) != "InvalidHeaderValue" {
			t.Errorf("a lease of %s was given", d)
		}
	}
	if l := (Lease{}); code(l.Acquire(-1, "no-guid", noon)) != "InvalidHeaderValue" {
		t.Error("a lease was given by a name that is no GUID")
	}
	l := states(noon)["leased"]
	if left, err := l.Break(time.Minute, noon); err != nil || left != 30*time.Second {
		t.Errorf("broken after %s, %v: no longer than the lease has", left, err)
	}
	if left, err := l.Break(5*time.Second, noon); err != nil || left != 5*time.Second {
		t.Errorf("broken again after %s, %v", left, err)
	}
	if left, err := l.Break(50*time.Second, noon); err != nil || left != 5*time.Second {
		t.Errorf("a break was put off to %s, %v", left, err)
	}
	if _, err := l.Break(61*time.Second, noon); code(err) != "InvalidHeaderValue" {
		t.Error("a break period of 61 seconds")
	}
	forever := Lease{ID: leaseA}
	if forever.State(noon.AddDate(9, 0, 0)) != "leased" {
		t.Error("a lease without end ended")
	}
	if left, err := forever.Break(-1, noon); err != nil || left != 0 || forever.State(noon) != "broken" {
		t.Errorf("a lease without end is broken at once: %s, %v", left, err)
	}
}
