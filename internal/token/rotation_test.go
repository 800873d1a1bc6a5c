package token_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/token"
)

func kids(t *testing.T, s *token.Service) []string {
	t.Helper()
	set, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() || k.Use != "sig" {
			t.Errorf("published key: %+v", k)
		}
		ids = append(ids, k.KeyID)
	}
	return ids
}

func kidOf(t *testing.T, raw string) string {
	t.Helper()
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return signed.Signatures[0].Header.KeyID
}

// The whole life of two keys, as the package comment draws it.
func TestRotationOverlaps(t *testing.T) {
	server, c, _ := newInstallation(t)
	s := server()
	first := kids(t, s)
	tend := func() {
		t.Helper()
		if err := s.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tend()
	if got := kids(t, s); !slices.Equal(got, first) || len(got) != 1 {
		t.Fatalf("a day-old key was replaced: %v, %v", first, got)
	}
	c.add(29 * 24 * time.Hour) // a day before its end the successor is published
	tend()
	both := kids(t, s)
	if len(both) != 2 || both[0] != first[0] {
		t.Fatalf("published before the change: %v", both)
	}
	tend()
	if got := kids(t, s); !slices.Equal(got, both) {
		t.Fatalf("tended twice: %v, want %v", got, both)
	}
	c.add(24*time.Hour - time.Second)
	long := request(tenantA)
	long.Lifetime = token.MaxLifetime
	old, _ := mustIssue(t, s, long)
	if kidOf(t, old) != both[0] {
		t.Error("the successor signs before its time")
	}
	c.add(time.Second)
	young, _ := mustIssue(t, s, long)
	if kidOf(t, young) != both[1] {
		t.Error("the old key signs after its time")
	}
	c.add(token.MaxLifetime - 2*time.Second) // the old key's last token is about to expire
	tend()
	if got := kids(t, s); !slices.Equal(got, both) {
		t.Errorf("the old key was dropped too early: %v", got)
	}
	for name, raw := range map[string]string{"old": old, "young": young} {
		if _, err := s.Verify(t.Context(), raw); err != nil {
			t.Errorf("%s token: %v", name, err)
		}
	}
	c.add(2 * time.Minute)
	tend()
	if got := kids(t, s); !slices.Equal(got, both[1:]) {
		t.Errorf("the old key stays: %v", got)
	}
	if _, err := s.Verify(t.Context(), old); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("old token after its key was dropped: %v", err)
	}
}

// An installation that was off for months signs at once and has a successor a day later.
func TestTendAfterALongPause(t *testing.T) {
	server, c, _ := newInstallation(t)
	first := kids(t, server())
	c.add(400 * 24 * time.Hour)
	s := server()
	raw, _ := mustIssue(t, s, request(tenantA))
	if err := s.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
	if got := kids(t, s); len(got) != 2 || got[0] != first[0] {
		t.Errorf("keys: %v, first was %v", got, first)
	}
}

// A second server notices a key that the first one made, without waiting for its copy to grow old, and forged key IDs
// do not make it read the store each time.
func TestUnknownKeyIsLookedUpAgain(t *testing.T) {
	server, c, _ := newInstallation(t)
	one, two := server(), server()
	before := kids(t, two)
	if err := one.Rotate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	raw, _ := mustIssue(t, one, request(tenantA))
	if slices.Contains(before, kidOf(t, raw)) {
		t.Fatal("the new key does not sign")
	}
	if _, err := two.Verify(t.Context(), raw); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("within the pause between two reads: %v", err)
	}
	c.add(2 * time.Second)
	if _, err := two.Verify(t.Context(), raw); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

// Many servers of a new installation agree on one first key.
func TestFirstKeyIsMadeOnce(t *testing.T) {
	server, _, _ := newInstallation(t)
	tokens := make([]string, 4)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			raw, _, err := server().Issue(t.Context(), request(tenantA))
			if err != nil {
				t.Error(err)
			}
			tokens[i] = raw
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	judge := server()
	for _, raw := range tokens {
		if _, err := judge.Verify(t.Context(), raw); err != nil {
			t.Error(err)
		}
	}
	if got := kids(t, judge); len(got) != 1 {
		t.Errorf("keys: %v", got)
	}
}

func TestKeySetHoldsNoSecret(t *testing.T) {
	server, _, _ := newInstallation(t)
	set, err := server().Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Keys []map[string]any }
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Keys) != 1 {
		t.Fatal(err, string(body))
	}
	for name := range doc.Keys[0] {
		if !strings.Contains(" kty use kid alg n e ", " "+name+" ") {
			t.Errorf("member %q is published", name)
		}
	}
}
