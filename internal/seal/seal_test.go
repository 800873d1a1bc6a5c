package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vitrine/internal/seal"
)

const resource = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm"

func newSealer(t testing.TB, fill byte) *seal.Sealer {
	t.Helper()
	s, err := seal.New(bytes.Repeat([]byte{fill}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSeal(t testing.TB, s *seal.Sealer, plain, resource string) string {
	t.Helper()
	sealed, err := s.Seal([]byte(plain), resource)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestRoundTrip(t *testing.T) {
	s := newSealer(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(rt, "plain")
		res := rapid.StringN(1, 80, -1).Draw(rt, "resource")
		sealed, err := s.Seal(plain, res)
		if err != nil {
			rt.Fatal(err)
		}
		if len(plain) > 8 && strings.Contains(sealed, string(plain)) {
			rt.Fatal("the sealed value shows the plain one")
		}
		text, err := json.Marshal(sealed)
		if err != nil || string(text) != `"`+sealed+`"` {
			rt.Fatalf("not plain in JSON: %s", text)
		}
		got, err := s.Open(sealed, res)
		if err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("Open = %q, %v; want %q", got, err, plain)
		}
	})
}

func TestForm(t *testing.T) {
	s := newSealer(t, 1)
	a, b := mustSeal(t, s, "secret", resource), mustSeal(t, s, "secret", resource)
	if a == b {
		t.Error("the same value sealed twice looks the same")
	}
	if want := "v1." + s.KeyID() + "."; !strings.HasPrefix(a, want) {
		t.Errorf("%q does not begin with %q", a, want)
	}
	if s.KeyID() != newSealer(t, 1).KeyID() || s.KeyID() == newSealer(t, 2).KeyID() {
		t.Error("the key id must follow the key")
	}
	if _, err := s.Seal([]byte("x"), ""); err == nil {
		t.Error("sealed for no resource")
	}
}

// A value of a released version must open in all later ones.
func TestOldValue(t *testing.T) {
	const old = "v1.7d4343afc2502270.PewwhgMUgbbRB64DETtxgMHuCnWOFjxoFDoNHpX3JjZDt5T1X-XMbqGS-S-tzB9F4lJNvUbIzIH1gFEGYm5kRA"
	got, err := newSealer(t, 7).Open(old, resource)
	if err != nil || string(got) != "kept since the first release" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func TestResourceCase(t *testing.T) {
	s := newSealer(t, 1)
	sealed := mustSeal(t, s, "secret", resource)
	if _, err := s.Open(sealed, strings.ToLower(resource)); err != nil {
		t.Errorf("ARM compares resource IDs without case, and this does not: %v", err)
	}
	kelvin := mustSeal(t, s, "x", "/k")
	if _, err := s.Open(kelvin, "/\u212a"); !errors.Is(err, seal.ErrResource) {
		t.Errorf("a look-alike of the resource opens: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	s := newSealer(t, 1)
	sealed := mustSeal(t, s, "secret", resource)
	prefix := "v1." + s.KeyID() + "."
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(sealed, prefix))
	if err != nil {
		t.Fatal(err)
	}
	again := func(change func(b []byte) []byte) string {
		return prefix + base64.RawURLEncoding.EncodeToString(change(bytes.Clone(raw)))
	}
	tests := []struct {
		name, sealed, resource string
		want                   error
	}{
		{"other key", mustSeal(t, newSealer(t, 2), "secret", resource), resource, seal.ErrKey},
		{"other resource", sealed, resource + "2", seal.ErrResource},
		{"no resource", sealed, "", seal.ErrResource},
		{"nonce changed", again(func(b []byte) []byte { b[8] ^= 1; return b }), resource, seal.ErrTampered},
		{"ciphertext changed", again(func(b []byte) []byte { b[20] ^= 1; return b }), resource, seal.ErrTampered},
		{"tag changed", again(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), resource, seal.ErrTampered},
		{"cut by a byte", again(func(b []byte) []byte { return b[:len(b)-1] }), resource, seal.ErrTampered},
		{"byte added", again(func(b []byte) []byte { return append(b, 0) }), resource, seal.ErrTampered},
		{"cut below its smallest", again(func(b []byte) []byte { return b[:30] }), resource, seal.ErrMalformed},
		{"other key's body under our id", prefix + strings.Split(mustSeal(t, newSealer(t, 2), "secret", resource), ".")[2], resource, seal.ErrResource},
		{"empty", "", resource, seal.ErrMalformed},
		{"clear text", "secret", resource, seal.ErrMalformed},
		{"later version", "v2" + sealed[2:], resource, seal.ErrMalformed},
		{"line break", sealed + "\n", resource, seal.ErrMalformed},
		{"padding", sealed + "==", resource, seal.ErrMalformed},
		{"fourth part", sealed + ".x", resource, seal.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Open(tt.sealed, tt.resource)
			if !errors.Is(err, tt.want) || got != nil {
				t.Fatalf("Open = %q, %v; want error %q", got, err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	s := newSealer(f, 1)
	f.Add(mustSeal(f, s, "secret", resource))
	f.Add("v1..")
	f.Add("v1." + s.KeyID() + ".")
	f.Fuzz(func(t *testing.T, sealed string) {
		if plain, err := s.Open(sealed, "another"); err == nil {
			t.Fatalf("%q opened as %q", sealed, plain)
		}
	})
}
