package digest

import (
	"errors"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	d := Of([]byte("abc"))
	const want = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if d.String() != want {
		t.Fatalf("String() = %s, want %s", d, want)
	}
	back, err := Parse(want)
	if err != nil || back != d {
		t.Fatalf("Parse = %v, %v", back, err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := Of(nil).String()
	for _, s := range []string{
		"", "sha256:", good[:len(good)-1], good + "0", strings.ToUpper(good), "sha256:" + strings.Repeat("A", 64),
		"sha256:" + strings.Repeat("g", 64), "md5:" + good[7:], " " + good, good + "\n",
	} {
		if d, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", s, d)
		}
	}
}

func TestVerify(t *testing.T) {
	d := Of([]byte("abc"))
	if err := d.Verify([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	var m *Mismatch
	if err := d.Verify([]byte("abd")); !errors.As(err, &m) || m.Want != d {
		t.Fatalf("Verify of other bytes = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Of(nil).String())
	f.Add("sha256:zz")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := Parse(s); err == nil && d.String() != s {
			t.Errorf("Parse(%q) has another spelling: %s", s, d)
		}
	})
}
