package graph

import (
	"slices"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
)

func (d *door) objectRoutes() []rest.Route {
	all := []rest.Route{
		rest.Ask("directoryObjects/getByIds", d.byIDs), rest.Get("directoryObjects/{}", d.getObject),
		rest.Get("organization", d.organization), rest.Get("organization/{}", d.organization), rest.Get("domains", d.domains),
		rest.Ask("me/getMemberGroups", d.me(of(d.userEnd, d.memberGroups))), rest.Ask("me/checkMemberGroups", d.me(of(d.userEnd, d.checkGroups))),
	}
	for path, find := range map[string]end{"directoryObjects/{}": d.objectEnd, "servicePrincipals/{}": d.objectEnd, "groups/{}": d.objectEnd, "users/{}": d.userEnd} {
		list, check := of(find, d.memberGroups), of(find, d.checkGroups)
		all = append(all, rest.Ask(path+"/getMemberGroups", list), rest.Ask(path+"/getMemberObjects", list),
			rest.Ask(path+"/checkMemberGroups", check), rest.Ask(path+"/checkMemberObjects", check))
	}
	return all
}

// end finds the object ID of what the first key of the path names.
type end func(*rest.Call) (string, error)

func (d *door) objectEnd(c *rest.Call) (string, error) {
	o, err := d.object(c)
	return o.ID(), err
}

func (d *door) principalEnd(c *rest.Call) (string, error) {
	sp, err := d.principal(c)
	return sp.ObjectID, err
}

func (d *door) userEnd(c *rest.Call) (string, error) {
	u, err := d.user(c)
	return u.ObjectID, err
}

func (d *door) groupEnd(c *rest.Call) (string, error) {
	g, err := d.group(c)
	return g.ObjectID, err
}

// of answers about the object that the path names, which from there on goes by its ID.
func of(find end, about func(c *rest.Call, id string) (rest.Answer, error)) rest.Handler {
	return func(c *rest.Call) (rest.Answer, error) {
		id, err := find(c)
		if err != nil {
			return rest.Answer{}, err
		}
		c.Args[0] = id
		return about(c, id)
	}
}

// show makes an object ready, with its type.
func (d *door) show(c *rest.Call, o directory.Object) (*entity.Entity, error) {
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
func (d *door) objects(c *rest.Call, ids []string) (rest.Answer, error) {
	if err := c.MayRead(c.Self()); err != nil {
		return rest.Answer{}, err
	}
	var found []directory.Object
	for _, id := range ids {
		o, err := d.objectIn(c, id)
		if directory.IsMissing(err) {
			continue
		}
		if err != nil {
			return rest.Answer{}, err
		}
		found = append(found, o)
	}
	return d.showAll(c, found)
}

func (d *door) showAll(c *rest.Call, found []directory.Object) (rest.Answer, error) {
	var list []*entity.Entity
	for _, o := range found {
		e, err := d.show(c, o)
		if err != nil {
			return rest.Answer{}, err
		}
		list = append(list, e)
	}
	return c.Listing("directoryObjects", entity.ObjectKind(), list)
}

// objectIn is the directory's ObjectIn with Microsoft's own service principals.
func (d *door) objectIn(c *rest.Call, id string) (directory.Object, error) {
	o, err := d.Directory.ObjectIn(c.Tx, c.Who.TenantID, id)
	if directory.IsMissing(err) {
		if p, found := d.consents().Principal(c.Tx, c.Who.TenantID, id); found == nil {
			return directory.Object{ServicePrincipal: &p.ServicePrincipal}, nil
		}
	}
	return o, err
}

func (d *door) object(c *rest.Call) (directory.Object, error) {
	if err := c.MayRead(c.Self()); err != nil {
		return directory.Object{}, err
	}
	o, err := d.objectIn(c, c.Args[0])
	if directory.IsMissing(err) {
		return o, wire.Missing(c.Args[0])
	}
	return o, err
}

func (d *door) getObject(c *rest.Call) (rest.Answer, error) {
	o, err := d.object(c)
	if err != nil {
		return rest.Answer{}, err
	}
	e, err := d.show(c, o)
	return rest.Answer{Entity: e, Context: "directoryObjects"}, err
}

const maxIDs = 1000 // Graph's limit of getByIds

// byIDs finds the names for IDs, as az does for the list of role assignments. A principal without a role may ask for itself.
func (d *door) byIDs(c *rest.Call) (rest.Answer, error) {
	var ids, types []string
	if err := c.Body.Fields(map[string]any{"ids": &ids, "types": &types}); err != nil {
		return rest.Answer{}, err
	}
	if len(ids) > maxIDs {
		return rest.Answer{}, wire.BadRequest("ids names more than %d objects.", maxIDs)
	}
	only := ""
	if len(ids) == 1 && strings.EqualFold(ids[0], c.Who.ObjectID) {
		only = c.Who.ObjectID
	}
	if err := c.MayRead(only); err != nil {
		return rest.Answer{}, err
	}
	var found []directory.Object
	seen := map[string]bool{}
	for _, id := range ids {
		o, err := d.objectIn(c, id)
		if directory.IsMissing(err) {
			continue
		}
		if err != nil {
			return rest.Answer{}, err
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
func (d *door) allOf(c *rest.Call, found []directory.Object) (rest.Answer, error) {
	value := []map[string]any{}
	for _, o := range found {
		e, err := d.show(c, o)
		if err != nil {
			return rest.Answer{}, err
		}
		value = append(value, e.Shown(c.Query.Select, true))
	}
	return bare("directoryObjects", value), nil
}

// bare is an answer that is no entity: a list of values as they are.
func bare(context string, value any) rest.Answer {
	return rest.Answer{Entity: entity.New(entity.Kind{Name: "value"}, map[string]any{"@odata.context": rest.Root + "$metadata#" + context, "value": value})}
}

// memberGroups lists the IDs of all groups that an object is in.
func (d *door) memberGroups(c *rest.Call, id string) (rest.Answer, error) {
	var securityOnly bool // all our groups are security groups
	if err := c.Body.Fields(map[string]any{"securityEnabledOnly": &securityOnly}); err != nil {
		return rest.Answer{}, err
	}
	groups, err := d.Directory.MemberOf(c.Tx, c.Who.TenantID, id)
	return bare("Collection(Edm.String)", entity.Some(groups)), err
}

// checkGroups tells in which of some groups an object is, transitively.
func (d *door) checkGroups(c *rest.Call, id string) (rest.Answer, error) {
	var ids, groupIDs []string
	if err := c.Body.Fields(map[string]any{"ids": &ids, "groupIds": &groupIDs}); err != nil {
		return rest.Answer{}, err
	}
	groups, err := d.Directory.MemberOf(c.Tx, c.Who.TenantID, id)
	in := []string{}
	for _, asked := range append(ids, groupIDs...) {
		if slices.Contains(groups, strings.ToLower(asked)) {
			in = append(in, strings.ToLower(asked))
		}
	}
	return bare("Collection(Edm.String)", in), err
}

// groupsOf lists the groups that an object is in, and the directory roles it holds, since those are directory objects of memberOf too.
func (d *door) groupsOf(find end, transitive bool) rest.Handler {
	memberOf := d.Directory.DirectMemberOf
	if transitive {
		memberOf = d.Directory.MemberOf
	}
	return of(find, func(c *rest.Call, id string) (rest.Answer, error) {
		ids, err := memberOf(c.Tx, c.Who.TenantID, id)
		if err != nil {
			return rest.Answer{}, err
		}
		roles, err := d.Directory.RolesOf(c.Tx, c.Who.TenantID, id)
		if err != nil {
			return rest.Answer{}, err
		}
		a, err := d.objects(c, ids)
		for _, name := range roles {
			if r, ok := directory.RoleByName(name); ok {
				e := entity.Role(c.Who.TenantID, r)
				e.Typed = true
				a.List = append(a.List, e)
			}
		}
		return a, err
	})
}

func (d *door) owned(c *rest.Call, id string) (rest.Answer, error) {
	if err := c.MayRead(c.Self()); err != nil {
		return rest.Answer{}, err
	}
	found, err := d.Directory.OwnedIn(c.Tx, c.Who.TenantID, id)
	if err != nil {
		return rest.Answer{}, err
	}
	return d.showAll(c, found)
}

// organization shows the tenant; everybody in it may ask.
func (d *door) organization(c *rest.Call) (rest.Answer, error) {
	t, err := d.Directory.TenantIn(c.Tx, c.Who.TenantID)
	if err != nil {
		return rest.Answer{}, err
	}
	if len(c.Args) > 0 && !strings.EqualFold(c.Args[0], t.ID) {
		return rest.Answer{}, wire.Missing(c.Args[0])
	}
	domains, err := d.Directory.DomainsIn(c.Tx, t.ID)
	if err != nil {
		return rest.Answer{}, err
	}
	e := entity.Organization(t, domains)
	if len(c.Args) > 0 {
		return rest.Answer{Entity: e, Context: "organization"}, nil
	}
	return c.Listing("organization", e.Kind, []*entity.Entity{e})
}

func (d *door) domains(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	domains, err := d.Directory.DomainsIn(c.Tx, c.Who.TenantID)
	if err != nil {
		return rest.Answer{}, err
	}
	k := entity.DomainKind()
	var list []*entity.Entity
	for _, domain := range domains {
		list = append(list, entity.Domain(domain))
	}
	return c.Listing("domains", k, list)
}
