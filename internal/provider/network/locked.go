package network

import (
	"bytes"
	"fmt"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// A PUT of a network or a security group writes its children too, and removes those that it leaves out. The pipeline asks the locks at
// the parent; these ask the child's own, which would stop the same change when it is made by the child's own path.

// removable refuses to leave out a child that is locked.
func removable(tx store.Tx, id arm.ID) error { return rbac.Unlocked(tx, id, id.Type()+"/delete") }

// changeable refuses to change a child that is locked; one that a body only repeats is left alone.
func changeable[T any](tx store.Tx, was *T, next *control.Resource[T]) error {
	old, err := armjson.Wire(was)
	if err != nil {
		return fmt.Errorf("%s before: %w", next.ID, err)
	}
	now, err := armjson.Wire(&next.Properties)
	if err != nil {
		return fmt.Errorf("%s after: %w", next.ID, err)
	}
	if bytes.Equal(old, now) {
		return nil
	}
	id := next.ParsedID()
	return rbac.Unlocked(tx, id, id.Type()+"/write")
}
