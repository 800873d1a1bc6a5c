package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/directory/guess"
	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Retention is how long what was deleted may be restored.
const Retention = 30 * 24 * time.Hour

// Deleted is an object in deletedItems. It is out of every other look-up: nobody signs in as it, no role holds.
type Deleted struct {
	ObjectID    string            `json:"objectId"`
	TenantID    string            `json:"tenantId"`
	Type        string            `json:"type"` // "user", "servicePrincipal" or "application"; groups of Entra's security kind go at once
	DeletedTime time.Time         `json:"deletedDateTime"`
	Application *Application      `json:"application,omitempty"`
	Principal   *ServicePrincipal `json:"servicePrincipal,omitempty"` // with an application: its own one at home
	User        *User             `json:"user,omitempty"`
	MemberOf    []string          `json:"memberOf,omitempty"` // groups that it was in
}

func deletedKey(tenantID, objectID string) string {
	return "directory/deleted/" + tenantID + "/" + objectID
}

func (d *Directory) bury(tx store.Tx, item Deleted) error {
	item.DeletedTime = d.now().UTC()
	return record.Write(tx, store.Document{Key: deletedKey(item.TenantID, item.ObjectID), Kind: KindDeleted,
		Terms: []string{"tenant:" + item.TenantID, "type:" + item.Type}}, item)
}

// PartyTerm is the index term by which what was granted to an object, or at it, is found.
func PartyTerm(tenantID, objectID string) string { return "party:" + tenantID + "/" + objectID }

// leave ends what was granted to an object or at it, and its memberships; it tells which of those there were.
func (d *Directory) leave(tx store.Tx, tenantID, objectID string) ([]string, error) {
	for _, kind := range []string{KindPermissionGrant, KindAppRoleAssignment} {
		docs, err := tx.List(store.Query{Kind: kind, All: []string{PartyTerm(tenantID, objectID)}})
		if err != nil {
			return nil, fmt.Errorf("directory: list what %s takes part in: %w", objectID, err)
		}
		for _, doc := range docs {
			if err := tx.Delete(doc.Key, doc.ETag); err != nil {
				return nil, fmt.Errorf("directory: end a grant: %w", err)
			}
		}
	}
	groups, err := d.DirectMemberOf(tx, tenantID, objectID)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := tx.Delete(memberKey(tenantID, g, objectID), 0); err != nil {
			return nil, fmt.Errorf("directory: leave group %s: %w", g, err)
		}
	}
	return groups, nil
}

// DeleteApplicationIn deletes a registration and its service principal at home; those in other tenants stay, as in Entra, and
// cannot sign in any more.
func (d *Directory) DeleteApplicationIn(tx store.Tx, appID string) error {
	a, doc, err := d.application(tx, appID)
	if err != nil {
		return err
	}
	if firstParty(a.AppID) {
		return fmt.Errorf("application %s is not registered here: %w", a.AppID, ErrInvalid)
	}
	item := Deleted{ObjectID: a.ObjectID, TenantID: a.TenantID, Type: "application", Application: &a}
	sp, spDoc, err := d.principal(tx, a.TenantID, a.AppID)
	switch {
	case err == nil:
		item.Principal = &sp
		if item.MemberOf, err = d.removePrincipal(tx, sp, spDoc); err != nil {
			return err
		}
	case !errors.Is(err, ErrPrincipalNotFound):
		return err
	}
	if err := tx.Delete(doc.Key, doc.ETag); err != nil {
		return fmt.Errorf("directory: delete application %s: %w", a.AppID, err)
	}
	return d.bury(tx, item)
}

func (d *Directory) removePrincipal(tx store.Tx, sp ServicePrincipal, doc store.Document) ([]string, error) {
	if err := d.keepsAdministrator(tx, Object{ServicePrincipal: &sp}); err != nil {
		return nil, err
	}
	groups, err := d.leave(tx, sp.TenantID, sp.ObjectID)
	if err != nil {
		return nil, err
	}
	if err := tx.Delete(doc.Key, doc.ETag); err != nil {
		return nil, fmt.Errorf("directory: delete service principal %s: %w", sp.ObjectID, err)
	}
	return groups, nil
}

// DeletePrincipalIn removes an application's service principal from a tenant. Its tokens stop working at once.
func (d *Directory) DeletePrincipalIn(tx store.Tx, tenantID, appID string) error {
	sp, doc, err := d.principal(tx, tenantID, appID)
	if err != nil {
		return err
	}
	groups, err := d.removePrincipal(tx, sp, doc)
	if err != nil {
		return err
	}
	return d.bury(tx, Deleted{ObjectID: sp.ObjectID, TenantID: sp.TenantID, Type: "servicePrincipal", Principal: &sp, MemberOf: groups})
}

// DeleteUserIn deletes a user. Its tokens stop working at once; guests that were made for it elsewhere cannot sign in any more.
func (d *Directory) DeleteUserIn(tx store.Tx, tenantID, objectID string) error {
	u, doc, err := d.user(tx, tenantID, objectID)
	if err != nil {
		return err
	}
	if err := d.keepsAdministrator(tx, Object{User: &u}); err != nil {
		return err
	}
	groups, err := d.leave(tx, u.TenantID, u.ObjectID)
	if err != nil {
		return err
	}
	if err := tx.Delete(doc.Key, doc.ETag); err != nil {
		return fmt.Errorf("directory: delete user %s: %w", u.ObjectID, err)
	}
	return d.bury(tx, Deleted{ObjectID: u.ObjectID, TenantID: u.TenantID, Type: "user", User: &u, MemberOf: groups})
}

// DeleteGroupIn deletes a group for good, as Entra does with security groups, and every membership in it and of it.
func (d *Directory) DeleteGroupIn(tx store.Tx, tenantID, objectID string) error {
	g, doc, err := d.group(tx, tenantID, objectID)
	if err != nil {
		return err
	}
	if _, err := d.leave(tx, g.TenantID, g.ObjectID); err != nil {
		return err
	}
	members, err := tx.List(store.Query{Kind: KindMember, Prefix: memberKey(g.TenantID, g.ObjectID, "")})
	if err != nil {
		return fmt.Errorf("directory: list members: %w", err)
	}
	for _, m := range members {
		if err := tx.Delete(m.Key, m.ETag); err != nil {
			return fmt.Errorf("directory: delete a membership: %w", err)
		}
	}
	return tx.Delete(doc.Key, doc.ETag)
}

// DeletedIn returns a tenant's deleted object, or ErrObjectNotFound.
func (d *Directory) DeletedIn(tx store.Tx, tenantID, objectID string) (Deleted, error) {
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	missing := fmt.Errorf("deleted object %.64q: %w", objectID, ErrObjectNotFound)
	if t == "" || o == "" {
		return Deleted{}, missing
	}
	item, _, err := record.Read[Deleted](tx, deletedKey(t, o), missing)
	if err == nil && !d.now().Before(item.DeletedTime.Add(Retention)) {
		return Deleted{}, missing
	}
	return item, err
}

// AllDeletedIn lists a tenant's deleted objects of a type.
func (d *Directory) AllDeletedIn(tx store.Tx, tenantID, typ string) ([]Deleted, error) {
	found, err := record.List[Deleted](tx, store.Query{Kind: KindDeleted, All: []string{"type:" + typ, "tenant:" + rule.CanonicalID(tenantID)}})
	var out []Deleted
	for _, item := range found {
		if d.now().Before(item.DeletedTime.Add(Retention)) {
			out = append(out, item)
		}
	}
	return out, err
}

// RestoreIn brings a deleted object back with its ID, its credentials and its groups. ErrExists: its name or client ID has been
// taken meanwhile.
func (d *Directory) RestoreIn(tx store.Tx, tenantID, objectID string) (Deleted, error) {
	item, err := d.DeletedIn(tx, tenantID, objectID)
	if err != nil {
		return item, err
	}
	if err := tx.Delete(deletedKey(item.TenantID, item.ObjectID), 0); err != nil {
		return item, fmt.Errorf("directory: restore %s: %w", item.ObjectID, err)
	}
	member := ""
	if a := item.Application; a != nil {
		if err := d.checkURIs(tx, Application{}, *a); err != nil {
			return item, err
		}
		if err := record.Put(tx, store.Document{Key: applicationKey(a.AppID), Kind: KindApplication, Terms: a.terms()}, a); err != nil {
			return item, err
		}
	}
	if sp := item.Principal; sp != nil {
		member = sp.ObjectID
		if err := record.Put(tx, store.Document{Key: principalKey(sp.TenantID, sp.AppID), Kind: KindServicePrincipal, Terms: sp.terms()}, sp); err != nil {
			return item, err
		}
	}
	if u := item.User; u != nil {
		member = u.ObjectID
		if err := d.nameFree(tx, *u); err != nil {
			return item, err
		}
		u.SessionsFrom = d.now().UTC()
		if err := record.Put(tx, store.Document{Key: userKey(u.TenantID, u.ObjectID), Kind: KindUser, Terms: u.terms()}, u); err != nil {
			return item, err
		}
	}
	for _, g := range item.MemberOf {
		if err := d.AddMemberIn(tx, item.TenantID, g, member); err != nil && !errors.Is(err, ErrGroupNotFound) {
			return item, err
		}
	}
	return item, nil
}

// PurgeIn removes a deleted object for good.
func (d *Directory) PurgeIn(tx store.Tx, tenantID, objectID string) error {
	item, err := d.DeletedIn(tx, tenantID, objectID)
	if err != nil {
		return err
	}
	return tx.Delete(deletedKey(item.TenantID, item.ObjectID), 0)
}

// Sweep removes for good what was deleted longer ago than Retention, and old counts of wrong passwords.
func (d *Directory) Sweep(ctx context.Context) error {
	return d.store.Update(ctx, func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: KindDeleted})
		if err != nil {
			return err
		}
		for _, doc := range docs {
			var item struct {
				DeletedTime time.Time `json:"deletedDateTime"`
			}
			if err := json.Unmarshal(doc.Body, &item); err != nil {
				return fmt.Errorf("directory: document %s: %w", doc.Key, err)
			}
			if d.now().Before(item.DeletedTime.Add(Retention)) {
				continue
			}
			if err := tx.Delete(doc.Key, doc.ETag); err != nil {
				return err
			}
		}
		return guess.Sweep(tx, d.now())
	})
}
