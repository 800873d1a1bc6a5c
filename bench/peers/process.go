package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that is measured while it serves.
type process struct {
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan struct{}
	began time.Time
}

// start runs a server; it ends with us, also when we are killed.
func start(argv, env []string, who *syscall.Credential) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in what it said
		close(p.ended)
	}()
	return p, nil
}

// await waits until ready says so, and gives the seconds since the start.
func (p *process) await(ctx context.Context, ready func() bool) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-p.ended:
			return 0, fmt.Errorf("%s ended: %s", p.cmd.Args[0], last(p.said.String(), 2000))
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not get ready: %w", p.cmd.Args[0], ctx.Err())
		}
	}
	return since(p.began), nil
}

// stop ends it, softly at first.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// cpu is what the process and those it began have used so far, in seconds.
func (p *process) cpu() (float64, error) {
	ticks := 0.0
	err := p.each(func(dir string) error {
		raw, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			return err
		}
		f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		for _, i := range [...]int{11, 12, 13, 14} { // utime, stime, and of children that were waited for
			n, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return err
			}
			ticks += n
		}
		return nil
	})
	return ticks / 100, err // USER_HZ, which Linux keeps at 100
}

// memory is the proportional set size of the process and those it began, in bytes.
func (p *process) memory() (float64, error) {
	sum := 0.0
	err := p.each(func(dir string) error {
		raw, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		if err != nil {
			return err
		}
		for _, l := range strings.Split(string(raw), "\n") {
			if f := strings.Fields(l); len(f) > 1 && f[0] == "Pss:" {
				n, err := strconv.ParseFloat(f[1], 64)
				if err != nil {
					return err
				}
				sum += n * 1024
			}
		}
		return nil
	})
	return sum, err
}

// each calls f with the folder in /proc of every process of the group.
func (p *process) each(f func(dir string) error) error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	n := 0
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err != nil || group != p.cmd.Process.Pid {
			continue
		}
		n++
		if err := f(dir); err != nil {
			return err
		}
	}
	if n == 0 {
		return errors.New("the process is gone")
	}
	return nil
}
