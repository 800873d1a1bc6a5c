package qemu

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
	"vitrine/internal/vm/vmtest"
)

// TestMain lets this binary be the supervisor that tests start.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "supervise" {
		if err := Supervise(context.Background(), os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// needQEMU skips a test where QEMU is not installed; the full suite fails there.
func needQEMU(t *testing.T) {
	t.Helper()
	if _, _, err := Binaries(); err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			t.Fatal(err)
		}
		t.Skip("left out, nothing boots: ", err)
	}
}

func open(t *testing.T, data string) *Runtime {
	t.Helper()
	r, err := Open(t.Context(), Config{Data: data, Self: []string{proc.Self(), "supervise"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tiny is a machine of one sector: it writes a line to its serial port and sleeps.
func tiny(t *testing.T, text string) vm.Machine {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "boot, sector.raw")
	if err := os.WriteFile(disk, bootSector(helloCode(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	return vm.Machine{ID: uuid.NewString(), Name: "tiny, with=comma", CPUs: 1, MemoryMiB: 64,
		Disks: []vm.Disk{{Path: disk, Format: vm.Raw, Serial: "os"}},
		NICs:  []vm.NIC{{ID: uuid.NewString(), MAC: "52:54:00:12:34:56"}}}
}

// helloCode: for each byte: mov al, c; mov dx, 0x3f8; out dx, al; then hlt for ever.
func helloCode(text string) []byte {
	code := []byte{0xba, 0xf8, 0x03}
	for _, c := range []byte(text) {
		code = append(code, 0xb0, c, 0xee)
	}
	return append(code, 0xf4, 0xeb, 0xfd)
}

func supervisorOf(t *testing.T, r *Runtime, id string) record {
	t.Helper()
	rec, err := readRecord(r.dir(id))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestContract(t *testing.T) {
	needQEMU(t)
	vmtest.Run(t, func(t *testing.T) vmtest.Subject {
		data := t.TempDir()
		r := open(t, data)
		return vmtest.Subject{
			Runtime: r,
			Machine: func(t *testing.T) vm.Machine { return tiny(t, "hello\n") },
			Reopen:  func(t *testing.T) vm.Runtime { return open(t, data) },
			Crash: func(t *testing.T, id string) {
				if err := proc.Signal(supervisorOf(t, r, id).QEMU, syscall.SIGSEGV); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// TestLongPaths: a data folder deeper than a Unix socket's path may be.
func TestLongPaths(t *testing.T) {
	needQEMU(t)
	data := filepath.Join(t.TempDir(), strings.Repeat("long-name/", 15), "data")
	r := open(t, data)
	t.Cleanup(func() { _ = os.RemoveAll(r.sockets) })
	m := tiny(t, "x")
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if s, err := open(t, data).Status(t.Context(), m.ID); err != nil || s.State != vm.Running {
		t.Errorf("%+v, %v", s, err)
	}
	if err := r.Remove(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(r.sockets); len(left) != 0 {
		t.Errorf("sockets left: %v", left)
	}
}

// TestSecretsOfTheServer: QEMU, which a guest may take over, has none of the server's environment.
func TestSecretsOfTheServer(t *testing.T) {
	needQEMU(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of-the-object-store")
	r := open(t, t.TempDir())
	m := tiny(t, "x")
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Remove(context.WithoutCancel(t.Context()), m.ID); err != nil {
			t.Error(err)
		}
	})
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", supervisorOf(t, r, m.ID).QEMU.PID))
	if err != nil || len(raw) == 0 || strings.Contains(string(raw), "of-the-object-store") {
		t.Errorf("%q, %v", raw, err)
	}
}

// TestSupervisorKilled: QEMU must not outlive its supervisor, and the machine can be started again.
func TestSupervisorKilled(t *testing.T) {
	needQEMU(t)
	r := open(t, t.TempDir())
	m := tiny(t, "x")
	t.Cleanup(func() { _ = r.Remove(context.WithoutCancel(t.Context()), m.ID) })
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	first := supervisorOf(t, r, m.ID)
	if err := proc.Signal(first.Supervisor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := r.Wait(ctx, m.ID)
	if err != nil || s.State != vm.Crashed {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := proc.Wait(ctx, first.QEMU); err != nil {
		t.Fatalf("QEMU is orphaned: %v", err)
	}
	if err := r.Start(ctx, m); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Status(ctx, m.ID); err != nil || s.State != vm.Running {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestSerialLog(t *testing.T) {
	needQEMU(t)
	r := open(t, t.TempDir())
	m := tiny(t, "hello from the guest\n")
	t.Cleanup(func() { _ = r.Remove(context.WithoutCancel(t.Context()), m.ID) })
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(3 * time.Minute)
	for tick := time.Tick(20 * time.Millisecond); ; <-tick {
		b, err := r.SerialLog(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("hello from the guest\n")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the guest's line did not come; log %q", b)
		}
	}
}

// TestLastWords: what QEMU says before it refuses reaches the caller of Start, and no process stays.
func TestLastWords(t *testing.T) {
	needQEMU(t)
	r := open(t, t.TempDir())
	m := tiny(t, "x")
	m.Disks[0].Format = vm.QCOW2
	err := r.Start(t.Context(), m)
	if err == nil || !strings.Contains(err.Error(), "qcow2") {
		t.Fatalf("%v", err)
	}
	s, err := r.Status(t.Context(), m.ID)
	if err != nil || s.State != vm.Crashed || !strings.Contains(s.LastWords, "qcow2") {
		t.Errorf("%+v, %v", s, err)
	}
	if proc.Held(lockFile(r.dir(m.ID))) {
		t.Error("a supervisor lives on")
	}
}

// TestStubborn: a guest that ignores the power button is stopped after the time of grace.
func TestStubborn(t *testing.T) {
	needQEMU(t)
	r := open(t, t.TempDir())
	m := tiny(t, "x")
	t.Cleanup(func() { _ = r.Remove(context.WithoutCancel(t.Context()), m.ID) })
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := r.PowerOff(t.Context(), m.ID, vm.PowerOff{Grace: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	s, err := r.Status(t.Context(), m.ID)
	if err != nil || s.State != vm.Stopped || !strings.Contains(s.Reason, "did not answer") || time.Since(began) < 300*time.Millisecond {
		t.Errorf("after %s: %+v, %v", time.Since(began), s, err)
	}
}

func TestProbe(t *testing.T) {
	needQEMU(t)
	if err := Probe(t.Context(), t.TempDir(), "tcg", time.Minute); err != nil {
		t.Error(err)
	}
	began := time.Now()
	accel, why := ProbeAccel(t.Context(), t.TempDir())
	if accel != "kvm" && accel != "tcg" || why == "" || time.Since(began) > probeLimit+time.Minute {
		t.Errorf("%q, %q after %s", accel, why, time.Since(began))
	}
	t.Logf("%s: %s (%s)", accel, why, time.Since(began))
	if err := Probe(t.Context(), t.TempDir(), "tcg", time.Millisecond); err == nil {
		t.Error("a probe without time succeeded")
	}
}
