package sandbox

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/proc"
)

// sh runs a script inside; it skips where the host gives no namespaces, unless everything must be there.
func sh(t *testing.T, s proc.Spec, l Limits, script string) (string, error) {
	t.Helper()
	s.Path, s.Args = "sh", []string{"-c", script}
	r, err := Run(t.Context(), s, l)
	if errors.Is(err, ErrUnavailable) && os.Getenv("VITRINE_FULL") != "1" {
		t.Skipf("left out: %v", err)
	}
	return string(r.Stdout) + string(r.Stderr), err
}

func ordinary() Limits { return Limits{Memory: 1 << 30, Time: 30 * time.Second} }

func TestNothingInReach(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("do not read me"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("SECRET_OF_OURS", "x")
	for name, test := range map[string]struct{ script, want string }{
		"root folder":  {`echo /*`, "/bin /dev /etc /lib"},
		"etc":          {`echo /etc/* /etc/.[a-z]*`, "/etc/ld.so.cache"},
		"our file":     {`cat ` + secret + ` 2>&1; true`, "No such file"},
		"passwd":       {`cat /etc/passwd 2>&1; true`, "No such file"},
		"write usr":    {`touch /usr/x 2>&1; true`, "Read-only file system"},
		"write root":   {`touch /x 2>&1; true`, "Read-only file system"},
		"processes":    {`echo $$`, "1\n"},
		"capabilities": {`mount -t tmpfs none /usr 2>&1; true`, "ermission denied"},
		"chroot":       {`chroot /usr /bin/true 2>&1; true`, "not permitted"},
		"environment":  {`env`, "LC_ALL=C"},
		"hostname":     {`hostname changed 2>&1; true`, "you must be root"},
	} {
		out, err := sh(t, proc.Spec{}, ordinary(), test.script)
		if err != nil || !strings.Contains(out, test.want) || strings.Contains(out, "do not read me") || strings.Contains(out, "SECRET_OF_OURS") {
			t.Errorf("%s: %q, %v; want %q", name, out, err, test.want)
		}
	}
	if out, err := sh(t, proc.Spec{}, ordinary(), `echo /*`); err != nil || strings.Contains(out, "/home") || strings.Contains(out, "/proc") || strings.Contains(out, "/root") {
		t.Errorf("in sight: %q, %v", out, err)
	}
	// Perl is essential on Debian and can ask for a connection; outside it gets one.
	connect := `perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); connect(S,sockaddr_in(` + port(l) + `,inet_aton("127.0.0.1"))) and print "connected" or print "refused: $!"'`
	if r, err := proc.Run(t.Context(), proc.Spec{Path: "sh", Args: []string{"-c", connect}}); err != nil || string(r.Stdout) != "connected" {
		t.Fatalf("outside: %q, %v", r.Stdout, err)
	}
	if out, err := sh(t, proc.Spec{}, ordinary(), connect); err != nil || !strings.Contains(out, "refused: ") {
		t.Errorf("network: %q, %v", out, err)
	}
}

func port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

// Run as root the tool is nobody: a file of root's, handed over open for reading, cannot be opened again for writing.
func TestUnprivileged(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := sh(t, proc.Spec{Files: []*os.File{f}}, ordinary(), `echo x >&3; id -u; cat /proc/self/status 2>&1`)
	if !strings.Contains(out, "No such file") {
		t.Errorf("said %q, %v", out, err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("a file was written: %v, %v", st.Size(), err)
	}
}

func TestLimits(t *testing.T) {
	start := time.Now()
	_, err := sh(t, proc.Spec{}, Limits{Memory: 1 << 30, Time: time.Second}, `while :; do :; done`)
	if err == nil || time.Since(start) > time.Minute {
		t.Errorf("a loop ended with %v after %v", err, time.Since(start))
	}
	_, err = sh(t, proc.Spec{}, Limits{Memory: 1 << 30, Time: time.Second}, `sleep 60`)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a sleeper ended with %v", err)
	}
	out, err := sh(t, proc.Spec{}, Limits{Memory: 64 << 20, Time: 30 * time.Second}, `perl -e '$x = "y" x (256 << 20); print "got it"'`)
	if err == nil || strings.Contains(out, "got it") {
		t.Errorf("memory: %q, %v", out, err)
	}
}
