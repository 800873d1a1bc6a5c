package authn_test

import (
	"errors"
	"strings"
	"testing"

	"vitrine/internal/arm"
)

// FuzzHeaders feeds both headers to an authenticator: nothing but the two real tokens may ever make a caller, nothing
// panics, and every refusal is a well-formed 401.
func FuzzHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"Bearer $1", ""}, {"bearer $2", "Bearer $1"}, {"Bearer $2", "Bearer $1;Bearer $1, Bearer $1"}, {"Bearer $2", ";,;Bearer"},
		{"Basic x", "Bearer $1"}, {"Bearer a.b.c", "EncryptedBearer $1"}, {"Bearer $1$2", "Bearer $1\x00"}, {"\"<>\\", "é;\r\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	w := newWorld(f)
	fill := strings.NewReplacer("$1", w.arm(tenant1), "$2", w.arm(tenant2))
	f.Fuzz(func(t *testing.T, primary, auxiliary string) {
		caller, err := w.auth.Authenticate(t.Context(), headers([]string{fill.Replace(primary)}, fill.Replace(auxiliary)))
		if err != nil {
			refused, ok := errors.AsType[*arm.Error](err)
			if !ok {
				t.Fatalf("a fault of ours: %v", err)
			}
			checkRefusal(t, "refused", err, refused.Code, nil)
			return
		}
		if !strings.Contains(primary, "$") {
			t.Fatalf("%q made a caller: %+v", primary, caller)
		}
		if n := len(caller.All()); n > 4 || n > 1 && !strings.Contains(auxiliary, "$") {
			t.Fatalf("%q made %d principals", auxiliary, n)
		}
	})
}
