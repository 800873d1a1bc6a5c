// Package pgtest starts PostgreSQL for a test: Debian's binaries, a cluster in a temporary folder, a Unix socket only.
//
// It owns the server's process, which ends with the test, also when the test is killed; it does not speak SQL beyond
// making databases:
//
//	Start(t) ─▶ initdb, postgres ─▶ dsn      Database(t, dsn) ─▶ dsn of a new, empty database on it
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Start runs a PostgreSQL server until t ends and returns the connection string of a database on it. Without the
// binaries t is skipped, or fails if VITRINE_FULL is 1.
func Start(t testing.TB) string {
	t.Helper()
	bin := binaries()
	if bin == "" {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal("PostgreSQL's server programs are missing (Debian: apt-get install postgresql)")
		}
		t.Skip("left out: PostgreSQL, whose server programs are missing (Debian: apt-get install postgresql)")
	}
	dir, err := os.MkdirTemp("", "pg") // not t.TempDir: another user must get in, and a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	who, err := unprivileged(dir)
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root: %v", err)
	}
	data := filepath.Join(dir, "data")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "vitrine", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync")
	init.Dir, init.SysProcAttr = dir, &syscall.SysProcAttr{Credential: who}
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	serve(ctx, t, bin, dir, data, who)
	return "host=" + dir + " user=vitrine dbname=postgres"
}

// Database makes an empty database on the server that dsn reaches, and returns its connection string.
func Database(t testing.TB, dsn string) string {
	t.Helper()
	name := "t" + strconv.FormatInt(time.Now().UnixNano(), 36)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(binaries(), "psql"), "-X", "-d", dsn, "-c", "CREATE DATABASE "+name).CombinedOutput()
	if err != nil {
		t.Fatalf("create database: %v\n%s", err, out)
	}
	return strings.Replace(dsn, "dbname=postgres", "dbname="+name, 1)
}

// binaries finds the newest PostgreSQL where Debian puts it, or where the path leads.
func binaries() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well formed
	slices.Sort(found)
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// unprivileged gives dir to the user that PostgreSQL shall run as; nil is whoever runs the test.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errU, errG, os.Chown(dir, int(uid), int(gid))); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("there is neither a user postgres nor nobody")
}

// serve starts the server, waits until it answers, and stops it when t ends.
func serve(ctx context.Context, t testing.TB, bin, dir, data string, who *syscall.Credential) {
	t.Helper()
	var log bytes.Buffer
	// Nothing is synced: no test cuts the power, and on a busy disk each commit would wait for it.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=60", "-c", "fsync=off", "-c", "full_page_writes=off")
	server.Dir, server.Stdout, server.Stderr = dir, &log, &log
	server.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGQUIT}
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the death signal is sent when the thread that started the server ends
		defer runtime.UnlockOSThread()
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait() // told by the log
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("postgres: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // fast shutdown; fails only if it is over
		<-ended
	})
	if err := answers(ctx, bin, dir, ended); err != nil {
		_ = server.Process.Signal(syscall.SIGQUIT)
		<-ended
		t.Fatalf("postgres: %v\n%s", err, log.String())
	}
}

func answers(ctx context.Context, bin, dir string, ended <-chan struct{}) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", dir).Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return errors.New("ended at once")
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w", ctx.Err())
		}
	}
}
