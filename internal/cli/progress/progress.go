// Package progress tells on a terminal or in a log how far a long act of the command line is.
//
// It owns the bar and the wording of amounts. It does not know what is done:
//
//	client.Import ─▶ Meter.Say, Status, Bytes ─▶ stderr
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Meter tells how far a long act is: a bar that overwrites itself on a terminal, a line now and then
// elsewhere, nothing when quiet.
type Meter struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	open         bool      // a line that the next one overwrites is on the terminal
	last         string    // status told last
	what         string    // the amount that is told
	began, shown time.Time // when it was first, and last, told
}

// New makes a meter that writes to out; a quiet one writes nothing.
func New(out io.Writer, quiet bool) *Meter {
	p := &Meter{out: out, now: time.Now}
	if f, ok := out.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	if quiet {
		p.out, p.terminal = io.Discard, false
	}
	return p
}

// Say prints a line that stays.
func (p *Meter) Say(line string) {
	p.End()
	fmt.Fprintln(p.out, line)
}

// Status shows a state that changes; off a terminal each one is printed once.
func (p *Meter) Status(s string) {
	if s == p.last {
		return
	}
	p.last = s
	p.overwrite(s)
}

func (p *Meter) overwrite(s string) {
	if !p.terminal {
		fmt.Fprintln(p.out, s)
		return
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", s)
	p.open = true
}

// End leaves the line.
func (p *Meter) End() {
	if p.open {
		fmt.Fprintln(p.out)
	}
	p.open = false
}

// often is how often a line appears: a terminal's four times a second, a log's every five seconds.
func (p *Meter) often() time.Duration {
	if p.terminal {
		return time.Second / 4
	}
	return 5 * time.Second
}

// Bytes shows how an amount grows; a total of zero or less is not known.
func (p *Meter) Bytes(what string, done, total int64) {
	now := p.now()
	if p.what != what {
		p.what, p.began, p.shown = what, now, time.Time{}
	}
	if (done < total || total <= 0) && now.Sub(p.shown) < p.often() {
		return
	}
	p.shown = now
	p.overwrite(gauge(what, done, total, now.Sub(p.began)))
}

const gaugeWidth = 24

// gauge draws how much of an amount of bytes is done, how fast, and how long the rest takes at that rate.
func gauge(what string, done, total int64, since time.Duration) string {
	if total <= 0 {
		s := fmt.Sprintf("%s: %s", what, Amount(done))
		if since >= time.Second/10 {
			s += fmt.Sprintf(", %s/s", Amount(int64(float64(done)/since.Seconds())))
		}
		return s
	}
	part := min(float64(done)/float64(total), 1)
	full := int(part * gaugeWidth)
	s := fmt.Sprintf("%s [%s%s] %3.0f %% %s of %s", what, strings.Repeat("=", full), strings.Repeat(" ", gaugeWidth-full), part*100, Amount(done), Amount(total))
	if since < time.Second/10 || done == 0 {
		return s
	}
	rate := float64(done) / since.Seconds()
	s += fmt.Sprintf(", %s/s", Amount(int64(rate)))
	if done < total {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		s += ", " + left.Round(time.Second).String() + " left"
	}
	return s
}

// Amount writes bytes in binary units.
func Amount(n int64) string {
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
