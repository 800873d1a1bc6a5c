package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress tells on stderr how far a long act is: a bar that overwrites itself on a terminal, a line now and then
// elsewhere, nothing when quiet.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	open         bool      // a line that the next one overwrites is on the terminal
	last         string    // status told last
	began, shown time.Time // of an amount: when it was first, and last, told
}

func newProgress(out io.Writer, quiet bool) *progress {
	p := &progress{out: out, now: time.Now}
	if f, ok := out.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	if quiet {
		p.out, p.terminal = io.Discard, false
	}
	return p
}

// Say prints a line that stays.
func (p *progress) Say(line string) {
	p.end()
	fmt.Fprintln(p.out, line)
}

// Status shows a state that changes; off a terminal each one is printed once.
func (p *progress) Status(s string) {
	if s == p.last {
		return
	}
	p.last = s
	p.overwrite(s)
}

func (p *progress) overwrite(s string) {
	if !p.terminal {
		fmt.Fprintln(p.out, s)
		return
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", s)
	p.open = true
}

// end leaves the line.
func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.out)
	}
	p.open = false
}

// often is how often a line appears: a terminal's four times a second, a log's every five seconds.
func (p *progress) often() time.Duration {
	if p.terminal {
		return time.Second / 4
	}
	return 5 * time.Second
}

// Bytes shows how an amount grows.
func (p *progress) Bytes(what string, done, total int64) {
	now := p.now()
	if p.began.IsZero() {
		p.began = now
	}
	if done < total && now.Sub(p.shown) < p.often() {
		return
	}
	p.shown = now
	p.overwrite(gauge(what, done, total, now.Sub(p.began)))
}

const gaugeWidth = 24

// gauge draws how much of an amount of bytes is done, how fast, and how long the rest takes at that rate.
func gauge(what string, done, total int64, since time.Duration) string {
	part := 1.0
	if total > 0 {
		part = min(float64(done)/float64(total), 1)
	}
	full := int(part * gaugeWidth)
	s := fmt.Sprintf("%s [%s%s] %3.0f %% %s of %s", what, strings.Repeat("=", full), strings.Repeat(" ", gaugeWidth-full), part*100, amount(done), amount(total))
	if since < time.Second/10 || done == 0 {
		return s
	}
	rate := float64(done) / since.Seconds()
	s += fmt.Sprintf(", %s/s", amount(int64(rate)))
	if done < total {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		s += ", " + left.Round(time.Second).String() + " left"
	}
	return s
}

// amount writes bytes in binary units.
func amount(n int64) string {
	value, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
