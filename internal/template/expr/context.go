package expr

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/tree"
)

// contextFunctions are the functions that ask about the deployment, its surroundings and its resources. Never written to.
var contextFunctions = map[string]function{
	"copyindex":       {min: 0, max: 2, eval: copyIndex},
	"deployer":        {eval: deployer},
	"deployment":      {eval: deployment, shared: true},
	"environment":     {eval: environment},
	"managementgroup": {eval: managementGroup},
	"newguid":         {eval: newGUID, initial: true},
	"pickzones":       {min: 3, max: 5, eval: pickZones},
	"parameters":      {min: 1, max: 1, eval: readParameter},
	"providers":       {min: 1, max: 2, eval: providers},
	"resourcegroup":   {eval: resourceGroup},
	"subscription":    {eval: subscription},
	"tenant":          {eval: tenant},
	"tologicalzone":   {min: 3, max: 3, eval: zone},
	"tologicalzones":  {min: 3, max: 3, eval: zones},
	"tophysicalzone":  {min: 3, max: 3, eval: zone},
	"tophysicalzones": {min: 3, max: 3, eval: zones},
	"utcnow":          {min: 0, max: 1, eval: utcNow, initial: true},
	"variables":       {min: 1, max: 1, eval: readVariable},
}

func readParameter(c *invocation) (any, error) {
	name, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	if f := c.ev.frame; f != nil {
		v, ok := f.arguments[tree.Fold(name)]
		if !ok {
			return nil, unknownParameter(name)
		}
		return v, nil
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
	name, err := c.Text(0)
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
	for i, a := range c.Args {
		switch a := a.(type) {
		case string:
			if i > 0 {
				return nil, c.Mistyped(i, "Integer")
			}
			name = a
		case int64:
			offset = a
		default:
			return nil, c.Mistyped(i, "Integer, String")
		}
	}
	for l := c.ev.loop; l != nil; l = l.outer {
		if name == "" || strings.EqualFold(l.name, name) {
			return l.index + offset, nil
		}
	}
	return nil, c.Fail("is not expected at this location. The function can only be used in a resource with copy specified, or names no copy loop around it")
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
	if e.SubscriptionID == "" {
		return nil, c.Fail("is not valid in a deployment at the scope of a tenant or a management group")
	}
	return tree.ObjectOf("id", e.subscriptionID(), "subscriptionId", e.SubscriptionID, "tenantId", e.TenantID, "displayName", e.SubscriptionName), nil
}

func tenant(c *invocation) (any, error) {
	return tree.ObjectOf("tenantId", c.ev.Env.TenantID, "id", "/tenants/"+c.ev.Env.TenantID), nil
}

func managementGroup(c *invocation) (any, error) {
	e := c.ev.Env
	if e.ManagementGroup == "" {
		return nil, c.Fail("is only valid in a deployment at the scope of a management group")
	}
	return tree.ObjectOf("id", e.Base(), "name", e.ManagementGroup, "type", managementGroupType,
		"properties", tree.ObjectOf("tenantId", e.TenantID)), nil
}

// deployer is who sent the deployment.
func deployer(c *invocation) (any, error) {
	d := c.ev.Env.Deployer
	o := tree.ObjectOf("objectId", d.ObjectID, "tenantId", d.TenantID)
	if d.Name != "" {
		o.Set("userPrincipalName", d.Name)
	}
	return o, nil
}

// pickZones answers what Azure does for regions without availability zones, since ours have none.
func pickZones(c *invocation) (any, error) {
	for i := range c.Args {
		var err error
		if i < 3 {
			_, err = c.Text(i)
		} else if n, wrong := c.Integer(i); wrong != nil || n < int64(4-i) || n > 3 {
			err = c.Fail("expects its parameter '%d' to be an integer of at most 3", i+1)
		}
		if err != nil {
			return nil, err
		}
	}
	return []any{}, nil
}

// zone answers what is documented for a zone that a region does not have: ours have none.
func zone(c *invocation) (any, error) {
	for i := range c.Args {
		if _, err := c.Text(i); err != nil {
			return nil, err
		}
	}
	return "", nil
}

// zones is zone for each of a list.
func zones(c *invocation) (any, error) {
	for i := range 2 {
		if _, err := c.Text(i); err != nil {
			return nil, err
		}
	}
	list, err := c.List(2)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(list))
	for i, v := range list {
		if _, ok := v.(string); !ok {
			return nil, c.Fail("expects an array of strings. An element is of type '%s'", tree.TypeName(v))
		}
		out[i] = ""
	}
	return out, nil
}

func providers(c *invocation) (any, error) {
	parts, err := c.idParts()
	if err != nil {
		return nil, err
	}
	parts = append(parts, "")
	var v any
	if c.ev.Env.Providers != nil {
		v = c.ev.Env.Providers(parts[0], parts[1])
	}
	if v == nil {
		return nil, c.Fail("names the provider or type '%s', which is not registered", strings.Trim(parts[0]+"/"+parts[1], "/"))
	}
	return tree.Adopt(v)
}

func resourceGroup(c *invocation) (any, error) {
	g := c.ev.Env.ResourceGroup
	if g.Name == "" {
		return nil, c.Fail("is only valid in a deployment to a resource group")
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
	properties := tree.NewObject()
	if e.TemplateLink != "" {
		properties.Set("templateLink", tree.ObjectOf("uri", e.TemplateLink))
	}
	properties.Set("template", c.ev.Template)
	properties.Set("templateHash", c.ev.Hash)
	if c.ev.Given != nil {
		properties.Set("parameters", c.ev.Given)
	}
	properties.Set("mode", mode)
	properties.Set("provisioningState", "Accepted")
	d.Set("properties", properties)
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

func utcNow(c *invocation) (any, error) {
	layout := "yyyyMMddTHHmmssZ"
	if c.Has(0) {
		var err error
		if layout, err = c.Text(0); err != nil {
			return nil, err
		}
	}
	return builtin.FormatTime(c.ev.Env.Now.UTC(), layout), nil
}
