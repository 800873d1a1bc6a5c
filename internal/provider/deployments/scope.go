package deployments

import (
	"encoding/json"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

const managementGroupType = "Microsoft.Management/managementGroups"

func nestedIn(plan *template.Plan) int {
	n := 0
	for _, r := range plan.Resources {
		if strings.EqualFold(r.Type, deploymentType) {
			n++
		}
	}
	return n
}

// managementGroup is the name of the group at whose scope a deployment stands, or "".
func managementGroup(id arm.ID) string {
	scope, err := arm.ParseID(id.Scope)
	if err != nil || !strings.EqualFold(scope.Type(), managementGroupType) {
		return ""
	}
	return scope.Name()
}

// placed refuses a deployment on anything but a group, a subscription, a management group or the tenant.
func placed(id arm.ID) error {
	if len(id.Types) != 1 || id.Scope != "" && managementGroup(id) == "" {
		return arm.Errorf(404, "InvalidResourceType", "The resource type '%s' does not exist at the scope of '%s'.", deploymentType, id)
	}
	return nil
}

// deploymentOf is the deployment of a route's path.
func deploymentOf(c *control.Call) (arm.ID, error) {
	id, err := arm.ParseID(strings.TrimSuffix(c.Names["scope"], "/") + "/providers/" + deploymentType + "/" + c.Names["name"])
	if err != nil {
		return id, err
	}
	id = id.In(c.Caller.Primary.TenantID)
	return id, placed(id)
}

// find reads a deployment by its key.
func find(tx store.Tx, key string) (*control.Resource[Deployment], error) {
	id, err := arm.ParseKey(key)
	if err != nil {
		return nil, store.ErrNotFound
	}
	return control.Get[Deployment](tx, id)
}

// groupDocument is what a deployment reads of a resource group: nothing below its properties.
type groupDocument struct {
	Unknown armjson.Unknown `json:"-"`
}

// surroundings fills in what a template can ask about the scope of its deployment.
func surroundings(tx store.Tx, id arm.ID, env *template.Env) error {
	switch {
	case id.ResourceGroup != "":
		group, err := control.Get[groupDocument](tx, id.Group())
		if errors.Is(err, store.ErrNotFound) {
			return arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.ResourceGroup)
		}
		if err != nil {
			return err
		}
		env.ResourceGroup = template.ResourceGroup{Name: group.Name, Location: group.Location, ID: group.ID, Tags: group.Tags}
	case id.Scope != "":
		env.ManagementGroup = managementGroup(id)
		if _, err := tx.Get(id.Parent().Key()); errors.Is(err, store.ErrNotFound) {
			return arm.Errorf(404, "NotFound", "The management group '%s' cannot be found.", env.ManagementGroup)
		} else if err != nil {
			return err
		}
	}
	if id.Subscription == "" {
		return nil
	}
	s, err := control.ReadSubscription(tx, id.Subscription)
	env.SubscriptionID, env.SubscriptionName = id.Subscription, s.Name
	return err
}

// located checks the location of a deployment, which all but those to a resource group have.
func located(id arm.ID, location string) (string, error) {
	if id.ResourceGroup != "" {
		return "", nil
	}
	if location == "" {
		return "", arm.Errorf(400, "InvalidDeployment", "The 'location' property must be specified for '%s'. Please see https://aka.ms/deploy-to-subscription for usage details.", id.Name()).At("location")
	}
	l, ok := arm.LocationOf(location)
	if !ok {
		return "", arm.Errorf(400, "LocationNotAvailableForDeployment", "The provided location '%.80s' is not available for deployment.", location).At("location")
	}
	return l.Name, nil
}

// providersOf answers providers() and the like: what the manifest says of a namespace, or of one type.
func (p *Provider) providersOf(namespace, typ string) any {
	type entry struct {
		Type     string        `json:"resourceType"`
		Places   []string      `json:"locations"`
		Versions []arm.Version `json:"apiVersions"`
	}
	var regions []string
	for _, l := range arm.Locations() {
		regions = append(regions, l.DisplayName)
	}
	for ns, types := range p.control.Namespaces() {
		if !strings.EqualFold(ns, namespace) {
			continue
		}
		var all []entry
		for _, t := range types {
			e := entry{t.Name, regions, t.Versions}
			if strings.EqualFold(t.Name, typ) {
				return e
			}
			all = append(all, e)
		}
		if typ == "" {
			return map[string]any{"namespace": ns, "resourceTypes": all}
		}
	}
	return nil
}

// mustJSON is for values that always are JSON.
func mustJSON(v any) json.RawMessage { raw, _ := json.Marshal(v); return raw }
