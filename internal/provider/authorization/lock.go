package authorization

import (
	"context"
	"strings"
	"unicode/utf8"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
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

// staying refuses a lock on what is being deleted: it would be taken along, and whoever put it would believe that it holds.
func staying(tx store.Tx, scope arm.ID) error {
	open, err := operation.Open(tx, scope.Key())
	for _, o := range open {
		if strings.HasSuffix(o.Action, "/delete") {
			return arm.Errorf(409, "Conflict", "The scope '%s' is being deleted and cannot be locked any more.", scope)
		}
	}
	return err
}

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
			if n := w.New.Properties.Notes; n != nil && utf8.RuneCountInString(*n) > 512 { // Azure's reference of locks: "Maximum of 512 characters."
				return arm.Errorf(400, "InvalidParameter", "The value of parameter notes is invalid: the notes of a lock have at most 512 characters.").At("notes")
			}
			w.New.Properties.Scope = scope.Key()
			if err := scopeExists(w.Tx, scope); err != nil {
				return err
			}
			return staying(w.Tx, scope)
		},
		Delete: func(context.Context, *control.Write[Lock]) error { return nil },
		List:   listLocks,
		Facts: func(r *control.Resource[Lock]) map[string]string {
			return map[string]string{"level": r.Properties.Level}
		},
		Missing: func(id arm.ID) *arm.Error {
			return arm.Errorf(404, "LockNotFound", "The lock '%s' could not be found.", id.Name())
		},
	})
}

// listLocks gives the locks at a scope and at all that is in it; with atScope(), those at it and above. Source: ManagementLocks,
// List At Resource Level ("for a resource or any level below resource").
func listLocks(_ context.Context, l *control.Listing) ([]*control.Resource[Lock], error) {
	scope := l.Scope.Parent() // l.Scope ends in the namespace of the collection
	if err := listable(l.Tx, scope); err != nil {
		return nil, err
	}
	q := store.Query{Kind: rbac.LockKind, Prefix: strings.TrimSuffix(scope.Key(), "/") + "/"}
	switch filter := strings.TrimSpace(l.Query.Get("$filter")); {
	case filter == "":
	case strings.EqualFold(filter, "atScope()"):
		q.Prefix = ""
		for _, key := range scope.Scopes() {
			q.Any = append(q.Any, rbac.LockTerm(key))
		}
	default:
		return nil, arm.Errorf(400, "UnsupportedQuery", "The filter '%.300s' is not supported. The supported filter is 'atScope()'.", filter)
	}
	return control.Select[Lock](l.Tx, q)
}
