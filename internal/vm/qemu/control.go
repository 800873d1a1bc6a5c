package qemu

import (
	"context"
	"errors"
	"time"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// controlVersion is the version of what is said on the control socket: one request and one response per connection.
// A newer server meets older supervisors, so operations are added, never changed.
// Version 2 has backup.
const controlVersion = 2

type request struct {
	Op     string        `json:"op"` // status, wait, poweroff, kill, reset, backup
	Grace  time.Duration `json:"grace,omitempty"`
	Disk   string        `json:"disk,omitempty"`   // of backup: the file that is copied
	Target string        `json:"target,omitempty"` // of backup: an empty qcow2 of the same size
}

type response struct {
	Version int       `json:"version"`
	Status  vm.Status `json:"status"`
	Error   string    `json:"error,omitempty"`
}

// ask puts one request to a supervisor.
func ask(ctx context.Context, socket string, q request) (response, error) {
	var r response
	if err := proc.Ask(ctx, socket, q, &r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New("supervisor: " + r.Error)
	}
	return r, nil
}
