package expr

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/template/tree"
)

// contextFunctions are the functions that ask about the deployment, its surroundings and its resources. Never written to.
var contextFunctions = map[string]function{
	"copyindex":              {min: 0, max: 2, eval: copyIndex},
	"deployment":             {eval: deployment},
	"environment":            {eval: environment},
	"extensionresourceid":    {min: 3, max: -1, eval: extensionResourceID},
	"newguid":                {eval: newGUID, initial: true},
	"parameters":             {min: 1, max: 1, eval: readParameter},
	"reference":              {min: 1, max: 3, eval: reference, late: true},
	"resourcegroup":          {eval: resourceGroup},
	"resourceid":             {min: 2, max: -1, eval: resourceID},
	"subscription":           {eval: subscription},
	"subscriptionresourceid": {min: 2, max: -1, eval: subscriptionResourceID},
	"tenant":                 {eval: tenant},
	"tenantresourceid":       {min: 2, max: -1, eval: tenantResourceID},
	"variables":              {min: 1, max: 1, eval: readVariable},
}

func readParameter(c *invocation) (any, error) {
	name, err := c.text(0)
	if err != nil {
		return nil, err
	}
	v, ok, err := c.ev.Parameters.Get(name)
	if err == nil && !ok {
		err = unknownParameter(name)
	}
	return v, err
}

func unknownParameter(name string) error {
	return fmt.Errorf("The template parameter '%s' is not found. Please see https://aka.ms/arm-syntax-parameters for usage details", name)
}

func unknownVariable(name string) error {
	return fmt.Errorf("The template variable '%s' is not found. Please see https://aka.ms/arm-syntax-variables for usage details", name)
}

func readVariable(c *invocation) (any, error) {
	name, err := c.text(0)
	if err != nil {
		return nil, err
	}
	v, ok, err := c.ev.Variables.Get(name)
	if err == nil && !ok {
		err = unknownVariable(name)
	}
	return v, err
}

// copyIndex is the number of the iteration, of the innermost loop or of the one named.
func copyIndex(c *invocation) (any, error) {
	name, offset := "", int64(0)
	for i, a := range c.args {
		switch a := a.(type) {
		case string:
			if i > 0 {
				return nil, c.mistyped(i, "Integer")
			}
			name = a
		case int64:
			offset = a
		default:
			return nil, c.mistyped(i, "Integer, String")
		}
	}
	for l := c.ev.loop; l != nil; l = l.outer {
		if name == "" || strings.EqualFold(l.name, name) {
			return l.index + offset, nil
		}
	}
	return nil, c.fail("is not expected at this location. The function can only be used in a resource with copy specified, or names no copy loop around it")
}

// newGUID differs between deployments and stays the same when a plan is made again: see Env.Seed.
func newGUID(c *invocation) (any, error) {
	c.ev.guids++
	mac := hmac.New(sha256.New, []byte(c.ev.Env.Seed))
	fmt.Fprintf(mac, "newGuid %d", c.ev.guids)
	id, err := uuid.FromBytes(mac.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String(), err
}

func subscription(c *invocation) (any, error) {
	e := c.ev.Env
	return tree.ObjectOf("id", e.subscriptionID(), "subscriptionId", e.SubscriptionID, "tenantId", e.TenantID, "displayName", e.SubscriptionName), nil
}

func tenant(c *invocation) (any, error) {
	return tree.ObjectOf("tenantId", c.ev.Env.TenantID, "id", "/tenants/"+c.ev.Env.TenantID), nil
}

func resourceGroup(c *invocation) (any, error) {
	g := c.ev.Env.ResourceGroup
	if g.Name == "" {
		return nil, c.fail("is not valid in a deployment at subscription scope")
	}
	tags := tree.NewObject()
	for _, name := range sortedKeys(g.Tags) {
		tags.Set(name, g.Tags[name])
	}
	return tree.ObjectOf("id", c.ev.Env.Base(), "name", g.Name, "type", "Microsoft.Resources/resourceGroups", "location", g.Location,
		"tags", tags, "properties", tree.ObjectOf("provisioningState", "Succeeded")), nil
}

func sortedKeys(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func deployment(c *invocation) (any, error) {
	e := c.ev.Env
	d := tree.ObjectOf("name", e.DeploymentName)
	if e.ResourceGroup.Name == "" {
		d.Set("location", e.Location)
	}
	mode := e.Mode
	if mode == "" {
		mode = "Incremental"
	}
	d.Set("properties", tree.ObjectOf("templateHash", c.ev.Hash, "mode", mode, "provisioningState", "Accepted"))
	return d, nil
}

// environment describes Azure's public cloud, whose names this server answers for, as the function's reference does.
func environment(*invocation) (any, error) {
	return tree.ObjectOf(
		"name", "AzureCloud",
		"gallery", "https://gallery.azure.com/",
		"graph", "https://graph.windows.net/",
		"portal", "https://portal.azure.com",
		"graphAudience", "https://graph.windows.net/",
		"resourceManager", "https://management.azure.com/",
		"sqlManagement", "https://management.core.windows.net:8443/",
		"authentication", tree.ObjectOf(
			"loginEndpoint", "https://login.microsoftonline.com/",
			"audiences", []any{"https://management.core.windows.net/", "https://management.azure.com/"},
			"tenant", "common",
			"identityProvider", "AAD"),
		"suffixes", tree.ObjectOf(
			"acrLoginServer", ".azurecr.io",
			"keyvaultDns", ".vault.azure.net",
			"sqlServerHostname", ".database.windows.net",
			"storage", "core.windows.net"),
	), nil
}

func (e *Env) subscriptionID() string { return "/subscriptions/" + e.SubscriptionID }

// Base is the ID below which the deployment's resources live.
func (e *Env) Base() string {
	switch {
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
	parts := make([]string, len(c.args))
	for i := range c.args {
		s, err := c.text(i)
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
		return nil, c.fail("is not valid: the type '%s' requires '%d' resource name argument(s)", parts[0], strings.Count(parts[0], "/"))
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
	case at == 1 && (e.ResourceGroup.Name != "" || uuid.Validate(parts[0]) != nil):
		base = e.subscriptionID() + "/resourceGroups/" + parts[0]
	case at == 1:
		base = "/subscriptions/" + parts[0]
	case at == 2:
		base = "/subscriptions/" + parts[0] + "/resourceGroups/" + parts[1]
	case at != 0:
		return nil, c.fail("is not valid: it names no fully qualified resource type")
	}
	return c.identify(base, parts[at:])
}

func subscriptionResourceID(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	if strings.Contains(parts[0], "/") {
		return c.identify(c.ev.Env.subscriptionID(), parts)
	}
	return c.identify("/subscriptions/"+parts[0], parts[1:])
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

// Find resolves what reference() and list*() call a resource: an ID, or the name of one in the template.
func (ev *Evaluator) Find(name string) (Target, bool) {
	t, ok := ev.Declared[tree.Fold(name)]
	switch {
	case ok:
		return t, !t.Ambiguous
	case strings.HasPrefix(name, "/"):
		return Target{ID: name, Index: -1}, true
	}
	// Type and name in turn without a scope: a resource beside those of the deployment.
	if segments := strings.Split(name, "/"); len(segments) >= 3 && len(segments)%2 == 1 && strings.Contains(segments[0], ".") {
		return Target{ID: ev.Env.Base() + "/providers/" + name, Index: -1}, true
	}
	return Target{}, false
}

// subject is the resource that a late function is about, with the api-version to read it with.
func (c *invocation) subject() (Target, error) {
	name, err := c.text(0)
	if err != nil {
		return Target{}, err
	}
	t, ok := c.ev.Find(name)
	if !ok {
		return Target{}, fmt.Errorf("The resource '%s' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details", name)
	}
	if c.has(1) && c.args[1] != nil {
		t.APIVersion, err = c.text(1)
	}
	return t, err
}

func reference(c *invocation) (any, error) {
	t, err := c.subject()
	if err != nil {
		return nil, err
	}
	full := false
	if c.has(2) {
		mode, err := c.text(2)
		if err != nil || !strings.EqualFold(mode, "full") {
			return nil, c.fail("expects its parameter '3' to be 'Full'")
		}
		full = true
	}
	if c.ev.Runtime == nil {
		return nil, c.fail("is not expected at this location")
	}
	v, err := c.ev.Runtime.Reference(t.ID, t.APIVersion, full)
	if err != nil {
		return nil, &RuntimeFailure{err}
	}
	return tree.Adopt(v)
}

func list(c *invocation) (any, error) {
	t, err := c.subject()
	if err != nil {
		return nil, err
	}
	var body any
	if c.has(2) {
		body = c.args[2]
	}
	if c.ev.Runtime == nil {
		return nil, c.fail("is not expected at this location")
	}
	v, err := c.ev.Runtime.List(c.name, t.ID, t.APIVersion, body)
	if err != nil {
		return nil, &RuntimeFailure{err}
	}
	return tree.Adopt(v)
}
