package expr

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// idFunctions make IDs of resources. Never written to.
var idFunctions = map[string]function{
	"extensionresourceid":       {min: 3, max: -1, eval: extensionResourceID},
	"managementgroupresourceid": {min: 2, max: -1, eval: managementGroupResourceID},
	"resourceid":                {min: 2, max: -1, eval: resourceID},
	"subscriptionresourceid":    {min: 2, max: -1, eval: subscriptionResourceID},
	"tenantresourceid":          {min: 2, max: -1, eval: tenantResourceID},
}

func (e *Env) subscriptionID() string { return "/subscriptions/" + e.SubscriptionID }

const managementGroupType = "Microsoft.Management/managementGroups"

// Base is the ID below which the deployment's resources live; of a tenant it is "".
func (e *Env) Base() string {
	switch {
	case e.ManagementGroup != "":
		return "/providers/" + managementGroupType + "/" + e.ManagementGroup
	case e.SubscriptionID == "":
		return ""
	case e.ResourceGroup.Name == "":
		return e.subscriptionID()
	case e.ResourceGroup.ID != "":
		return e.ResourceGroup.ID
	}
	return e.subscriptionID() + "/resourceGroups/" + e.ResourceGroup.Name
}

// JoinID makes the ID of a resource below base: a type's segments and a name's segments in turn.
func JoinID(base, typ string, names []string) (string, bool) {
	segments := strings.Split(typ, "/")
	if len(segments) != len(names)+1 || slices.Contains(segments, "") || slices.Contains(names, "") {
		return "", false
	}
	id := strings.TrimSuffix(base, "/") + "/providers/" + segments[0]
	for i, name := range names {
		id += "/" + segments[i+1] + "/" + name
	}
	return id, true
}

// idParts returns all arguments, which must be strings.
func (c *invocation) idParts() ([]string, error) {
	parts := make([]string, len(c.Args))
	for i := range c.Args {
		s, err := c.Text(i)
		if err != nil {
			return nil, err
		}
		parts[i] = s
	}
	return parts, nil
}

// identify makes an ID of a type and its names.
func (c *invocation) identify(base string, parts []string) (any, error) {
	id, ok := JoinID(base, parts[0], parts[1:])
	if !ok {
		return nil, c.Fail("is not valid: the type '%s' requires '%d' resource name argument(s)", parts[0], strings.Count(parts[0], "/"))
	}
	return id, nil
}

// resourceID is resourceId([subscription, [group,]] type, name…): the type is the first argument with a slash.
func resourceID(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(parts, func(s string) bool { return strings.Contains(s, "/") })
	e := c.ev.Env
	base := e.Base()
	switch {
	case at > 0 && e.SubscriptionID == "" && e.ManagementGroup == "" && at == 1 && uuid.Validate(parts[0]) != nil:
		return nil, c.Fail("is not valid: a deployment to a tenant has no subscription, whose resource group '%s' could be", parts[0])
	case at == 1 && (e.ResourceGroup.Name != "" || uuid.Validate(parts[0]) != nil):
		base = e.subscriptionID() + "/resourceGroups/" + parts[0]
	case at == 1:
		base = "/subscriptions/" + parts[0]
	case at == 2:
		base = "/subscriptions/" + parts[0] + "/resourceGroups/" + parts[1]
	case at != 0:
		return nil, c.Fail("is not valid: it names no fully qualified resource type")
	}
	return c.identify(base, parts[at:])
}

func subscriptionResourceID(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	if strings.Contains(parts[0], "/") {
		if c.ev.Env.SubscriptionID == "" {
			return nil, c.Fail("needs the ID of a subscription in a deployment that is not in one")
		}
		return c.identify(c.ev.Env.subscriptionID(), parts)
	}
	return c.identify("/subscriptions/"+parts[0], parts[1:])
}

func managementGroupResourceID(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	group := c.ev.Env.ManagementGroup
	if !strings.Contains(parts[0], "/") {
		group, parts = parts[0], parts[1:]
	}
	if group == "" {
		return nil, c.Fail("needs the name of a management group in a deployment that is not at the scope of one")
	}
	return c.identify("/providers/"+managementGroupType+"/"+group, parts)
}

func tenantResourceID(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	return c.identify("", parts)
}

func extensionResourceID(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	return c.identify(parts[0], parts[1:])
}
