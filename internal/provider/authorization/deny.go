package authorization

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// DenyAssignment is the properties of a deny assignment. Azure has no public way to write one; here the operator does.
type DenyAssignment struct {
	Name              string            `json:"denyAssignmentName" arm:"readonly"`
	Description       string            `json:"description" arm:"readonly"`
	Permissions       []rbac.Permission `json:"permissions" arm:"readonly,always"`
	Scope             string            `json:"scope" arm:"readonly"`
	Exact             bool              `json:"doNotApplyToChildScopes" arm:"readonly,always"`
	Principals        []DenyPrincipal   `json:"principals" arm:"readonly,always"`
	ExcludePrincipals []DenyPrincipal   `json:"excludePrincipals" arm:"readonly,always"`
	SystemProtected   bool              `json:"isSystemProtected" arm:"readonly,always"`
	CreatedOn         string            `json:"createdOn" arm:"readonly"`
	UpdatedOn         string            `json:"updatedOn" arm:"readonly"`
	Tenant            string            `json:"tenant" arm:"private"`
	Unknown           armjson.Unknown   `json:"-"`
}

// DenyPrincipal is whom a deny assignment is for, or not for. The ID of zeros is everyone.
type DenyPrincipal struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Terms lets rbac find the deny assignment.
func (d *DenyAssignment) Terms() []string {
	terms := []string{rbac.ScopeTerm(rbac.ScopeKey(d.Scope, d.Tenant))}
	for _, p := range d.Principals {
		if p.ID == rbac.Everyone {
			terms = append(terms, rbac.EveryoneTerm(d.Tenant))
		} else {
			terms = append(terms, rbac.PrincipalTerm(p.ID))
		}
	}
	return terms
}

func (p *provider) registerDenies(c *control.Control) {
	control.Register(c, control.Spec[DenyAssignment]{
		Type: "Microsoft.Authorization/denyAssignments", Level: control.Extension, Versions: []arm.Version{"2022-04-01", "2018-07-01-preview"},
		List: func(_ context.Context, l *control.Listing) ([]*control.Resource[DenyAssignment], error) {
			filter := strings.TrimSpace(l.Query.Get("$filter"))
			atScope := strings.EqualFold(filter, "atScope()")
			if filter != "" && !atScope {
				return nil, arm.Errorf(400, "UnsupportedQuery", "The filter '%.300s' is not supported. The supported filter is 'atScope()'.", filter)
			}
			return atAndBelow[DenyAssignment](p, l, rbac.DenyKind, atScope)
		},
		Missing: func(id arm.ID) *arm.Error {
			return arm.Errorf(404, "DenyAssignmentNotFound", "The deny assignment '%s' is not found.", strings.ReplaceAll(id.Name(), "-", ""))
		},
	})
}

// Deny writes a deny assignment at a scope of a tenant and returns its ID: the operator's act.
func Deny(tx store.Tx, tenant string, scope arm.ID, d DenyAssignment, now time.Time) (string, error) {
	scope = scope.In(tenant)
	if err := scopeExists(tx, scope); err != nil {
		return "", err
	}
	id, err := arm.ParseID(strings.TrimSuffix(scope.String(), "/") + "/providers/Microsoft.Authorization/denyAssignments/" + uuid.NewString())
	if err != nil {
		return "", err
	}
	id.Tenant = scope.Tenant
	r := control.Make[DenyAssignment](id, "", now)
	stamp := now.UTC().Format(stampForm)
	d.Scope, d.Tenant, d.CreatedOn, d.UpdatedOn, d.SystemProtected = scope.String(), tenant, stamp, stamp, true
	r.Properties = d
	return r.ID, control.Save(tx, r)
}
