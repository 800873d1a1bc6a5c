package directory

import (
	"errors"
	"fmt"
	"slices"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Object is one directory object: exactly one member is set.
type Object struct {
	User             *User
	Group            *Group
	ServicePrincipal *ServicePrincipal
	Application      *Application
}

// ID is the object ID.
func (o Object) ID() string {
	switch {
	case o.User != nil:
		return o.User.ObjectID
	case o.Group != nil:
		return o.Group.ObjectID
	case o.ServicePrincipal != nil:
		return o.ServicePrincipal.ObjectID
	case o.Application != nil:
		return o.Application.ObjectID
	}
	return ""
}

// TenantID is the tenant that the object is in.
func (o Object) TenantID() string {
	switch {
	case o.User != nil:
		return o.User.TenantID
	case o.Group != nil:
		return o.Group.TenantID
	case o.ServicePrincipal != nil:
		return o.ServicePrincipal.TenantID
	case o.Application != nil:
		return o.Application.TenantID
	}
	return ""
}

// Type is Graph's name of the object's type.
func (o Object) Type() string {
	switch {
	case o.User != nil:
		return "user"
	case o.Group != nil:
		return "group"
	case o.ServicePrincipal != nil:
		return "servicePrincipal"
	}
	return "application"
}

// ObjectIn returns the object with an ID in a tenant, of whatever type, or ErrObjectNotFound.
func (d *Directory) ObjectIn(tx store.Tx, tenantID, objectID string) (Object, error) {
	u, err := d.UserIn(tx, tenantID, objectID)
	if err == nil {
		return Object{User: &u}, nil
	}
	if !errors.Is(err, ErrUserNotFound) {
		return Object{}, err
	}
	sp, err := d.PrincipalByObjectIn(tx, tenantID, objectID)
	if err == nil {
		return Object{ServicePrincipal: &sp}, nil
	}
	if !errors.Is(err, ErrPrincipalNotFound) {
		return Object{}, err
	}
	g, err := d.GroupIn(tx, tenantID, objectID)
	if err == nil {
		return Object{Group: &g}, nil
	}
	if !errors.Is(err, ErrGroupNotFound) {
		return Object{}, err
	}
	a, err := d.ApplicationByObjectIn(tx, tenantID, objectID)
	if err == nil {
		return Object{Application: &a}, nil
	}
	if !errors.Is(err, ErrApplicationNotFound) {
		return Object{}, err
	}
	return Object{}, fmt.Errorf("object %.64q in tenant %.64q: %w", objectID, tenantID, ErrObjectNotFound)
}

// PrincipalType says what kind of principal an object ID is in a tenant, by the names of role assignments: "User", "Group" or
// "ServicePrincipal". ErrObjectNotFound: none of the tenant's.
func (d *Directory) PrincipalType(tx store.Tx, tenantID, objectID string) (string, error) {
	o, err := d.ObjectIn(tx, tenantID, objectID)
	switch {
	case err != nil:
		return "", err
	case o.User != nil:
		return "User", nil
	case o.Group != nil:
		return "Group", nil
	case o.ServicePrincipal != nil:
		return "ServicePrincipal", nil
	}
	return "", fmt.Errorf("object %s is an application, not a principal: %w", o.ID(), ErrObjectNotFound)
}

// OwnedIn lists what an object owns: applications, service principals and groups.
func (d *Directory) OwnedIn(tx store.Tx, tenantID, objectID string) ([]Object, error) {
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	if t == "" || o == "" {
		return nil, nil
	}
	terms := []string{"owner:" + o, "tenant:" + t}
	apps, err := record.List[Application](tx, store.Query{Kind: KindApplication, All: terms})
	if err != nil {
		return nil, err
	}
	sps, err := record.List[ServicePrincipal](tx, store.Query{Kind: KindServicePrincipal, All: terms})
	if err != nil {
		return nil, err
	}
	groups, err := record.List[Group](tx, store.Query{Kind: KindGroup, All: terms})
	if err != nil {
		return nil, err
	}
	var out []Object
	for i := range apps {
		out = append(out, Object{Application: &apps[i]})
	}
	for i := range sps {
		out = append(out, Object{ServicePrincipal: &sps[i]})
	}
	for i := range groups {
		out = append(out, Object{Group: &groups[i]})
	}
	return out, nil
}

// isMissing says whether an error means that there is no such object.
func isMissing(err error) bool {
	return slices.ContainsFunc([]error{ErrTenantNotFound, ErrApplicationNotFound, ErrPrincipalNotFound, ErrSecretNotFound,
		ErrUserNotFound, ErrGroupNotFound, ErrObjectNotFound}, func(is error) bool { return errors.Is(err, is) })
}

// IsMissing says whether an error of this package means that something does not exist.
func IsMissing(err error) bool { return isMissing(err) }
