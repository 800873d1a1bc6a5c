package proc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// holdAndStart is a server's life in short: it holds a lock, starts a process that outlives it, and waits to be killed.
func holdAndStart(path string) {
	if _, err := Hold(path); err != nil {
		os.Exit(1)
	}
	id, err := Start(Detached{Path: "/bin/sleep", Args: []string{"1000"}})
	if err == nil {
		err = WriteState(path+".child", id)
	}
	if err != nil {
		os.Exit(1)
	}
	select {}
}

// The lock of a killed process is free soon, though a process that it started lives on.
func TestHoldAfterKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd := exec.Command(os.Args[0], "hold", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var child Identity
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ReadState(path+".child", &child) != nil {
		if time.Now().After(deadline) {
			t.Fatal("the child was not started")
		}
		<-tick.C
	}
	defer Signal(child, syscall.SIGKILL)
	if _, err := HoldWithin(t.Context(), path, 50*time.Millisecond); !errors.Is(err, ErrHeld) {
		t.Errorf("while the process lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	release, err := HoldWithin(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if !Alive(child) {
		t.Error("the started process is gone too, so this proves nothing")
	}
}

// HoldWithin outwaits a holder.
func TestHoldWithin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	release, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, release)
	again, err := HoldWithin(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
