package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/client"
	"vitrine/internal/proc"
)

// cleanUp ends what the walk started, the machine first, and removes the private folder.
func (d *demo) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	fmt.Fprintln(d.say, "\n# Cleaning up: the machine, its network, the server, the folder.")
	if proc.Alive(d.id) && d.two.TenantID != "" {
		if err := d.deleteGroup(ctx); err != nil {
			fmt.Fprintf(d.say, "# the resource group could not be deleted (%v); its processes are ended instead\n", err)
		}
	}
	var failures []error
	if d.id.PID != 0 {
		failures = append(failures, proc.End(ctx, d.id, 15*time.Second))
	}
	failures = append(failures, endProcesses(ctx, d.dir))
	if target, err := os.Readlink(filepath.Join(d.dataDir(), "run")); err == nil {
		failures = append(failures, os.RemoveAll(target)) // the folder of sockets lies elsewhere when the path is long
	}
	return errors.Join(append(failures, os.RemoveAll(d.dir))...)
}

// endDemo ends a walk that was kept.
func (e *env) endDemo(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var k kept
	if err := proc.ReadState(filepath.Join(dir, keptFile), &k); err != nil {
		return fmt.Errorf("%s holds no demo that was kept: %w", dir, err)
	}
	d := &demo{env: e, say: e.out, dir: dir, id: k.Server, two: k.Two}
	if err := proc.ReadState(d.at(readyFile), &d.server); err != nil {
		return err
	}
	return d.cleanUp(ctx)
}

func (d *demo) deleteGroup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a, err := d.second()
	if err != nil {
		return err
	}
	err = a.Do(ctx, http.MethodDelete, d.group(), client.VersionGroups, nil, nil)
	if client.Missing(err) {
		return nil
	}
	return err
}

// endProcesses ends the processes whose command line names a path in dir: supervisors and networks outlive the server
// that started them. dir is a temporary folder of ours, so nobody else's process names it.
func endProcesses(ctx context.Context, dir string) error {
	var failures []error
	for _, id := range processesOf(dir) {
		failures = append(failures, proc.End(ctx, id, 5*time.Second))
	}
	if left := processesOf(dir); len(left) > 0 {
		failures = append(failures, fmt.Errorf("%d processes of %s are still there", len(left), dir))
	}
	return errors.Join(failures...)
}

func processesOf(dir string) []proc.Identity {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	var found []proc.Identity
	for _, path := range lines {
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil || pid == os.Getpid() {
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(raw, []byte(dir+"/")) {
			continue
		}
		if id, err := proc.Identify(pid); err == nil {
			found = append(found, id)
		}
	}
	return found
}
