package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestGauge(t *testing.T) {
	for _, test := range []struct {
		done, total int64
		since       time.Duration
		want        string
	}{
		{0, 100, 0, "Uploading [                        ]   0 % 0 B of 100 B"},
		{1 << 20, 4 << 20, time.Second, "Uploading [======                  ]  25 % 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 3s left"},
		{4 << 20, 4 << 20, 2 * time.Second, "Uploading [========================] 100 % 4.0 MiB of 4.0 MiB, 2.0 MiB/s"},
		{0, 0, 0, "Uploading: 0 B"},
		{1 << 20, -1, time.Second, "Uploading: 1.0 MiB, 1.0 MiB/s"},
	} {
		if got := gauge("Uploading", test.done, test.total, test.since); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func TestAmount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 29: "1.5 GiB", 1 << 50: "1024.0 TiB"} {
		if got := Amount(n); got != want {
			t.Errorf("Amount(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := New(&out, false)
	p.now = func() time.Time { return now }
	for i := range int64(12) {
		p.Bytes("Uploading", i, 11)
		now = now.Add(time.Second)
	}
	p.Status("Replicating: x 0 %")
	p.Status("Replicating: x 0 %")
	p.Say("Done.")
	// Off a terminal: at 0, 5, 10 seconds, and at the end; a status once.
	if got := strings.Count(out.String(), "Uploading"); got != 4 {
		t.Errorf("%d lines of progress:\n%s", got, &out)
	}
	if got := strings.Count(out.String(), "Replicating"); got != 1 || strings.Contains(out.String(), "\r") || !strings.HasSuffix(out.String(), "\nDone.\n") {
		t.Errorf("got:\n%q", out.String())
	}

	out.Reset()
	p = New(&out, false)
	p.terminal = true
	p.Status("half")
	p.Say("Done.")
	if out.String() != "\r\x1b[Khalf\nDone.\n" {
		t.Errorf("on a terminal: %q", out.String())
	}

	out.Reset()
	p = New(&out, true)
	p.Say("Done.")
	p.Bytes("x", 1, 1)
	if out.Len() != 0 {
		t.Errorf("quiet says %q", out.String())
	}
}
