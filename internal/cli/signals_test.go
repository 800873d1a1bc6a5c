package cli

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestHelperDeaf is no test: it is a process that does not look at its context.
func TestHelperDeaf(t *testing.T) {
	if os.Getenv("VITRINE_DEAF") == "" {
		t.Skip("only as a process of TestSecondSignal")
	}
	ctx, stop := Signals()
	defer stop()
	_, _ = os.Stdout.WriteString("ready\n")
	<-ctx.Done()
	_, _ = os.Stdout.WriteString("first\n")
	<-time.After(time.Minute)
}

// The first signal asks, the second one kills.
func TestSecondSignal(t *testing.T) {
	deaf := exec.Command(os.Args[0], "-test.run=^TestHelperDeaf$")
	deaf.Env = append(os.Environ(), "VITRINE_DEAF=1")
	out, err := deaf.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := deaf.Start(); err != nil {
		t.Fatal(err)
	}
	defer deaf.Process.Kill()
	lines := bufio.NewScanner(out)
	await := func(want string) {
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("it ended before it said %s", want)
	}
	await("ready")
	signal := func() {
		if err := deaf.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	signal()
	await("first")
	ended := make(chan error, 1)
	go func() { ended <- deaf.Wait() }()
	again, limit := time.NewTicker(50*time.Millisecond), time.After(50*time.Second)
	defer again.Stop()
	for {
		signal()
		select {
		case <-ended:
			if status, ok := deaf.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
				t.Errorf("it ended by itself: %v", deaf.ProcessState)
			}
			return
		case <-again.C:
		case <-limit:
			t.Fatal("a second signal does not end it")
		}
	}
}
