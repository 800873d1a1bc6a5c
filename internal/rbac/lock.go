package rbac

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// LockTerm is the index term of locks at exactly this scope (its key).
func LockTerm(key string) string { return ScopeTerm(key) }

const lockPath = "/providers/" + LockKind + "/"

// Unlocked refuses what a lock at the scope or above it, or for a deletion also below it, forbids. ReadOnly stops writes and
// every POST that is not a read by its permission; CanNotDelete stops deletions (Azure: "Lock your resources"). Locks
// themselves are exempt, since nobody could take one off again.
func Unlocked(tx store.Tx, scope arm.ID, action string) error {
	at, err := locked(tx, scope, strings.ToLower(action))
	if err != nil || len(at) == 0 {
		return err
	}
	operation := "write"
	if strings.HasSuffix(strings.ToLower(action), "/delete") {
		operation = "delete"
	}
	e := arm.Errorf(409, "ScopeLocked", "The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove the lock and try again.",
		scope, operation, strings.Join(at, ","))
	return e
}

// locked lists the scopes whose locks forbid an action (lower case).
func locked(tx store.Tx, scope arm.ID, action string) ([]string, error) {
	if strings.HasSuffix(action, "/read") || strings.HasPrefix(action, LockKind+"/") || scope.Subscription == "" {
		return nil, nil
	}
	var terms []string
	for _, k := range scope.Scopes()[1:] {
		terms = append(terms, LockTerm(k))
	}
	docs, err := tx.List(store.Query{Kind: LockKind, Any: terms})
	if err != nil {
		return nil, err
	}
	deleting := strings.HasSuffix(action, "/delete")
	if deleting {
		below, err := tx.List(store.Query{Kind: LockKind, Prefix: scope.Key() + "/"})
		if err != nil {
			return nil, err
		}
		docs = append(docs, below...)
	}
	var out []string
	for _, d := range docs {
		var body struct {
			ID         string
			Properties struct{ Level string }
		}
		if err := json.Unmarshal(d.Body, &body); err != nil {
			return nil, fmt.Errorf("lock %s: %w", d.Key, err)
		}
		if !deleting && body.Properties.Level != "ReadOnly" {
			continue
		}
		at := body.ID
		if i := strings.Index(strings.ToLower(at), lockPath); i >= 0 {
			at = at[:i]
		}
		if !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out, nil
}
