package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Group is a security group. Its members are documents of their own, so that it may be large and a principal's groups are
// found by an index.
type Group struct {
	ObjectID        string    `json:"objectId"`
	TenantID        string    `json:"tenantId"`
	DisplayName     string    `json:"displayName"`
	Description     string    `json:"description,omitempty"`
	MailNickname    string    `json:"mailNickname,omitempty"`
	SecurityEnabled bool      `json:"securityEnabled"`
	Owners          []string  `json:"owners,omitempty"`  // object IDs of users and service principals
	Creator         string    `json:"creator,omitempty"` // object ID of the person whose quota it counts for; none for an administrator's
	Created         time.Time `json:"created"`
}

// Membership says that an object is a direct member of a group.
type Membership struct {
	GroupID  string `json:"groupId"`
	MemberID string `json:"memberId"`
}

const maxCreated = 250 // objects that a person without a role may make in Entra; every group costs its members a look at each request

func groupKey(tenantID, objectID string) string {
	return "directory/groups/" + strings.ToLower(tenantID) + "/" + strings.ToLower(objectID)
}

func memberKey(tenantID, groupID, memberID string) string {
	return "directory/members/" + tenantID + "/" + groupID + "/" + memberID
}

func (g Group) terms() []string {
	terms := []string{"tenant:" + g.TenantID, "object:" + g.ObjectID}
	for _, id := range g.Owners {
		terms = append(terms, "owner:"+id)
	}
	if g.Creator != "" {
		terms = append(terms, creatorTerm(g.TenantID, g.Creator))
	}
	return terms
}

func creatorTerm(tenantID, objectID string) string { return "creator:" + tenantID + "/" + objectID }

func (g *Group) check() error {
	if err := rule.CheckName("group name", g.DisplayName); err != nil {
		return err
	}
	if len(g.Description) > maxText || len(g.MailNickname) > 64 || strings.ContainsFunc(g.MailNickname, rule.IsSpaceOrControl) {
		return fmt.Errorf("a description has at most %d bytes, a mailNickname 64 without spaces: %w", maxText, ErrInvalid)
	}
	if len(g.Owners) > maxOwners {
		return fmt.Errorf("a group has at most %d owners: %w", maxOwners, ErrInvalid)
	}
	return nil
}

// CreateGroupIn makes a group in the tenant that g.TenantID names. ErrQuota: g.Creator has made as many as a person may.
func (d *Directory) CreateGroupIn(tx store.Tx, g Group) (Group, error) {
	t, err := d.TenantIn(tx, g.TenantID)
	if err != nil {
		return Group{}, err
	}
	g.ObjectID, g.TenantID, g.Created = uuid.NewString(), t.ID, d.now().UTC()
	if err := g.check(); err != nil {
		return Group{}, err
	}
	if g.Creator != "" {
		made, err := tx.List(store.Query{Kind: KindGroup, Any: []string{creatorTerm(t.ID, g.Creator)}, Limit: maxCreated})
		if err != nil {
			return Group{}, fmt.Errorf("directory: count groups: %w", err)
		}
		if len(made) >= maxCreated {
			return Group{}, fmt.Errorf("The directory object quota limit for the Principal has been exceeded. Please ask your administrator to increase the quota limit or delete objects to reduce the used quota: %w", ErrQuota)
		}
	}
	return g, record.Write(tx, store.Document{Key: groupKey(t.ID, g.ObjectID), Kind: KindGroup, Terms: g.terms()}, g)
}

// GroupIn returns the group with an object ID in a tenant, or ErrGroupNotFound.
func (d *Directory) GroupIn(tx store.Tx, tenantID, objectID string) (Group, error) {
	g, _, err := d.group(tx, tenantID, objectID)
	return g, err
}

func (d *Directory) group(tx store.Tx, tenantID, objectID string) (Group, store.Document, error) {
	missing := fmt.Errorf("group %.64q in tenant %.64q: %w", objectID, tenantID, ErrGroupNotFound)
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	if t == "" || o == "" {
		return Group{}, store.Document{}, missing
	}
	return record.Read[Group](tx, groupKey(t, o), missing)
}

// Groups lists the groups of a tenant, in the order of their object IDs.
func (d *Directory) Groups(tx store.Tx, tenantID string) ([]Group, error) {
	return record.List[Group](tx, store.Query{Kind: KindGroup, Prefix: groupKey(rule.CanonicalID(tenantID), "")})
}

// ChangeGroupIn changes a group; its IDs stay as they were.
func (d *Directory) ChangeGroupIn(tx store.Tx, tenantID, objectID string, change func(*Group) error) (Group, error) {
	old, doc, err := d.group(tx, tenantID, objectID)
	if err != nil {
		return old, err
	}
	g := old
	g.Owners = slices.Clone(old.Owners)
	if err := change(&g); err != nil {
		return old, err
	}
	g.ObjectID, g.TenantID, g.Creator, g.Created = old.ObjectID, old.TenantID, old.Creator, old.Created
	if err := g.check(); err != nil {
		return old, err
	}
	doc.Terms = g.terms()
	return g, record.Write(tx, doc, g)
}

// AddMemberIn makes an object of the same tenant (user, service principal, group) a direct member. ErrExists: it is one already. Circles are
// allowed, as in Entra: whoever walks memberships expects them.
func (d *Directory) AddMemberIn(tx store.Tx, tenantID, groupID, memberID string) error {
	g, err := d.GroupIn(tx, tenantID, groupID)
	if err != nil {
		return err
	}
	o, err := d.ObjectIn(tx, g.TenantID, memberID)
	if err != nil {
		return err
	}
	if o.Application != nil || o.ID() == g.ObjectID {
		return fmt.Errorf("object %s cannot be a member of group %s: %w", o.ID(), g.ObjectID, ErrInvalid)
	}
	key := memberKey(g.TenantID, g.ObjectID, o.ID())
	if free, err := record.Absent(tx, key); err != nil {
		return err
	} else if !free {
		return fmt.Errorf("One or more added object references already exist for the following modified properties: 'members': %w", ErrExists)
	}
	if err := d.checkNesting(tx, g, o); err != nil {
		return err
	}
	terms := []string{memberTerm(g.TenantID, o.ID())}
	if o.Group != nil {
		terms = append(terms, nestsTerm(g.TenantID, g.ObjectID))
	}
	return record.Write(tx, store.Document{Key: key, Kind: KindMember, Terms: terms}, Membership{GroupID: g.ObjectID, MemberID: o.ID()})
}

func nestsTerm(tenantID, groupID string) string { return "nests:" + tenantID + "/" + groupID }

func memberTerm(tenantID, memberID string) string { return "member:" + tenantID + "/" + memberID }

// RemoveMemberIn ends a direct membership, or says ErrObjectNotFound.
func (d *Directory) RemoveMemberIn(tx store.Tx, tenantID, groupID, memberID string) error {
	g, err := d.GroupIn(tx, tenantID, groupID)
	if err != nil {
		return err
	}
	missing := fmt.Errorf("member %.64q of group %s: %w", memberID, g.ObjectID, ErrObjectNotFound)
	m := rule.CanonicalID(memberID)
	if m == "" {
		return missing
	}
	if err := tx.Delete(memberKey(g.TenantID, g.ObjectID, m), 0); errors.Is(err, store.ErrNotFound) {
		return missing
	} else if err != nil {
		return fmt.Errorf("directory: remove a member: %w", err)
	}
	return nil
}

// MembersIn lists the object IDs of a group's members; transitive adds those of the groups in it, each once. The group itself is not
// among them, even in a circle.
func (d *Directory) MembersIn(tx store.Tx, tenantID, groupID string, transitive bool) ([]string, error) {
	g, err := d.GroupIn(tx, tenantID, groupID)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{g.ObjectID: true}
	var out []string
	for queue := []string{g.ObjectID}; len(queue) > 0; queue = queue[1:] {
		found, err := record.List[Membership](tx, store.Query{Kind: KindMember, Prefix: memberKey(g.TenantID, queue[0], "")})
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if seen[m.MemberID] {
				continue
			}
			seen[m.MemberID] = true
			out = append(out, m.MemberID)
			if transitive {
				queue = append(queue, m.MemberID) // one that is no group has no members
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// MemberOf lists the object IDs of the groups that a principal is in, through other groups too, each once: one indexed read for
// each level of nesting, hence one for a principal in no group.
func (d *Directory) MemberOf(tx store.Tx, tenantID, objectID string) ([]string, error) {
	return d.memberOf(tx, tenantID, objectID, true)
}

// DirectMemberOf is MemberOf without nesting.
func (d *Directory) DirectMemberOf(tx store.Tx, tenantID, objectID string) ([]string, error) {
	return d.memberOf(tx, tenantID, objectID, false)
}

const termsAtOnce = 500 // below the store's limit

func (d *Directory) memberOf(tx store.Tx, tenantID, objectID string, transitive bool) ([]string, error) {
	levels := 1
	if transitive {
		levels = -1
	}
	out, _, err := walk(tx, tenantID, objectID, up, levels)
	slices.Sort(out)
	return out, err
}
