package arm

import (
	"strings"
	"unicode/utf8"

	"vitrine/internal/pattern"
)

// ID names a resource. The zero ID is the tenant root "/". Case is kept as given; Key compares.
type ID struct {
	Tenant        string // whose it is, lower case: set for what is in no subscription, so that tenants never share a key
	Scope         string // of an extension resource: what it hangs on, as a path; else empty
	Subscription  string
	ResourceGroup string
	Namespace     string   // "Microsoft.Compute"; empty for subscriptions and resource groups
	Types         []string // "galleries", "images", "versions"
	Names         []string // as many as Types
}

// Path is a request's path: an ID and, when a collection or an action follows, its name in Tail.
type Path struct {
	ID   ID
	Tail string // "versions" of ….../images/d/versions; "start" of …/virtualMachines/m/start; else empty
}

const maxPath = 1400 // bytes, also in lower case: an ID must fit into a key of the store

var (
	guid    = pattern.New(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	segment = pattern.New(`^[^\x00-\x1f\x7f/\\?#%&<>]{1,260}$`)
)

// IsGUID reports whether s has the form of a GUID.
func IsGUID(s string) bool { return guid.MatchString(s) }

// ParseID reads a complete resource ID; it refuses one with a tail.
func ParseID(s string) (ID, error) {
	p, err := ParsePath(s)
	if err != nil {
		return ID{}, err
	}
	if p.Tail != "" || !strings.HasPrefix(s, "/") {
		return ID{}, Errorf(400, "LinkedInvalidPropertyId", "Property id '%s' at path '' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", s)
	}
	return p.ID, nil
}

// ParsePath reads a request path. Doubled and trailing slashes are tolerated since az sends both; the short form
// …/resourcegroups/g/deployments of `az deployment operation` gets its missing providers/Microsoft.Resources.
func ParsePath(s string) (Path, error) {
	if len(s) > maxPath || len(strings.ToLower(s)) > maxPath { // some letters have more bytes in lower case
		return Path{}, Errorf(414, "InvalidRequestUri", "The request URI is longer than %d characters.", maxPath)
	}
	if !utf8.ValidString(s) {
		return Path{}, Errorf(400, "InvalidRequestUri", "The request URI is not UTF-8.")
	}
	var parts []string
	for p := range strings.SplitSeq(s, "/") {
		if p == "" {
			continue
		}
		if !segment.MatchString(p) || p == "." || p == ".." {
			return Path{}, Errorf(400, "InvalidRequestUri", "The request URI has the segment '%s', which is not a name.", printable(p))
		}
		parts = append(parts, p)
	}
	return parse(parts)
}

func parse(parts []string) (Path, error) {
	var p Path
	rest := parts
	if len(rest) >= 2 && strings.EqualFold(rest[0], "subscriptions") {
		p.ID.Subscription, rest = rest[1], rest[2:]
		if len(rest) >= 2 && strings.EqualFold(rest[0], "resourceGroups") {
			p.ID.ResourceGroup, rest = rest[1], rest[2:]
			if len(rest) > 0 && strings.EqualFold(rest[0], "deployments") {
				rest = append([]string{"providers", "Microsoft.Resources"}, rest...)
			}
		}
	}
	for len(rest) > 0 {
		if !strings.EqualFold(rest[0], "providers") || len(rest) < 3 {
			return Path{ID: p.ID, Tail: strings.Join(rest, "/")}, nil
		}
		if p.ID.Namespace != "" {
			p.ID = ID{Scope: p.ID.String(), Subscription: p.ID.Subscription, ResourceGroup: p.ID.ResourceGroup}
		}
		p.ID.Namespace, rest = rest[1], rest[2:]
		for len(rest) >= 2 && !strings.EqualFold(rest[0], "providers") {
			p.ID.Types, p.ID.Names = append(p.ID.Types, rest[0]), append(p.ID.Names, rest[1])
			rest = rest[2:]
		}
		if len(rest) == 1 {
			p.Tail, rest = rest[0], nil
		}
	}
	return p, nil
}

// String gives the ID with the segments' names as ARM writes them.
func (id ID) String() string {
	var b strings.Builder
	if id.Scope != "" {
		b.WriteString(id.Scope)
	} else {
		if id.Subscription != "" {
			b.WriteString("/subscriptions/" + id.Subscription)
		}
		if id.ResourceGroup != "" {
			b.WriteString("/resourceGroups/" + id.ResourceGroup)
		}
	}
	if id.Namespace != "" {
		b.WriteString("/providers/" + id.Namespace)
		for i, t := range id.Types {
			b.WriteString("/" + t + "/" + id.Names[i])
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// In is id as the tenant has it: what is in no subscription is the tenant's own.
func (id ID) In(tenant string) ID {
	if id.Subscription == "" {
		id.Tenant = strings.ToLower(tenant)
	}
	return id
}

// Key is the ID in the form that is compared and stored: lower case. What is in no subscription is keyed below its tenant.
func (id ID) Key() string {
	key := strings.ToLower(id.String())
	if id.Tenant == "" || id.Subscription != "" {
		return key
	}
	return "/tenants/" + strings.ToLower(id.Tenant) + strings.TrimSuffix(key, "/")
}

// ParseKey reads what Key made.
func ParseKey(key string) (ID, error) {
	tenant := ""
	if rest, ok := strings.CutPrefix(key, "/tenants/"); ok {
		tenant, key, _ = strings.Cut(rest, "/")
		key = "/" + key
	}
	id, err := ParseID(key)
	id.Tenant = tenant
	return id, err
}

// Type is the resource type, such as "Microsoft.Compute/galleries/images".
func (id ID) Type() string {
	switch {
	case id.Namespace != "":
		return strings.Join(append([]string{id.Namespace}, id.Types...), "/")
	case id.ResourceGroup != "":
		return "Microsoft.Resources/resourceGroups"
	case id.Subscription != "":
		return "Microsoft.Resources/subscriptions"
	}
	return "Microsoft.Resources/tenants"
}

// Name is the last name.
func (id ID) Name() string {
	switch {
	case len(id.Names) > 0:
		return id.Names[len(id.Names)-1]
	case id.ResourceGroup != "":
		return id.ResourceGroup
	}
	return id.Subscription
}

// Parent is the resource that holds id: the next outer resource of a child, the group of a tracked resource, the
// subscription of a group, the root of a subscription.
func (id ID) Parent() ID {
	switch n := len(id.Names); {
	case n > 1:
		id.Types, id.Names = id.Types[:n-1:n-1], id.Names[:n-1:n-1]
		return id
	case id.Scope != "":
		p, err := ParsePath(id.Scope)
		if err != nil {
			return ID{}
		}
		p.ID.Tenant = id.Tenant
		return p.ID
	case id.Namespace != "":
		return ID{Tenant: id.Tenant, Subscription: id.Subscription, ResourceGroup: id.ResourceGroup}
	case id.ResourceGroup != "":
		return ID{Subscription: id.Subscription}
	}
	return ID{Tenant: id.Tenant}
}

// Child names a resource below id: a nested type, or for a group or subscription "Namespace/type".
func (id ID) Child(typ, name string) ID {
	if ns, t, ok := strings.Cut(typ, "/"); ok && id.Namespace == "" {
		return ID{Tenant: id.Tenant, Subscription: id.Subscription, ResourceGroup: id.ResourceGroup, Namespace: ns, Types: []string{t}, Names: []string{name}}
	}
	n := len(id.Names)
	id.Types, id.Names = append(id.Types[:n:n], typ), append(id.Names[:n:n], name)
	return id
}

// Group is the resource group that holds id, or the zero ID.
func (id ID) Group() ID { return ID{Subscription: id.Subscription, ResourceGroup: id.ResourceGroup} }

// Scopes lists the keys of id and of everything that holds it, from the root "/" downwards.
func (id ID) Scopes() []string {
	var up []string
	for cur := id; ; cur = cur.Parent() {
		up = append(up, cur.Key())
		if cur.String() == "/" {
			break
		}
	}
	for i, j := 0, len(up)-1; i < j; i, j = i+1, j-1 {
		up[i], up[j] = up[j], up[i]
	}
	return up
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
}
