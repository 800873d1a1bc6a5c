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
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ctx, cancel = remote.NewAllocator(ctx, r.door(ctx, b))
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	tab := r.attach(ctx, b)
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

// attach finds the tab that shows what the guide's command asked for. In the moment in which a tab's first page takes the place of the
// empty one there is nothing to attach to, on a loaded machine often; chromedp fails then, would close the tab, and is asked again.
func (r *reader) attach(ctx context.Context, b playbook.Block) (found tab) {
	r.t.Helper()
	var last error
	if !until(ctx, func() bool {
		targets, err := chromedp.Targets(ctx)
		if err != nil {
			r.t.Fatalf("%s: %v", b.At(), err)
		}
		for _, target := range targets {
			if target.Type == "page" && strings.HasPrefix(target.URL, "https://") {
				attached, detach := chromedp.NewContext(ctx, chromedp.WithTargetID(target.TargetID), chromedp.WithDetachOnCancel())
				if last = chromedp.Do(attached); last == nil {
					r.t.Cleanup(detach)
					found = tab{r.t, attached}
					return true
				}
				detach()
			}
		}
		return false
	}) {
		r.t.Fatalf("%s: the browser shows no page: %v", b.At(), last)
	}
	return found
}

func (r *reader) await(ctx context.Context, failure string, done func() bool) {
	r.t.Helper()
	if !until(ctx, done) {
		r.t.Fatal(failure)
	}
}

func (r *reader) step(b tab, step string) {
	verb, what, _ := strings.Cut(step, ":")
	what = strings.TrimSpace(what)
	switch verb {
	case "see":
		b.await(visible(`//main[contains(normalize-space(), ` + quoted(what) + `)]`))
		r.picture(b, what)
	case "read":
		if text := strings.Join(strings.Fields(b.text()), " "); !strings.Contains(text, what) {
			r.t.Fatalf("the page lacks %q: %s", what, text)
		}
	case "open":
		b.open(what)
	case "type":
		label, value, _ := strings.Cut(what, " = ")
		b.into(`//input[@id=//label[normalize-space()=`+quoted(label)+`]/@for]`, value)
	case "press":
		b.into(`//button[normalize-space()=`+quoted(what)+`]`, kb.Enter)
	case "arrive":
		b.arrive(what)
	case "close":
		o, _ := r.opened()
		err := os.Remove(r.stage.At("window")) // the next one is another browser
		if err = errors.Join(err, syscall.Kill(o.pid, syscall.SIGTERM)); err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience) // the tab's own ends with the browser
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

// quoted is a text in XPath, which has no escapes; no guide needs both quotes.
func quoted(text string) string {
	if strings.Contains(text, `"`) {
		return "'" + text + "'"
	}
	return `"` + text + `"`
}
