// Package history keeps the deployments of a scope from becoming too many, as ARM does by itself. It owns the limit; what a
// deployment is, its caller says.
package history

import (
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// How many deployments a scope keeps (ARM): towards the limit the oldest that have ended make room.
const (
	mostKept  = 800
	pruneFrom = 775
	pruneTo   = 750
)

// MakeRoom is called before the deployment id is created: of a scope that is nearly full it deletes the oldest that have ended.
// begun is when one began, as text that sorts.
func MakeRoom[T any](tx store.Tx, id arm.ID, begun func(*control.Resource[T]) string) error {
	q := store.Query{Kind: control.Kind(id.Type()), Prefix: strings.TrimSuffix(id.Key(), strings.ToLower(id.Name()))}
	docs, err := tx.List(q)
	if err != nil || len(docs) < pruneFrom {
		return err
	}
	all, err := control.Select[T](tx, q)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b *control.Resource[T]) int { return strings.Compare(begun(a), begun(b)) })
	kept := len(all)
	for _, old := range all {
		if kept <= pruneTo {
			return nil
		}
		if !slices.Contains([]string{arm.Succeeded, arm.Failed, "Canceled"}, old.State()) {
			continue
		}
		// A lock keeps a scope's history, as in Azure: then the limit is met in the end.
		if rbac.Unlocked(tx, old.ParsedID(), id.Type()+"/delete") != nil {
			break
		}
		if err := control.Remove(tx, old.ParsedID()); err != nil {
			return err
		}
		kept--
	}
	if kept >= mostKept {
		return arm.Errorf(409, "DeploymentQuotaExceeded", "Creating the deployment '%s' would exceed the quota of '%d'. The current deployment count is '%d'. Please delete some deployments before creating a new one, or see https://aka.ms/800LimitFix for information on managing deployment limits.",
			id.Name(), mostKept, kept)
	}
	return nil
}
