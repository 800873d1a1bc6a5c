package authorization

import (
	"context"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
)

// Lock is the properties of a management lock.
type Lock struct {
	Level   string          `json:"level" arm:"required,enum=CanNotDelete|ReadOnly|NotSpecified"`
	Notes   *string         `json:"notes"`
	Owners  []LockOwner     `json:"owners"`
	Scope   string          `json:"scope" arm:"private"` // key of what is locked
	Unknown armjson.Unknown `json:"-"`
}

// LockOwner names an application that a lock belongs to.
type LockOwner struct {
	ApplicationID string          `json:"applicationId"`
	Unknown       armjson.Unknown `json:"-"`
}

// Terms lets rbac find the lock.
func (l *Lock) Terms() []string { return []string{rbac.LockTerm(l.Scope)} }

func registerLocks(c *control.Control) {
	control.Register(c, control.Spec[Lock]{
		Type: "Microsoft.Authorization/locks", Level: control.Extension, Versions: []arm.Version{"2020-05-01", "2017-04-01", "2016-09-01", "2015-01-01"},
		Name: func(name string) *arm.Error {
			if len(name) <= 260 {
				return nil
			}
			return arm.Errorf(400, "InvalidLockName", "The lock name is longer than 260 characters.")
		},
		Put: func(_ context.Context, w *control.Write[Lock]) error {
			scope := w.ID.Parent()
			if scope.Subscription == "" {
				return arm.Errorf(400, "InvalidLockScope", "A lock can be put on a subscription, a resource group or a resource, not on '%s'.", scope)
			}
			w.New.Properties.Scope = scope.Key()
			return scopeExists(w.Tx, scope)
		},
		Delete: func(context.Context, *control.Write[Lock]) error { return nil },
		Missing: func(id arm.ID) *arm.Error {
			return arm.Errorf(404, "LockNotFound", "The lock '%s' could not be found.", id.Name())
		},
	})
}
