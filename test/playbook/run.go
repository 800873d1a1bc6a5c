package playbook

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// limit is for a whole guide on a host with busy neighbours; alone it takes some two minutes.
const limit = 20 * time.Minute

// shell is one bash that is told a block at a time. What it executes comes by a named pipe, so that a command that reads its
// input does not swallow the rest of the guide.
type shell struct {
	s      *Stage
	script *os.File
	ended  chan struct{}
	err    error // once ended
	blocks int
}

// Run executes pages one after the other in one shell, and returns all that was printed.
func (s *Stage) Run(pages ...Page) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	sh := s.shell(ctx)
	defer sh.script.Close()
	var all strings.Builder
	for _, p := range pages {
		if len(p.Blocks) == len(p.Unexecuted()) {
			s.t.Fatalf("%s has no blocks to execute", p.Name)
		}
		for _, b := range p.Blocks {
			all.WriteString(sh.block(b))
		}
	}
	if err := sh.script.Close(); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-sh.ended:
	case <-ctx.Done():
	}
	if sh.err != nil {
		s.t.Fatalf("the shell ended with %v", sh.err)
	}
	return all.String()
}

func (s *Stage) shell(ctx context.Context) *shell {
	s.t.Helper()
	name := s.At("script")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		s.t.Fatal(err)
	}
	script, err := os.OpenFile(name, os.O_RDWR, 0) // to write alone would wait for the reader
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.CommandContext(ctx, "bash", "-eu", name)
	c.Dir, c.Env = s.At("home"), s.env
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	sh := &shell{s: s, script: script, ended: make(chan struct{})}
	go func() { sh.err = c.Wait(); close(sh.ended) }()
	return sh
}

// block executes one block and returns what it printed.
func (sh *shell) block(b Block) string {
	t := sh.s.t
	t.Helper()
	switch {
	case b.Kind == "browser":
		steps := sh.expand(b, b.Text)
		if sh.s.Browser == nil {
			t.Fatalf("%s: this test has no browser", b.At())
		}
		sh.s.Browser(b, steps)
		return ""
	case b.Kind != "sh":
		return ""
	case b.has("port22") && !freeSSH():
		t.Logf("left out: %s, since another listener has port 22 of every loopback address", b.At())
		return ""
	case b.has("fails"):
		b.Text = "if " + strings.TrimSuffix(b.Text, "\n") + "\nthen echo 'this succeeded; the guide says that it fails'; exit 1; fi\n"
	}
	start := time.Now()
	printed := sh.tell(b, b.Text)
	t.Logf("%s: %.1f s\n%s", b.At(), time.Since(start).Seconds(), printed)
	if b.Output != nil {
		want := *b.Output
		if strings.Contains(want, "$") {
			want = sh.expand(b, want)
		}
		if difference := differs(printed, want); difference != "" {
			t.Fatalf("%s: %s", b.At(), difference)
		}
	}
	return printed
}

// expand replaces the shell's variables in a text that is no command.
func (sh *shell) expand(b Block, text string) string {
	sh.s.t.Helper()
	return sh.tell(b, "cat <<END_OF_THE_BLOCK\n"+text+"END_OF_THE_BLOCK\n")
}

// tell hands text to the shell and waits until it is executed.
func (sh *shell) tell(b Block, text string) string {
	sh.s.t.Helper()
	sh.blocks++
	said, done := sh.s.At(fmt.Sprintf("said/%d", sh.blocks)), sh.s.At(fmt.Sprintf("said/%d.done", sh.blocks))
	// The output goes to files: a server that is still running must not keep us waiting for the end of a pipe.
	if _, err := fmt.Fprintf(sh.script, "exec >'%s' 2>&1\n%s: >'%s'\n", said, text, done); err != nil {
		sh.s.t.Fatal(err)
	}
	failed := !sh.await(done)
	raw, err := os.ReadFile(said)
	if err != nil {
		sh.s.t.Fatal(err)
	}
	if failed {
		sh.s.t.Fatalf("%s failed (%v):\n%s\nIt said:\n%s\n%s", b.At(), sh.err, text, raw, sh.s.tail())
	}
	return string(raw)
}

// await waits for a file; false: the shell ended.
func (sh *shell) await(name string) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(name); err == nil {
			return true
		}
		select {
		case <-sh.ended:
			_, err := os.Stat(name)
			return err == nil
		case <-tick.C:
		}
	}
}
