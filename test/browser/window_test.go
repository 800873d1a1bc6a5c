package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/chromedp/chromedp/remote"

	"vitrine/test/playbook"
)

// wrapper is the chromium of a guide: the real one without a window, with a door for us. Its profile is the one that the guide's
// command names, and says where the door is.
const wrapper = `#!/bin/sh
for word; do case $word in --user-data-dir=*) profile=${word#*=} ;; esac; done
rm -f "$profile/DevToolsActivePort"
echo "$$ $profile" >"%[2]s.new" && mv "%[2]s.new" "%[2]s"
exec "%[1]s" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --window-size=900,800 --remote-debugging-port=0 "$@"
`

// reader is who follows a guide's browser fences in the window that the guide's commands opened.
type reader struct {
	t     *testing.T
	stage *playbook.Stage
	name  string // of the guide, for the pictures
	shots int
}

// window puts a chromium on the stage's PATH and lets browser fences be done in it. The steps, one a line:
//
//	see: TEXT             waits until the page shows it, and keeps a picture
//	read: TEXT            must be on the page that is seen
//	type: LABEL = VALUE   into the field with this label
//	press: TEXT           the button, by the keyboard
//	arrive: ADDRESS       waits until the address bar shows an address that begins so
//	open: ADDRESS         types it into the address bar
//	close                 the window
func window(t *testing.T, s *playbook.Stage, chromium, name string) {
	r := &reader{t: t, stage: s, name: name}
	s.Program("chromium", fmt.Sprintf(wrapper, chromium, s.At("window")))
	s.Browser = r.follow
}

// opened is the browser that the guide's last command started.
type opened struct {
	pid     int
	profile string
}

func (r *reader) opened() (o opened, ok bool) {
	raw, err := os.ReadFile(r.stage.At("window"))
	if err != nil {
		return o, false
	}
	_, err = fmt.Sscanf(string(raw), "%d %s", &o.pid, &o.profile)
	return o, err == nil
}

func (r *reader) follow(b playbook.Block, steps string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ctx, cancel = remote.NewAllocator(ctx, r.door(ctx, b))
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx, r.page(ctx, b))
	defer cancel()
	tab := tab{r.t, ctx}
	for i, step := range strings.Split(strings.TrimSpace(steps), "\n") {
		r.t.Logf("%s:%d: %s", b.Page, b.Line+i, strings.Split(step, " = ")[0])
		r.step(tab, step)
	}
}

// door waits until the browser says where it can be told what to do.
func (r *reader) door(ctx context.Context, b playbook.Block) (address string) {
	r.t.Helper()
	r.await(ctx, b.At()+": no browser was opened", func() bool {
		o, ok := r.opened()
		if !ok {
			return false
		}
		port, err := os.ReadFile(filepath.Join(o.profile, "DevToolsActivePort"))
		lines := strings.Split(string(port), "\n")
		if err != nil || len(lines) != 2 {
			return false
		}
		address = "ws://127.0.0.1:" + lines[0] + strings.TrimSpace(lines[1])
		return true
	})
	return address
}

// page finds the tab that shows what the guide's command asked for.
func (r *reader) page(ctx context.Context, b playbook.Block) (option chromedp.ContextOption) {
	r.t.Helper()
	r.await(ctx, b.At()+": the browser shows no page", func() bool {
		targets, err := chromedp.Targets(ctx)
		if err != nil {
			r.t.Fatalf("%s: %v", b.At(), err)
		}
		for _, target := range targets {
			if target.Type == "page" && strings.HasPrefix(target.URL, "https://") {
				option = chromedp.WithTargetID(target.TargetID)
				return true
			}
		}
		return false
	})
	return option
}

func (r *reader) await(ctx context.Context, failure string, done func() bool) {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			r.t.Fatal(failure)
		case <-tick.C:
		}
	}
}

func (r *reader) step(b tab, step string) {
	verb, what, _ := strings.Cut(step, ":")
	what = strings.TrimSpace(what)
	switch verb {
	case "see":
		b.do(chromedp.WaitVisible(chromedp.Search(`//main[contains(normalize-space(), ` + quoted(what) + `)]`)))
		r.picture(b, what)
	case "read":
		if text := strings.Join(strings.Fields(b.text()), " "); !strings.Contains(text, what) {
			r.t.Fatalf("the page lacks %q: %s", what, text)
		}
	case "open":
		b.do(chromedp.Navigate(what))
	case "type":
		label, value, _ := strings.Cut(what, " = ")
		b.do(chromedp.SendKeys(chromedp.Search(`//input[@id=//label[normalize-space()=`+quoted(label)+`]/@for]`), value))
	case "press":
		button := chromedp.Search(`//button[normalize-space()=` + quoted(what) + `]`)
		b.do(chromedp.WaitVisible(button), chromedp.Focus(button), chromedp.KeyEvent(kb.Enter))
	case "arrive":
		r.await(b.ctx, "the browser does not arrive at "+what, func() bool { return strings.HasPrefix(b.addressBar(), what) })
	case "close":
		o, _ := r.opened()
		err := os.Remove(r.stage.At("window")) // the next one is another browser
		if err = errors.Join(err, syscall.Kill(o.pid, syscall.SIGTERM)); err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // the tab's own ends with the browser
		defer cancel()
		r.await(ctx, "the browser does not end", func() bool { return errors.Is(syscall.Kill(o.pid, 0), syscall.ESRCH) })
	default:
		b.t.Fatalf("%q is nothing that a reader of a guide does in a browser", step)
	}
}

func (r *reader) picture(b tab, of string) {
	r.t.Helper()
	r.shots++
	b.shoot(fmt.Sprintf("%s-%d-%s", r.name, r.shots, strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(of), "-"), "-")))
}

// addressBar is what a reader sees there, also when the page itself cannot be reached.
func (b tab) addressBar() string {
	history, err := chromedp.Run(b.ctx, chromedp.NavigationEntries())
	if err != nil || len(history.Entries) == 0 {
		return "" // between two pages
	}
	return history.Entries[history.CurrentIndex].URL
}

// quoted is a text in XPath, which has no escapes; no guide needs both quotes.
func quoted(text string) string {
	if strings.Contains(text, `"`) {
		return "'" + text + "'"
	}
	return `"` + text + `"`
}
