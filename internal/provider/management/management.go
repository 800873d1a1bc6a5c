// Package management is the provider Microsoft.Management: management groups, the scopes above subscriptions.
//
// It owns the documents of groups and of which subscription is in which; rbac reads the same documents to see what an
// assignment at a group covers. The tenant's root group is always there and has the tenant's ID as its name.
//
//	PUT managementGroups/{g} ─▶ document with its parent;  PUT managementGroups/{g}/subscriptions/{s} ─▶ membership
//	GET managementGroups/{g}?$expand=children, POST getEntities ─▶ the tree, as far as the caller sees it
package management

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const (
	groupType  = "Microsoft.Management/managementGroups"
	memberType = groupType + "/subscriptions"
	assign     = "Microsoft.Authorization/roleAssignments/write"
	owner      = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	maxLevels  = 6 // below the root group, Azure's limit
)

// Config is what the provider needs of others.
type Config struct {
	// Grant assigns a role at a scope: whoever creates a group becomes its Owner, as in Azure.
	Grant func(tx store.Tx, scope arm.ID, roleGUID string, p authn.Principal, now time.Time) error
}

// Group is the properties of a management group.
type Group struct {
	TenantID    string          `json:"tenantId" arm:"readonly"`
	DisplayName string          `json:"displayName"`
	Details     *Details        `json:"details"`
	Children    []Child         `json:"children" arm:"readonly"`
	Unknown     armjson.Unknown `json:"-"`
}

// Child is a group or subscription in a group, as $expand=children shows it.
type Child struct {
	Type        string  `json:"type"`
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	DisplayName string  `json:"displayName"`
	Children    []Child `json:"children"`
}

// Details holds the group's place.
type Details struct {
	Parent    *Parent         `json:"parent"`
	Version   int             `json:"version" arm:"readonly"`
	UpdatedAt string          `json:"updatedTime" arm:"readonly"`
	UpdatedBy string          `json:"updatedBy" arm:"readonly"`
	Unknown   armjson.Unknown `json:"-"`
}

// Parent names the group that holds a group.
type Parent struct {
	ID      string          `json:"id"`
	Name    string          `json:"name" arm:"readonly"`
	Unknown armjson.Unknown `json:"-"`
}

// Member is the properties of a subscription in a group.
type Member struct {
	Tenant      string          `json:"tenant" arm:"readonly"`
	DisplayName string          `json:"displayName" arm:"readonly"`
	Parent      *Parent         `json:"parent" arm:"readonly"`
	State       string          `json:"state" arm:"readonly"`
	Unknown     armjson.Unknown `json:"-"`
}

type provider struct {
	cfg  Config
	rbac *rbac.Engine
}

// Register adds the types of Microsoft.Management.
func Register(c *control.Control, cfg Config) {
	p := &provider{cfg, c.RBAC()}
	versions := []arm.Version{"2023-04-01", "2021-04-01", "2020-05-01", "2020-02-01"}
	control.Register(c, control.Spec[Group]{
		Type: groupType, Level: control.InTenant, Versions: versions, Async: control.Async{Create: 200, Delete: 204}, Reader: unfold,
		Name: checkName, Get: get, Put: p.put, Delete: remove, Patch: true, List: list, View: p.view,
		Missing: func(id arm.ID) *arm.Error {
			return arm.Errorf(404, "NotFound", "Management group '%s' not found.", id.Name())
		},
	})
	control.Register(c, control.Spec[Member]{
		Type: memberType, Level: control.InTenant, Versions: versions, Async: control.Async{Create: 200},
		Put: p.join, Delete: p.leave,
	})
	p.routes(c)
}

// unfold brings the body of a PATCH into the form of a PUT: Azure's PatchManagementGroupRequest has displayName and parentGroupId
// beside each other and no properties. An absent or null member stays as it is.
func unfold(raw []byte) ([]byte, error) {
	var flat struct {
		DisplayName *string         `json:"displayName"`
		Parent      *string         `json:"parentGroupId"`
		Properties  json.RawMessage `json:"properties"`
	}
	err := json.Unmarshal(raw, &flat)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return nil, arm.Errorf(400, "BadRequest", "The member '%s' is not a string.", wrong.Field)
	}
	if err != nil || flat.Properties != nil || flat.DisplayName == nil && flat.Parent == nil {
		return raw, nil // what is no JSON is refused by the next reader
	}
	properties := map[string]any{}
	if flat.DisplayName != nil {
		properties["displayName"] = *flat.DisplayName
	}
	if flat.Parent != nil {
		properties["details"] = map[string]any{"parent": map[string]string{"id": *flat.Parent}}
	}
	return json.Marshal(map[string]any{"properties": properties})
}

func checkName(name string) *arm.Error {
	if regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_().-]{0,88}[A-Za-z0-9_()-])?$`).MatchString(name) {
		return nil
	}
	return arm.Errorf(400, "BadRequest", "The management group name '%.100s' is not valid: 1 to 90 letters, digits, '-', '_', '(', ')' and '.', not ending in '.'.", name)
}

func idOf(tenant, name string) arm.ID {
	return arm.ID{Tenant: strings.ToLower(tenant), Namespace: "Microsoft.Management", Types: []string{"managementGroups"}, Names: []string{name}}
}

// get reads a group; the root group needs no document.
func get(tx store.Tx, id arm.ID) (*control.Resource[Group], error) {
	if !strings.EqualFold(id.Name(), id.Tenant) {
		return control.Get[Group](tx, id)
	}
	return &control.Resource[Group]{Name: id.Tenant, ID: idOf(id.Tenant, id.Tenant).String(), Type: groupType, Tenant: id.Tenant,
		Properties: Group{TenantID: id.Tenant, DisplayName: "Tenant Root Group"}}, nil
}

func (p *provider) put(_ context.Context, w *control.Write[Group]) error {
	tenant, props := strings.ToLower(w.Caller.Primary.TenantID), &w.New.Properties
	if strings.EqualFold(w.ID.Name(), tenant) {
		return arm.Errorf(400, "BadRequest", "The tenant's root management group cannot be changed.")
	}
	props.TenantID = tenant
	if props.DisplayName == "" {
		props.DisplayName = w.ID.Name()
	}
	if props.Details == nil {
		props.Details = &Details{}
	}
	d := props.Details
	if d.Parent == nil || d.Parent.ID == "" {
		d.Parent = &Parent{ID: idOf(tenant, tenant).String()}
	}
	parent, err := arm.ParseID(d.Parent.ID)
	if err != nil || !strings.EqualFold(parent.Type(), groupType) {
		return arm.Errorf(400, "BadRequest", "The parent '%.300s' is not the ID of a management group.", d.Parent.ID)
	}
	parent.Tenant = tenant
	if err := p.placed(w, parent); err != nil {
		return err
	}
	if err := p.moved(w, parent); err != nil {
		return err
	}
	d.Parent.ID, d.Parent.Name = idOf(tenant, parent.Name()).String(), parent.Name()
	d.Version, d.UpdatedAt, d.UpdatedBy = d.Version+1, w.Now.UTC().Format(time.RFC3339Nano), w.Caller.Primary.ObjectID
	if w.Old != nil {
		return nil
	}
	return p.cfg.Grant(w.Tx, w.ID, owner, w.Caller.Primary, w.Now)
}

// placed checks where a group goes: the parent is there, the caller may write there, and it makes neither a ring nor a tower.
func (p *provider) placed(w *control.Write[Group], parent arm.ID) error {
	if _, err := get(w.Tx, parent); errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "NotFound", "The parent management group '%s' was not found.", parent.Name())
	} else if err != nil {
		return err
	}
	if err := p.rbac.Check(w.Tx, w.Caller.Primary, groupType+"/write", parent); err != nil {
		return err
	}
	above, err := p.rbac.Above(w.Tx, w.Caller.Primary.TenantID, parent.Key())
	if err != nil {
		return err
	}
	for _, k := range append(above, parent.Key()) {
		if k == w.ID.Key() {
			return arm.Errorf(409, "Conflict", "The management group '%s' cannot be put below itself.", w.ID.Name())
		}
	}
	if len(above) > maxLevels+1 { // the root group and the root scope among them
		return arm.Errorf(400, "BadRequest", "Management groups can be nested at most %d levels deep.", maxLevels)
	}
	return nil
}

// moved checks the move of a group that exists. It changes what is inherited by all that is in it, so Azure asks for the right
// to assign roles on the group and for a write at the parent it leaves; not at the root group, which covers every place. Source:
// the part on moving in Azure's "What are Azure management groups?".
func (p *provider) moved(w *control.Write[Group], to arm.ID) error {
	if w.Old == nil {
		return nil
	}
	root := idOf(to.Tenant, to.Tenant)
	from := root
	if d := w.Old.Properties.Details; d != nil && d.Parent != nil && d.Parent.Name != "" {
		from = idOf(to.Tenant, d.Parent.Name)
	}
	if from.Key() == to.Key() {
		return nil
	}
	if err := p.rbac.Check(w.Tx, w.Caller.Primary, assign, w.ID); err != nil || from.Key() == root.Key() {
		return err
	}
	return p.rbac.Check(w.Tx, w.Caller.Primary, groupType+"/write", from)
}

func remove(_ context.Context, w *control.Write[Group]) error {
	if strings.EqualFold(w.ID.Name(), w.ID.Tenant) {
		return arm.Errorf(400, "BadRequest", "The tenant's root management group cannot be deleted.")
	}
	all, err := control.Select[Group](w.Tx, store.Query{Kind: rbac.GroupKind, Prefix: idOf(w.ID.Tenant, "").Key()})
	if err != nil {
		return err
	}
	for _, g := range all {
		if d := g.Properties.Details; d != nil && d.Parent != nil && strings.EqualFold(d.Parent.Name, w.ID.Name()) {
			return arm.Errorf(400, "BadRequest", "The management group '%s' still has the child group '%s'.", w.ID.Name(), g.Name)
		}
	}
	members, err := w.Tx.List(store.Query{Kind: rbac.MemberKind, Prefix: w.ID.Key() + "/subscriptions/", Limit: 1})
	if err == nil && len(members) > 0 {
		return arm.Errorf(400, "BadRequest", "The management group '%s' still has subscriptions.", w.ID.Name())
	}
	return err
}

// join puts a subscription into a group, and takes it out of the one it was in.
func (p *provider) join(_ context.Context, w *control.Write[Member]) error {
	tenant, sub := w.Caller.Primary.TenantID, arm.ID{Subscription: w.ID.Name()}
	s, err := control.ReadSubscription(w.Tx, strings.ToLower(sub.Subscription))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil || !strings.EqualFold(s.Tenant, tenant) {
		return arm.Errorf(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", sub.Subscription)
	}
	if err := p.rbac.Check(w.Tx, w.Caller.Primary, assign, sub); err != nil {
		return err
	}
	all, err := w.Tx.List(store.Query{Kind: rbac.MemberKind, Prefix: idOf(tenant, "").Key()})
	if err != nil {
		return err
	}
	for _, d := range all {
		group, isIn := strings.CutSuffix(d.Key, "/subscriptions/"+strings.ToLower(s.ID))
		if isIn && d.Key != w.ID.Key() {
			// What the old group gives and denies ends here: it has a say.
			from := idOf(tenant, group[strings.LastIndexByte(group, '/')+1:])
			if err := p.rbac.Check(w.Tx, w.Caller.Primary, memberType+"/delete", from); err != nil {
				return err
			}
			if err := w.Tx.Delete(d.Key, 0); err != nil {
				return err
			}
		}
	}
	parent := w.ID.Parent()
	w.New.Properties.Tenant, w.New.Properties.DisplayName, w.New.Properties.State = tenant, s.Name, "Active"
	w.New.Properties.Parent = &Parent{ID: parent.String(), Name: parent.Name()}
	return nil
}

// leave takes a subscription out of a group, down to the root group: with the right to do so there, and to assign roles in the
// subscription, which loses what it inherited.
func (p *provider) leave(_ context.Context, w *control.Write[Member]) error {
	if err := p.rbac.Check(w.Tx, w.Caller.Primary, assign, arm.ID{Subscription: w.ID.Name()}); err != nil {
		return err
	}
	return p.rbac.Check(w.Tx, w.Caller.Primary, memberType+"/delete", w.ID.Parent())
}
