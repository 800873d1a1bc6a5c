package imagestore

import (
	"fmt"
	"testing"
)

func TestParseQuota(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"0": "0", "1000": "1000", "1KiB": "1024", "2 MiB": "2097152", "500GiB": "536870912000", "8191TiB": "9006099743113216", "none": "none",
		"": "error", "-1": "error", "1.5GiB": "error", "10GB": "error", "GiB": "error", "9000000TiB": "error", "9223372036854775808": "error", "None": "error", "default": "error"} {
		n, err := ParseQuota(text)
		got := "none"
		if n != nil {
			got = fmt.Sprint(*n)
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, want %s (%v)", text, got, want, err)
		}
	}
}
