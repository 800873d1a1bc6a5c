// Package s3test starts a real S3 server for a test: versitygw over a temporary folder, on a loopback port.
//
// It owns the server's process, which ends with the test, also when the test is killed. scripts/versitygw compiles the program:
//
//	Start(t) ──▶ versitygw ──▶ Server ── Config("bucket") ──▶ s3blob.Dial
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/blob/s3blob"
	"vitrine/internal/proc"
)

// Access and Secret are the server's only pair of credentials.
const (
	Access = "vitrine-test"
	Secret = "not-a-secret-of-anybody"
)

// Server is a running S3 server.
type Server struct {
	Address     string // 127.x.y.z:PORT
	Root        string // each bucket is a folder in it, each object a file
	Credentials string // a file with the pair

	program, dir string
	child        *proc.Child // nil: it does not run
}

// Start runs a server until t ends, with these buckets. Without the program t is skipped, or fails if VITRINE_FULL is 1.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	program := find()
	if program == "" {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal("versitygw is not built: run scripts/versitygw")
		}
		t.Skip("left out: a real S3 server, because versitygw is not built (scripts/versitygw)")
	}
	dir := t.TempDir()
	s := &Server{Root: filepath.Join(dir, "objects"), Credentials: filepath.Join(dir, "credentials")}
	for _, b := range append(buckets, "") {
		if err := os.MkdirAll(filepath.Join(s.Root, b), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "[default]\naws_access_key_id = " + Access + "\naws_secret_access_key = " + Secret + "\n"
	side := filepath.Join(dir, "side") // not in extended attributes: not every temporary folder has them
	if err := errors.Join(os.WriteFile(s.Credentials, []byte(text), 0o600), os.Mkdir(side, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.Address = free(t)
	s.program, s.dir = program, dir
	t.Cleanup(func() { s.Stop(t) })
	s.Run(t)
	return s
}

// Run starts the server again after Stop, with the same objects at the same address.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	var log bytes.Buffer
	var err error
	s.child, err = proc.StartBound(proc.Bound{Path: s.program, Dir: s.dir, Stdout: &log, Stderr: &log,
		Env:  []string{"ROOT_ACCESS_KEY=" + Access, "ROOT_SECRET_KEY=" + Secret, "HOME=" + s.dir, "PATH=" + os.Getenv("PATH")},
		Args: []string{"--quiet", "--port", s.Address, "posix", "--sidecar", filepath.Join(s.dir, "side"), s.Root}})
	if err != nil {
		t.Fatal(err)
	}
	if err := answers(s.Address, s.child.Done()); err != nil {
		s.Stop(t)
		t.Fatalf("versitygw: %v\n%s", err, log.String())
	}
}

// Stop ends the server; its objects stay.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.child == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := proc.End(ctx, s.child.Identity, 5*time.Second); err != nil {
		t.Error(err)
	}
	<-s.child.Done()
	s.child = nil
}

// Config reaches a bucket of the server.
func (s *Server) Config(bucket string) s3blob.Config {
	return s3blob.Config{Endpoint: s.Address, Bucket: bucket, Region: s3blob.DefaultRegion, Plain: true, Credentials: s.Credentials}
}

// URL is the same as an address.
func (s *Server) URL(bucket, prefix string) string {
	return "s3://" + bucket + "/" + prefix + "?endpoint=http://" + s.Address + "&credentials=" + s.Credentials
}

// find looks where scripts/test says, and then where scripts/versitygw keeps it.
func find() string {
	if path := os.Getenv("VITRINE_VERSITYGW"); path != "" {
		return path
	}
	cache := os.Getenv("VITRINE_CACHE")
	if cache == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		cache = filepath.Join(home, "vitrine")
	}
	found, err := filepath.Glob(filepath.Join(cache, "versitygw-*", "versitygw"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// free finds a port of a loopback address that nobody else has. Connections that others make begin at 127.0.0.1, and would take a port of that
// one before the server has it, or while it is stopped.
func free(t testing.TB) string {
	t.Helper()
	var r [3]byte
	_, _ = rand.Read(r[:])
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+r[0]%62, r[1], 1+r[2]%250))
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func answers(address string, ended <-chan struct{}) error {
	tick, late := time.NewTicker(50*time.Millisecond), time.After(3*time.Minute)
	defer tick.Stop()
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ended:
			return errors.New("ended at once")
		case <-late:
			return errors.New("does not answer: " + err.Error())
		}
	}
}
