package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command is a process that is measured.
type command struct {
	argv []string
	env  []string // beyond our own
	dir  string
	sync string // what it wrote: the wait for the disk counts, for whoever did not wait itself
}

// run runs it to its end. The CPU time is wait4's: of the process and of all whom it waited for.
func (c command) run(ctx context.Context) (sample, error) {
	p := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	p.Env, p.Dir = append(os.Environ(), c.env...), c.dir
	var said bytes.Buffer
	p.Stdout, p.Stderr = &said, &said
	begin := time.Now()
	err := p.Run()
	if err == nil && c.sync != "" {
		err = syncFS(c.sync)
	}
	wall := since(begin)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.argv, " "), err, last(said.String(), 2000))
	}
	u, ok := p.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return sample{}, errors.New("no rusage on this system")
	}
	return sample{cpu: seconds(u.Utime) + seconds(u.Stime), wall: wall}, nil
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// syncFS waits until the file system that path lies on has everything on its disk.
func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// usage is how much a folder or file takes: the bytes in its files, and the blocks of the file system behind them.
type usage struct{ bytes, blocks int64 }

func usageOf(root string) (u usage, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return err
		}
		u.bytes += st.Size
		u.blocks += st.Blocks * 512
		return nil
	})
	return u, err
}

// chill makes the kernel forget the content of files, so that the next read of them is a cold one.
func chill(root string) error {
	if err := syncFS(root); err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
}

// found says where a program is, or why a row that needs it fails.
func found(name, pkg string) error {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("%s is missing (package %s)", name, pkg)
	}
	return nil
}
