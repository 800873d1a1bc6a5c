package consent

import (
	"fmt"
	"slices"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// DefaultRole is assigned at a resource that defines no app role for such principals: access as such.
const DefaultRole = "00000000-0000-0000-0000-000000000000"

// Assignment is an appRoleAssignment: a principal holds an app role of a resource.
type Assignment struct {
	ID            string    `json:"id"`
	TenantID      string    `json:"tenantId"`
	RoleID        string    `json:"appRoleId"`
	PrincipalID   string    `json:"principalId"`
	PrincipalType string    `json:"principalType"` // User, Group or ServicePrincipal
	ResourceID    string    `json:"resourceId"`    // object ID of the resource's service principal
	Created       time.Time `json:"created"`
}

func assignmentKey(a Assignment) string {
	return "directory/approleassignments/" + a.TenantID + "/" + a.PrincipalID + "/" + a.ResourceID + "/" + a.RoleID
}

func heldTerm(tenantID, principalID, resourceID string) string {
	return "held:" + tenantID + "/" + principalID + "/" + resourceID
}

// Assign gives a principal an app role. The role must be one of the resource's that is enabled and meant for such principals.
// ErrExists: it is held already.
func (c *Consents) Assign(tx store.Tx, a Assignment) (Assignment, error) {
	resource, err := c.Principal(tx, a.TenantID, a.ResourceID)
	if err != nil {
		return Assignment{}, err
	}
	typ, err := c.dir.PrincipalType(tx, a.TenantID, a.PrincipalID)
	if err != nil {
		return Assignment{}, err
	}
	a.ResourceID, a.PrincipalID, a.RoleID, a.PrincipalType = resource.ObjectID, rule.CanonicalID(a.PrincipalID), rule.CanonicalID(a.RoleID), typ
	if !resource.offers(a.RoleID, typ) {
		return Assignment{}, fmt.Errorf("Permission being assigned was not found on application '%s': %w", resource.AppID, rule.ErrInvalid)
	}
	key := assignmentKey(a)
	if free, err := record.Absent(tx, key); err != nil {
		return Assignment{}, err
	} else if !free {
		return Assignment{}, fmt.Errorf("Permission being assigned already exists on the object: %w", rule.ErrExists)
	}
	if err := room(tx, directory.KindAppRoleAssignment, "directory/approleassignments/"+a.TenantID+"/"+a.PrincipalID+"/"); err != nil {
		return Assignment{}, err
	}
	a.ID = nameOf(a.PrincipalID, a.ResourceID, a.RoleID)
	return a, record.Write(tx, store.Document{Key: key, Kind: directory.KindAppRoleAssignment, Terms: []string{"tenant:" + a.TenantID,
		directory.PartyTerm(a.TenantID, a.PrincipalID), directory.PartyTerm(a.TenantID, a.ResourceID), heldTerm(a.TenantID, a.PrincipalID, a.ResourceID)}}, a)
}

// offers says whether a role can be assigned to a type of principal.
func (p Principal) offers(roleID, typ string) bool {
	kind := "User" // also for a group of users
	if typ == "ServicePrincipal" {
		kind = "Application"
	}
	meant := func(r directory.AppRole) bool { return r.IsEnabled && slices.Contains(r.AllowedMemberTypes, kind) }
	if roleID == DefaultRole {
		return kind == "User" && !slices.ContainsFunc(p.Roles, meant)
	}
	return slices.ContainsFunc(p.Roles, func(r directory.AppRole) bool { return r.ID == roleID && meant(r) })
}

// Assignment returns one by its ID, or ErrNotFound.
func (c *Consents) Assignment(tx store.Tx, tenantID, id string) (Assignment, error) {
	a, _, err := c.assignment(tx, tenantID, id)
	return a, err
}

func (c *Consents) assignment(tx store.Tx, tenantID, id string) (Assignment, store.Document, error) {
	missing := fmt.Errorf("assignment %.100q: %w", id, ErrNotFound)
	parts, ok := guidsOf(id, 3, 3)
	if !ok {
		return Assignment{}, store.Document{}, missing
	}
	return record.Read[Assignment](tx, assignmentKey(Assignment{TenantID: rule.CanonicalID(tenantID), PrincipalID: parts[0], ResourceID: parts[1], RoleID: parts[2]}), missing)
}

// Unassign takes an app role away.
func (c *Consents) Unassign(tx store.Tx, tenantID, id string) error {
	_, doc, err := c.assignment(tx, tenantID, id)
	if err != nil {
		return err
	}
	return tx.Delete(doc.Key, doc.ETag)
}

// Assignments lists those in which an object takes part, as the principal or as the resource.
func (c *Consents) Assignments(tx store.Tx, tenantID, party string) ([]Assignment, error) {
	return record.List[Assignment](tx, byParty(directory.KindAppRoleAssignment, tenantID, party))
}

const termsAtOnce = 500 // below the store's limit

// Roles lists the values of the app roles that a principal holds at a resource, itself or as a direct member of a group; assigned is true
// also when what it holds has no value. Roles that the resource disabled or dropped do not count.
func (c *Consents) Roles(tx store.Tx, resource Principal, principalID string) (values []string, assigned bool, err error) {
	t := resource.TenantID
	groups, err := c.dir.DirectMemberOf(tx, t, principalID)
	if err != nil {
		return nil, false, err
	}
	for part := range slices.Chunk(append(groups, principalID), termsAtOnce) {
		terms := make([]string, len(part))
		for i, id := range part {
			terms[i] = heldTerm(t, id, resource.ObjectID)
		}
		found, err := record.List[Assignment](tx, store.Query{Kind: directory.KindAppRoleAssignment, Any: terms})
		if err != nil {
			return nil, false, err
		}
		for _, a := range found {
			assigned = true
			for _, r := range resource.Roles {
				if r.ID == a.RoleID && r.IsEnabled && r.Value != nil && *r.Value != "" && !slices.Contains(values, *r.Value) {
					values = append(values, *r.Value)
				}
			}
		}
	}
	slices.Sort(values)
	return values, assigned, nil
}
