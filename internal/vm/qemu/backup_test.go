package qemu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	overlayfile "vitrine/internal/image/qcow2"
	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// writeCode writes the boot sector itself over the disk's second sector by the BIOS, and goes on with next.
func writeCode(next []byte) []byte {
	return append([]byte{0x31, 0xc0, 0x8e, 0xc0, // xor ax, ax; mov es, ax
		0xb8, 0x01, 0x03, 0xbb, 0x00, 0x7c, // mov ax, 0x0301 (write one sector); mov bx, 0x7c00
		0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xcd, 0x13}, next...) // mov cx, 2; mov dx, 0x80; int 0x13
}

func awaitSerial(t *testing.T, r *Runtime, id, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if log, err := r.SerialLog(ctx, id); err == nil && strings.Contains(string(log), text) {
			tick.Stop()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the guest did not say %q", text)
		case <-tick.C:
		}
	}
}

// TestCopyDisk: what a guest has written is in the copy while the guest runs, and what it has from the base is not.
func TestCopyDisk(t *testing.T) {
	needQEMU(t)
	dir := t.TempDir()
	base, overlay, target := filepath.Join(dir, "base.raw"), filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "copy.qcow2")
	boot := bootSector(writeCode(helloCode("written\n")))
	if err := os.WriteFile(base, append(boot, make([]byte, 4<<20-len(boot))...), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir)
	if err := r.CreateDisk(t.Context(), vm.NewDisk{Path: overlay, Size: 4 << 20, Base: base, BaseFormat: vm.Raw}); err != nil {
		t.Fatal(err)
	}
	if err := r.GrowDisk(t.Context(), overlay, 8<<20); err != nil {
		t.Fatal(err)
	}
	m := tiny(t, "")
	m.Disks = []vm.Disk{{Path: overlay, Format: vm.QCOW2, Serial: "os"}}
	if err := r.CopyDisk(t.Context(), m.ID, overlay, target); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("copy of an unknown machine's disk: %v", err)
	}
	if err := r.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Remove(t.Context(), m.ID); err != nil {
			t.Error(err)
		}
	}()
	awaitSerial(t, r, m.ID, "written")
	if err := r.GrowDisk(t.Context(), overlay, 16<<20); err == nil {
		t.Error("the disk of a running machine was grown below it")
	}
	if err := r.CopyDisk(t.Context(), m.ID, filepath.Join(dir, "other.qcow2"), target); err == nil {
		t.Error("a file that is not the machine's was copied")
	}
	for range 2 { // a second copy meets no trace of the first
		if err := r.CopyDisk(t.Context(), m.ID, overlay, target); err != nil {
			t.Fatal(err)
		}
		checkCopy(t, target, boot)
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := r.Status(t.Context(), m.ID); err != nil || s.State != vm.Running {
		t.Errorf("after the copy: %+v, %v", s, err)
	}
	if err := r.PowerOff(t.Context(), m.ID, vm.PowerOff{Hard: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.CopyDisk(t.Context(), m.ID, overlay, target); !errors.Is(err, vm.ErrNotRunning) {
		t.Errorf("copy of a stopped machine's disk: %v", err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a copy that failed left its file")
	}
}

func checkCopy(t *testing.T, path string, boot []byte) {
	t.Helper()
	o, err := overlayfile.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got := make([]byte, 512)
	if _, err := o.ReadAt(got, 512); err != nil || !bytes.Equal(got, boot[:512]) || o.Size() != 8<<20 {
		t.Errorf("the copy lacks what the guest wrote: %v, %d bytes", err, o.Size())
	}
	if next, err := o.NextData(1 << 20); err == nil {
		t.Errorf("the copy has data at %d that the guest did not write", next.Start)
	}
}

// TestBackupEnds: a copy that fails says why, and one whose caller has gone is cancelled; both close their target.
func TestBackupEnds(t *testing.T) {
	const done = `{"return": {}, "id": %[1]d}`
	event := func(name, data string) string { return `{"event": "` + name + `", "data": ` + data + `}` + "\n" }
	null := event("JOB_STATUS_CHANGE", `{"id": "%[2]s", "status": "null"}`)
	for name, row := range map[string]struct {
		backup, cancel string // what QEMU says
		leave          bool   // the caller goes once the copy has begun
		want           string
	}{
		"whole":     {backup: done + "\n" + event("BLOCK_JOB_COMPLETED", `{"device": "%[2]s"}`) + null},
		"failed":    {backup: done + "\n" + event("BLOCK_JOB_COMPLETED", `{"device": "%[2]s", "error": "No space left"}`) + null, want: "No space left"},
		"refused":   {backup: `{"error": {"class": "GenericError", "desc": "busy"}, "id": %[1]d}`, want: "busy"},
		"cancelled": {backup: done + "\n" + event("RESUME", "{}"), leave: true, cancel: done + "\n" + event("BLOCK_JOB_CANCELLED", `{"device": "%[2]s"}`) + null, want: "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			q := &jobQEMU{t: t, answers: map[string]string{"blockdev-add": done, "blockdev-backup": row.backup, "block-job-cancel": row.cancel, "blockdev-del": done}}
			if row.leave {
				q.began = leave
			}
			child, err := proc.StartBound(proc.Bound{Path: "/bin/sleep", Args: []string{"60"}, Dir: t.TempDir(), Stdout: io.Discard, Stderr: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = proc.Signal(child.Identity, syscall.SIGKILL); <-child.Done() }()
			s := &supervisor{child: child, launch: Launch{Machine: vm.Machine{Disks: []vm.Disk{{Path: "/d", Format: vm.QCOW2}}}}}
			if s.qmp, err = dialMonitor(t.Context(), q.listen()); err != nil {
				t.Fatal(err)
			}
			defer s.qmp.close()
			go s.follow()
			err = s.backup(ctx, "/d", "/target")
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if !q.closed.Load() {
				t.Error("the target was not closed")
			}
			if len(s.jobs.waiting)+len(s.jobs.problem) != 0 {
				t.Errorf("left: %v", &s.jobs)
			}
		})
	}
}

// jobQEMU is a monitor whose answers know the name of the node that was added.
type jobQEMU struct {
	t       *testing.T
	answers map[string]string // %[1]d is the command's id, %[2]s the node
	began   func()            // called after the copy has begun
	closed  atomic.Bool
}

func (q *jobQEMU) listen() string {
	path := filepath.Join(q.t.TempDir(), "qmp")
	ln, err := net.Listen("unix", path)
	if err != nil {
		q.t.Fatal(err)
	}
	q.t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
		node := ""
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			var c struct {
				Execute   string
				ID        int
				Arguments struct {
					Node string `json:"node-name"`
				}
			}
			if json.Unmarshal(lines.Bytes(), &c) != nil {
				return
			}
			answer := q.answers[c.Execute]
			switch c.Execute {
			case "qmp_capabilities":
				answer = `{"return": {}, "id": %[1]d}`
			case "blockdev-add":
				node = c.Arguments.Node
			case "blockdev-del":
				q.closed.Store(c.Arguments.Node == node)
			}
			fmt.Fprintln(conn, strings.NewReplacer("%[1]d", fmt.Sprint(c.ID), "%[2]s", node).Replace(strings.TrimSpace(answer)))
			if c.Execute == "blockdev-backup" && q.began != nil {
				q.began()
			}
		}
	}()
	return path
}

// TestOldSupervisor: one of protocol 1 runs its machine on, but cannot copy; nothing is left of the try.
func TestOldSupervisor(t *testing.T) {
	needQEMU(t)
	dir := t.TempDir()
	r, m := open(t, dir), tiny(t, "")
	disk, target := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "copy.qcow2")
	if err := r.CreateDisk(t.Context(), vm.NewDisk{Path: disk, Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.prepare(m); err != nil {
		t.Fatal(err)
	}
	ln, err := proc.Listen(r.control(m.ID))
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	calls.Go(func() {
		proc.Serve(ln, &calls, func(c *proc.Call) {
			answer := response{Version: 1, Status: vm.Status{ID: m.ID, State: vm.Running}}
			if strings.Contains(string(c.Request), `"backup"`) {
				answer.Error = `this supervisor (protocol 1) does not know "backup"`
			}
			_ = c.Reply(answer)
		})
	})
	defer func() { ln.Close(); calls.Wait() }()
	if err := r.CopyDisk(t.Context(), m.ID, disk, target); !errors.Is(err, vm.ErrTooOld) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the target is left")
	}
}
