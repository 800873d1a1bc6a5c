package qemu

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"vitrine/internal/vm"
)

// CopyDisk implements vm.Runtime by a backup job of QEMU's. The machine is not held for it: what takes minutes must not keep a
// power-off waiting, which ends the job.
func (r *Runtime) CopyDisk(ctx context.Context, id, path, target string) (err error) {
	s, err := r.Status(ctx, id)
	if err != nil {
		return err
	}
	if s.State != vm.Running {
		return fmt.Errorf("machine %s: %w", id, vm.ErrNotRunning)
	}
	have, err := readQCOW2(path)
	if err != nil {
		return fmt.Errorf("disk %s: %w", path, err)
	}
	if err := r.CreateDisk(ctx, vm.NewDisk{Path: target, Size: have.size}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(target))
		}
	}()
	rep, err := ask(ctx, r.control(id), request{Op: "backup", Disk: path, Target: target})
	if err == nil {
		return nil
	}
	if rep.Version == 1 {
		return fmt.Errorf("machine %s: %w", id, vm.ErrTooOld)
	}
	if s, errStatus := r.Status(ctx, id); errStatus == nil && s.State != vm.Running {
		return fmt.Errorf("machine %s: %w: %w", id, vm.ErrNotRunning, err)
	}
	return fmt.Errorf("machine %s: copy of disk %s: %w", id, path, err)
}

// jobs tells those who wait for jobs of QEMU how they ended.
type jobs struct {
	mu      sync.Mutex
	waiting map[string]chan error
	problem map[string]error // of jobs that have failed and are not gone yet
}

// expect prepares to wait for a job.
func (j *jobs) expect(id string) <-chan error {
	ch := make(chan error, 1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.waiting == nil {
		j.waiting, j.problem = map[string]chan error{}, map[string]error{}
	}
	j.waiting[id] = ch
	return ch
}

func (j *jobs) forget(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.waiting, id)
	delete(j.problem, id)
}

// hear takes an event. A job has let go of its disks when its status is null, which is after it was completed.
func (j *jobs) hear(e event) {
	var d struct{ Device, ID, Status, Error string }
	if json.Unmarshal(e.Data, &d) != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case e.Name == "BLOCK_JOB_COMPLETED" && d.Error != "" && j.waiting[d.Device] != nil:
		j.problem[d.Device] = errors.New("qemu: " + d.Error)
	case e.Name == "BLOCK_JOB_CANCELLED" && j.waiting[d.Device] != nil:
		j.problem[d.Device] = errors.New("qemu: the copy was cancelled")
	case e.Name == "JOB_STATUS_CHANGE" && d.Status == "null":
		if ch := j.waiting[d.ID]; ch != nil {
			ch <- j.problem[d.ID]
			delete(j.waiting, d.ID)
			delete(j.problem, d.ID)
		}
	}
}

// backup copies what a disk holds as of now beside the running guest: QEMU saves each cluster before the guest overwrites it.
// Only the disk's own file is copied, not its base.
func (s *supervisor) backup(ctx context.Context, disk, target string) (err error) {
	i := slices.IndexFunc(s.launch.Machine.Disks, func(d vm.Disk) bool { return d.Path == disk && d.Format == vm.QCOW2 })
	if i < 0 {
		return fmt.Errorf("the machine has no disk %q", disk)
	}
	node := "copy-" + rand.Text()
	if err := s.qmp.execute(ctx, "blockdev-add", map[string]any{"driver": "qcow2", "node-name": node,
		"file": map[string]any{"driver": "file", "filename": target}}); err != nil {
		return err
	}
	defer func() { // closing writes the target's tables: without it the copy is not whole
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, s.qmp.execute(late, "blockdev-del", map[string]any{"node-name": node}))
	}()
	ended := s.jobs.expect(node)
	defer s.jobs.forget(node)
	if err := s.qmp.execute(ctx, "blockdev-backup", map[string]any{"job-id": node, "device": fmt.Sprint("disk", i), "target": node, "sync": "top"}); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-s.child.Done():
		return errMonitorClosed
	case <-ctx.Done():
	}
	return s.cancel(ctx, node, ended)
}

// cancel ends a job whose caller has gone, and waits for its end: its target cannot be closed before.
func (s *supervisor) cancel(ctx context.Context, job string, ended <-chan error) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	cause := context.Cause(ctx)
	if err := s.qmp.execute(late, "block-job-cancel", map[string]any{"device": job, "force": true}); err != nil {
		return errors.Join(cause, err)
	}
	select {
	case err := <-ended:
		return errors.Join(cause, err)
	case <-s.child.Done():
	case <-late.Done():
	}
	return cause
}
