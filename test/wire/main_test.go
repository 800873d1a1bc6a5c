package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain ends a process that something started from this test binary as a helper: it must never become a server again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintln(os.Stderr, "a test binary is no helper:", os.Args[1])
		os.Exit(2)
	}
	os.Exit(m.Run())
}
