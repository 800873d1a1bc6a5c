package sdk

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// openBy makes the programs by which libraries open a person's browser write the address to a file, from which the given browser
// takes it. It gives how often that happened.
func (w *world) openBy(t *testing.T, b *browser) func() int64 {
	t.Helper()
	dir := t.TempDir()
	address := filepath.Join(dir, "address")
	script := "#!/bin/sh\nprintf %s \"$1\" >'" + address + ".new' && mv '" + address + ".new' '" + address + "'\n"
	opener := filepath.Join(dir, "xdg-open")
	if err := os.WriteFile(opener, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("BROWSER", opener)
	var n atomic.Int64
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			text, err := os.ReadFile(address)
			if err != nil {
				continue
			}
			n.Add(1)
			if err := os.Remove(address); err != nil {
				t.Error(err)
			}
			if err := b.follow(string(text)); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return n.Load
}
