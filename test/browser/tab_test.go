package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience bounds each wait for a page; on an idle machine none takes a second.
const patience = 90 * time.Second

// tab is the browser's page, with failures that end the test. It asks the page by script, each time anew:
// chromedp's own queries wait on a copy of the page's nodes, and say nothing about what is there instead when they wait in vain.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// until asks again and again until it is so; false: it was not in time.
func until(ctx context.Context, done func() bool) bool {
	late := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return false
		case <-late:
			return false
		case <-tick.C:
		}
	}
	return true
}

// ask runs a script in the page. Between two pages there is none; then, and when the answer went away with its page, it is an error.
func ask[T any](b tab, script string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script))
}

// element is the script for the first element that an XPath finds.
func element(xpath string) string {
	quoted, err := json.Marshal(xpath)
	if err != nil {
		panic(err) // a string
	}
	return fmt.Sprintf("document.evaluate(%s, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue", quoted)
}

// visible is the condition that a person can see what an XPath finds, on a page that has come whole.
func visible(xpath string) string {
	return `document.readyState === "complete" && ` + element(xpath) + `?.checkVisibility() === true`
}

func focused(id string) string {
	return visible(`//*[@id="`+id+`"]`) + fmt.Sprintf(" && document.activeElement.id === %q", id)
}

// await waits until a script is true of the page.
func (b tab) await(condition string) {
	b.t.Helper()
	var last error
	if !until(b.ctx, func() bool {
		yes, err := ask[bool](b, condition)
		last = err
		return err == nil && yes
	}) {
		b.failed(condition, last)
	}
}

// failed ends the test, with what the browser shows instead.
func (b tab) failed(wanted string, err error) {
	b.t.Helper()
	text, _ := ask[string](b, "document.documentElement.innerText") // empty: there is no page
	b.shoot("failed")
	b.t.Fatalf("at %q, waiting for %s: %v\nthe page: %s", b.address(), wanted, err, text)
}

// open types an address into the address bar.
func (b tab) open(address string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		b.failed(address, err)
	}
}

// into gives an element the focus and presses keys.
func (b tab) into(xpath, keys string) {
	b.t.Helper()
	b.await(visible(xpath) + ` && (` + element(xpath) + `.focus(), document.activeElement === ` + element(xpath) + `)`)
	b.keys(keys)
}

func (b tab) keys(keys string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.KeyEvent(keys)); err != nil {
		b.failed("keys", err)
	}
}

// address is what a reader sees in the address bar, also when the page itself cannot be reached; empty between two pages.
func (b tab) address() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	history, err := chromedp.Run(ctx, chromedp.NavigationEntries())
	if err != nil || len(history.Entries) == 0 {
		return ""
	}
	return history.Entries[history.CurrentIndex].URL
}

// arrive waits until the address bar shows an address that begins so.
func (b tab) arrive(prefix string) (address string) {
	b.t.Helper()
	if !until(b.ctx, func() bool { address = b.address(); return strings.HasPrefix(address, prefix) }) {
		b.failed(prefix, nil)
	}
	return address
}

// shoot keeps a picture of the page for whoever reads the test's result.
func (b tab) shoot(name string) {
	b.t.Helper()
	dir := filepath.Join("..", "..", "build", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// text is what the page says.
func (b tab) text() string {
	b.t.Helper()
	text, err := ask[string](b, `document.querySelector("main").innerText`)
	if err != nil {
		b.failed("a text", err)
	}
	return text
}
