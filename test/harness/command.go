package harness

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vitrine/internal/client"
)

// Command is our own command line, not started yet, for a test that kills it or feeds it.
func (s *Server) Command(ctx context.Context, home string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, s.bin, append([]string{"--data", s.data}, args...)...)
	c.Env = s.environ(home)
	return c
}

// Through gives a server that is reached by another proxy, such as a relay that a test cuts.
func (s *Server) Through(t *testing.T, proxy string) *Server {
	t.Helper()
	other := *s
	other.data, other.where.Proxy = t.TempDir(), proxy
	raw, err := json.Marshal(other.where)
	if err == nil {
		err = os.WriteFile(filepath.Join(other.data, client.ServerFile), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &other
}
