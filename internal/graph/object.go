package graph

import (
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
)

func (d *door) objectRoutes() []route {
	return []route{
		ask("directoryObjects/getByIds", d.byIDs), get("directoryObjects/{}", d.getObject),
		ask("directoryObjects/{}/checkMemberGroups", d.checkGroups), ask("directoryObjects/{}/checkMemberObjects", d.checkGroups),
		ask("directoryObjects/{}/getMemberGroups", d.memberGroups), ask("directoryObjects/{}/getMemberObjects", d.memberGroups),
		ask("servicePrincipals/{}/checkMemberGroups", d.checkGroups), ask("servicePrincipals/{}/checkMemberObjects", d.checkGroups),
		ask("servicePrincipals/{}/getMemberGroups", d.memberGroups), ask("servicePrincipals/{}/getMemberObjects", d.memberGroups),
		get("organization", d.organization), get("organization/{}", d.organization), get("domains", d.domains),
	}
}

// show makes an object ready, with its type.
func (d *door) show(c *call, o directory.Object) (*entity.Entity, error) {
	var e *entity.Entity
	var err error
	switch {
	case o.User != nil:
		e = entity.User(*o.User)
	case o.Group != nil:
		e = entity.Group(*o.Group)
	case o.ServicePrincipal != nil:
		e, err = d.showPrincipal(c, *o.ServicePrincipal)
	default:
		var domain string
		domain, err = d.domain(c)
		e = entity.Application(*o.Application, domain)
	}
	if err != nil {
		return nil, err
	}
	e.Typed = true
	return e, nil
}

// objects answers with the objects of a list of IDs; those that are gone are left out.
func (d *door) objects(c *call, ids []string) (answer, error) {
	if err := c.mayRead(c.self()); err != nil {
		return answer{}, err
	}
	var found []directory.Object
	for _, id := range ids {
		o, err := d.Directory.ObjectIn(c.tx, c.who.TenantID, id)
		if directory.IsMissing(err) {
			continue
		}
		if err != nil {
			return answer{}, err
		}
		found = append(found, o)
	}
	return d.showAll(c, found)
}

// self is the caller's own ID when the path is about the caller, who may always ask that.
func (c *call) self() string {
	if len(c.args) > 0 && strings.EqualFold(c.args[0], c.who.ObjectID) {
		return c.who.ObjectID
	}
	return ""
}

func (d *door) showAll(c *call, found []directory.Object) (answer, error) {
	var list []*entity.Entity
	for _, o := range found {
		e, err := d.show(c, o)
		if err != nil {
			return answer{}, err
		}
		list = append(list, e)
	}
	return c.listing("directoryObjects", entity.ObjectKind(), list)
}

func (d *door) object(c *call) (directory.Object, error) {
	if err := c.mayRead(c.self()); err != nil {
		return directory.Object{}, err
	}
	o, err := d.Directory.ObjectIn(c.tx, c.who.TenantID, c.args[0])
	if directory.IsMissing(err) {
		return o, wire.Missing(c.args[0])
	}
	return o, err
}

func (d *door) getObject(c *call) (answer, error) {
	o, err := d.object(c)
	if err != nil {
		return answer{}, err
	}
	e, err := d.show(c, o)
	return answer{entity: e, context: "directoryObjects"}, err
}

const maxIDs = 1000 // Graph's limit of getByIds

// byIDs finds the names for IDs, as az does for the list of role assignments. A principal without a role may ask for itself.
func (d *door) byIDs(c *call) (answer, error) {
	var ids, types []string
	if err := c.body.Fields(map[string]any{"ids": &ids, "types": &types}); err != nil {
		return answer{}, err
	}
	if len(ids) > maxIDs {
		return answer{}, wire.BadRequest("ids names more than %d objects.", maxIDs)
	}
	only := ""
	if len(ids) == 1 && strings.EqualFold(ids[0], c.who.ObjectID) {
		only = c.who.ObjectID
	}
	if err := c.mayRead(only); err != nil {
		return answer{}, err
	}
	var found []directory.Object
	seen := map[string]bool{}
	for _, id := range ids {
		o, err := d.Directory.ObjectIn(c.tx, c.who.TenantID, id)
		if directory.IsMissing(err) {
			continue
		}
		if err != nil {
			return answer{}, err
		}
		if !seen[o.ID()] && (len(types) == 0 || slices.ContainsFunc(types, func(t string) bool {
			return strings.EqualFold(t, o.Type()) || strings.EqualFold(t, "directoryObject")
		})) {
			seen[o.ID()] = true
			found = append(found, o)
		}
	}
	return d.allOf(c, found)
}

// allOf answers with everything: getByIds has no pages.
func (d *door) allOf(c *call, found []directory.Object) (answer, error) {
	value := []map[string]any{}
	for _, o := range found {
		e, err := d.show(c, o)
		if err != nil {
			return answer{}, err
		}
		value = append(value, e.Shown(c.query.Select, true))
	}
	return bare("directoryObjects", value), nil
}

// bare is an answer that is no entity: a list of values as they are.
func bare(context string, value any) answer {
	return answer{entity: entity.New(entity.Kind{Name: "value"}, map[string]any{"@odata.context": root + "$metadata#" + context, "value": value})}
}

// memberGroups lists the IDs of all groups that an object is in.
func (d *door) memberGroups(c *call) (answer, error) {
	o, err := d.object(c)
	if err != nil {
		return answer{}, err
	}
	return d.groupIDs(c, o.ID())
}

func (d *door) groupIDs(c *call, id string) (answer, error) {
	var securityOnly bool // all our groups are security groups
	if err := c.body.Fields(map[string]any{"securityEnabledOnly": &securityOnly}); err != nil {
		return answer{}, err
	}
	groups, err := d.Directory.MemberOf(c.tx, c.who.TenantID, id)
	return bare("Collection(Edm.String)", entity.Some(groups)), err
}

// checkGroups tells in which of some groups an object is, transitively.
func (d *door) checkGroups(c *call) (answer, error) {
	o, err := d.object(c)
	if err != nil {
		return answer{}, err
	}
	return d.among(c, o.ID())
}

func (d *door) among(c *call, id string) (answer, error) {
	var ids, groupIDs []string
	if err := c.body.Fields(map[string]any{"ids": &ids, "groupIds": &groupIDs}); err != nil {
		return answer{}, err
	}
	groups, err := d.Directory.MemberOf(c.tx, c.who.TenantID, id)
	in := []string{}
	for _, asked := range append(ids, groupIDs...) {
		if slices.Contains(groups, strings.ToLower(asked)) {
			in = append(in, strings.ToLower(asked))
		}
	}
	return bare("Collection(Edm.String)", in), err
}

func (d *door) userMemberGroups(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	return d.groupIDs(c, u.ObjectID)
}

func (d *door) userCheckGroups(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	return d.among(c, u.ObjectID)
}

// groupsOf lists the groups that an object is in, and the directory roles it holds, since those are directory objects of memberOf too.
func (d *door) groupsOf(c *call, id string, transitive bool) (answer, error) {
	find := d.Directory.DirectMemberOf
	if transitive {
		find = d.Directory.MemberOf
	}
	ids, err := find(c.tx, c.who.TenantID, id)
	if err != nil {
		return answer{}, err
	}
	roles, err := d.Directory.RolesOf(c.tx, c.who.TenantID, id)
	if err != nil {
		return answer{}, err
	}
	a, err := d.objects(c, ids)
	for _, name := range roles {
		if r, ok := directory.RoleByName(name); ok {
			e := entity.Role(c.who.TenantID, r)
			e.Typed = true
			a.list = append(a.list, e)
		}
	}
	return a, err
}

func (d *door) userGroups(transitive bool) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		u, err := d.user(c)
		if err != nil {
			return answer{}, err
		}
		c.args[0] = u.ObjectID
		return d.groupsOf(c, u.ObjectID, transitive)
	}
}

func (d *door) principalGroups(transitive bool) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		sp, err := d.principal(c)
		if err != nil {
			return answer{}, err
		}
		c.args[0] = sp.ObjectID
		return d.groupsOf(c, sp.ObjectID, transitive)
	}
}

func (d *door) groupGroups(transitive bool) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		g, err := d.group(c)
		if err != nil {
			return answer{}, err
		}
		return d.groupsOf(c, g.ObjectID, transitive)
	}
}

func (d *door) owned(c *call, id string) (answer, error) {
	c.args[0] = id
	if err := c.mayRead(c.self()); err != nil {
		return answer{}, err
	}
	found, err := d.Directory.OwnedIn(c.tx, c.who.TenantID, id)
	if err != nil {
		return answer{}, err
	}
	return d.showAll(c, found)
}

func (d *door) userOwned(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	return d.owned(c, u.ObjectID)
}

func (d *door) principalOwned(c *call) (answer, error) {
	sp, err := d.principal(c)
	if err != nil {
		return answer{}, err
	}
	return d.owned(c, sp.ObjectID)
}

// organization shows the tenant; everybody in it may ask.
func (d *door) organization(c *call) (answer, error) {
	t, err := d.Directory.TenantIn(c.tx, c.who.TenantID)
	if err != nil {
		return answer{}, err
	}
	if len(c.args) > 0 && !strings.EqualFold(c.args[0], t.ID) {
		return answer{}, wire.Missing(c.args[0])
	}
	domains, err := d.Directory.DomainsIn(c.tx, t.ID)
	if err != nil {
		return answer{}, err
	}
	e := entity.Organization(t, domains)
	if len(c.args) > 0 {
		return answer{entity: e, context: "organization"}, nil
	}
	return c.listing("organization", e.Kind, []*entity.Entity{e})
}

func (d *door) domains(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	domains, err := d.Directory.DomainsIn(c.tx, c.who.TenantID)
	if err != nil {
		return answer{}, err
	}
	k := entity.DomainKind()
	var list []*entity.Entity
	for _, domain := range domains {
		list = append(list, entity.Domain(domain))
	}
	return c.listing("domains", k, list)
}
