package app_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain ends a process that a server under test started from its own program as a helper (netstack, supervise): run as a test
// binary it would run the tests again, start servers, and these helpers, without end.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintln(os.Stderr, "a test binary is no helper:", os.Args[1])
		os.Exit(2)
	}
	os.Exit(m.Run())
}
