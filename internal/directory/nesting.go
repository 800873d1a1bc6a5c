package directory

import (
	"fmt"
	"slices"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Every decision about a principal reads its groups, a read for each level of nesting. The limits keep that bounded, whoever makes groups: an
// object is in at most maxMemberOf groups itself (Entra's number for security groups in one principal's decisions), and a chain of groups has
// at most maxNesting links.
const (
	maxMemberOf = 2048
	maxNesting  = 32
)

// checkNesting refuses a membership that would go beyond the limits: ErrQuota.
func (d *Directory) checkNesting(tx store.Tx, g Group, o Object) error {
	direct, err := tx.List(store.Query{Kind: KindMember, Any: []string{memberTerm(g.TenantID, o.ID())}, Limit: maxMemberOf})
	if err != nil {
		return fmt.Errorf("directory: count memberships: %w", err)
	}
	if len(direct) >= maxMemberOf {
		return fmt.Errorf("The object %s is a direct member of %d groups, and no object may be of more: %w", o.ID(), maxMemberOf, ErrQuota)
	}
	if o.Group == nil {
		return nil
	}
	_, above, err := walk(tx, g.TenantID, g.ObjectID, up, maxNesting)
	if err != nil {
		return err
	}
	_, below, err := walk(tx, g.TenantID, o.ID(), down, maxNesting)
	if err == nil && above+1+below > maxNesting {
		err = fmt.Errorf("Groups are nested at most %d levels deep: %w", maxNesting, ErrQuota)
	}
	return err
}

// A direction says where a walk through memberships leads: to the groups that an object is in, or to the groups in a group.
type direction struct {
	term func(tenantID, id string) string
	next func(Membership) string
}

var (
	up   = direction{memberTerm, func(m Membership) string { return m.GroupID }}
	down = direction{nestsTerm, func(m Membership) string { return m.MemberID }}
)

// walk follows memberships from an object level by level, at most so many levels (-1: to the end), and gives the groups that it finds, each
// once, and how many levels had some.
func walk(tx store.Tx, tenantID, objectID string, to direction, levels int) (found []string, depth int, err error) {
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	if t == "" || o == "" {
		return nil, 0, nil
	}
	seen := map[string]bool{o: true}
	for level := []string{o}; levels != depth; depth++ {
		var next []string
		for part := range slices.Chunk(level, termsAtOnce) {
			var terms []string
			for _, id := range part {
				terms = append(terms, to.term(t, id))
			}
			links, err := record.List[Membership](tx, store.Query{Kind: KindMember, Any: terms})
			if err != nil {
				return nil, 0, err
			}
			for _, m := range links {
				if id := to.next(m); !seen[id] {
					seen[id] = true
					next = append(next, id)
				}
			}
		}
		if len(next) == 0 {
			break
		}
		found = append(found, next...)
		level = next
	}
	return found, depth, nil
}
