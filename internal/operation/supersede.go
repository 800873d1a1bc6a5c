package operation

import (
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// Idle refuses to work on a resource while an operation on it is under way; one that the next will supersede is no hindrance, but a
// deletion always is.
func Idle(tx store.Tx, id arm.ID, superseded bool) error {
	open, err := Open(tx, id.Key())
	if err != nil || len(open) == 0 {
		return err
	}
	for _, o := range open {
		if strings.HasSuffix(o.Action, "/delete") {
			return arm.Errorf(409, "Conflict", "The update is not allowed, since the resource '%s' is marked for deletion. Please retry after the deletion has ended.", id)
		}
	}
	if superseded {
		return nil
	}
	return arm.Errorf(409, "Conflict", "Another operation is in progress on the resource '%s'. Please retry after it has ended.", id)
}

// Supersede ends what is under way on a resource besides the operation by, which has begun in the same transaction and does what is
// left of it, and gives what it ended. A worker that has one in hand finds that out at its next record; Finish is not called. If by
// is empty, there is nothing that could take the place of what is under way: that is refused. name is what clients are told that
// both are (the words are Azure's, as users quote them: Canceled, with the cause in the details).
func Supersede(tx store.Tx, id arm.ID, by, name string, now time.Time) (ended []*Operation, err error) {
	open, err := Open(tx, id.Key())
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		if o.ID == by {
			continue
		}
		if by == "" {
			return nil, Idle(tx, id, false)
		}
		_, d, err := load(tx, o.ID)
		if err != nil {
			return nil, err
		}
		o.Status, o.End, o.Cancel = Canceled, now, true
		o.Error = arm.Errorf(409, "Canceled", "Operation was canceled.")
		o.Error.Details = []*arm.Error{arm.Errorf(409, "CanceledAndSupersededDueToAnotherOperation",
			"Operation %s (%s) was canceled and superseded by operation %s (%s).", name, o.ID, name, by)}
		if err := save(tx, o, d.ETag, time.Time{}); err != nil {
			return nil, err
		}
		ended = append(ended, o)
	}
	return ended, nil
}
