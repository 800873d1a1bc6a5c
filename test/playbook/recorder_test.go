package playbook

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// recorder keeps a failure in place of failing.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(string, ...any) {}

// Fatal ends the goroutine, as the real one does.
func (r *recorder) Fatal(args ...any) { r.failure = fmt.Sprint(args...); runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }
