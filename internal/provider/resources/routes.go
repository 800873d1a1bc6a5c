package resources

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// routes adds the paths that are not resources.
func (p *Provider) routes() {
	get, post := http.MethodGet, http.MethodPost
	for _, r := range []control.Route{
		{Method: get, Pattern: "/tenants", Do: p.tenants},
		{Method: get, Pattern: "/subscriptions", Do: subscriptions},
		{Method: get, Pattern: "/subscriptions/{subscription}", Do: subscription},
		{Method: get, Pattern: "/subscriptions/{subscription}/locations", Do: within(locations)},
		{Method: get, Pattern: "/subscriptions/{subscription}/providers", Do: within(manifests)},
		{Method: get, Pattern: "/subscriptions/{subscription}/providers/{namespace}", Do: within(manifest)},
		{Method: post, Pattern: "/subscriptions/{subscription}/providers/{namespace}/register", Do: register(true)},
		{Method: post, Pattern: "/subscriptions/{subscription}/providers/{namespace}/unregister", Do: register(false)},
		{Method: get, Pattern: "/subscriptions/{subscription}/providers/{namespace}/providerPermissions", Do: within(providerPermissions)},
		{Method: get, Pattern: "/providers/Microsoft.Authorization/providerOperations", Do: providerOperations},
		{Method: get, Pattern: "/providers/Microsoft.Authorization/providerOperations/{namespace}", Do: providerOperations},
		{Method: get, Pattern: "/providers", Do: tenantManifests},
		{Method: get, Pattern: "/providers/{namespace}", Do: tenantManifest},
		{Method: get, Pattern: "/providers/{namespace}/operations", Do: operations},
		{Method: post, Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/moveResources", Right: moveRight, Do: moveResources},
		{Method: post, Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/validateMoveResources", Right: moveRight, Do: moveResources},
		{Method: post, Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/exportTemplate", Do: exportGroup, Alone: true},
		{Method: get, Pattern: "/subscriptions/{subscription}/resources", Do: within(listResources)},
		{Method: get, Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/resources", Do: within(listResources)},
	} {
		p.control.Handle(r)
	}
	for _, r := range append(tagRoutes(), tagNameRoutes()...) {
		p.control.Handle(r)
	}
}

type tenantView struct {
	ID          string   `json:"id"`
	TenantID    string   `json:"tenantId"`
	Category    string   `json:"tenantCategory"`
	DisplayName string   `json:"displayName,omitempty"`
	Domain      string   `json:"defaultDomain,omitempty"`
	Domains     []string `json:"domains,omitempty"`
}

// tenants lists where the caller is: a service principal in its own tenant only, a person at home and wherever a tenant has it as a
// guest.
func (p *Provider) tenants(_ context.Context, c *control.Call) (any, error) {
	caller := c.Caller.Primary
	if caller.Kind != authn.User || p.directory == nil {
		return control.Values([]tenantView{{ID: "/tenants/" + caller.TenantID, TenantID: caller.TenantID, Category: "Home"}}), nil
	}
	found, err := p.directory.TenantsOfIn(c.Tx, caller.HomeTenant, caller.HomeObject)
	if err != nil {
		return nil, err
	}
	var views []tenantView
	for _, t := range found {
		v := tenantView{ID: "/tenants/" + t.ID, TenantID: t.ID, Category: "Home", DisplayName: t.Name}
		domains, err := p.directory.DomainsIn(c.Tx, t.ID)
		if err != nil {
			return nil, err
		}
		for _, d := range domains {
			v.Domains = append(v.Domains, d.Name)
		}
		if len(domains) > 0 {
			v.Domain = v.Domains[0]
		}
		views = append(views, v)
	}
	return control.Values(views), nil
}

type subscriptionView struct {
	ID                  string            `json:"id"`
	AuthorizationSource string            `json:"authorizationSource"`
	ManagedByTenants    []string          `json:"managedByTenants" arm:"always"`
	SubscriptionID      string            `json:"subscriptionId"`
	TenantID            string            `json:"tenantId"`
	DisplayName         string            `json:"displayName"`
	State               string            `json:"state"`
	Policies            policies          `json:"subscriptionPolicies"`
	Tags                map[string]string `json:"tags"`
}

type policies struct {
	LocationPlacementID string `json:"locationPlacementId"`
	QuotaID             string `json:"quotaId"`
	SpendingLimit       string `json:"spendingLimit"`
}

func viewOf(s control.Subscription) subscriptionView {
	return subscriptionView{ID: "/subscriptions/" + s.ID, AuthorizationSource: "RoleBased", ManagedByTenants: []string{},
		SubscriptionID: s.ID, TenantID: s.Tenant, DisplayName: s.Name, State: s.State,
		Policies: policies{"Internal_2014-09-01", "Internal_2014-09-01", "Off"}, Tags: s.Tags}
}

// subscriptions lists those of the caller's tenant in or below which it holds any right.
func subscriptions(_ context.Context, c *control.Call) (any, error) {
	grants, err := c.Control.RBAC().Grants(c.Tx, c.Caller.Primary)
	if err != nil {
		return nil, err
	}
	docs, err := c.Tx.List(store.Query{Kind: control.SubscriptionKind, All: []string{"tenant:" + strings.ToLower(c.Caller.Primary.TenantID)}})
	if err != nil {
		return nil, err
	}
	views := []subscriptionView{}
	for _, d := range docs {
		var s control.Subscription
		if err := json.Unmarshal(d.Body, &s); err != nil {
			return nil, err
		}
		if grants.Within(arm.ID{Subscription: s.ID}) {
			views = append(views, viewOf(s))
		}
	}
	return control.Values(views), nil
}

func subscription(ctx context.Context, c *control.Call) (any, error) {
	return within(func(_ context.Context, c *control.Call) (any, error) {
		s, err := control.ReadSubscription(c.Tx, c.Names["subscription"])
		return viewOf(s), err
	})(ctx, c)
}

// within lets through who holds any right in or below the subscription.
func within(f func(context.Context, *control.Call) (any, error)) func(context.Context, *control.Call) (any, error) {
	return func(ctx context.Context, c *control.Call) (any, error) {
		scope := arm.ID{Subscription: c.Names["subscription"]}
		grants, err := c.Control.RBAC().Grants(c.Tx, c.Caller.Primary)
		if err != nil {
			return nil, err
		}
		if !grants.Within(scope) {
			return nil, c.Control.RBAC().Check(c.Tx, c.Caller.Primary, "Microsoft.Resources/subscriptions/read", scope)
		}
		return f(ctx, c)
	}
}

type locationView struct {
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	Type        string           `json:"type"`
	DisplayName string           `json:"displayName"`
	Regional    string           `json:"regionalDisplayName"`
	Metadata    locationMetadata `json:"metadata"`
}

type locationMetadata struct {
	RegionType string `json:"regionType"`
	Category   string `json:"regionCategory"`
	Geography  string `json:"geographyGroup"`
}

func locations(_ context.Context, c *control.Call) (any, error) {
	var views []locationView
	for _, l := range arm.Locations() {
		views = append(views, locationView{ID: "/subscriptions/" + c.Names["subscription"] + "/locations/" + l.Name, Name: l.Name, Type: "Region",
			DisplayName: l.DisplayName, Regional: fmt.Sprintf("(%s) %s", l.Group, l.DisplayName), Metadata: locationMetadata{"Physical", "Recommended", l.Group}})
	}
	return control.Values(views), nil
}

type manifestView struct {
	ID           string     `json:"id"`
	Namespace    string     `json:"namespace"`
	Policy       string     `json:"registrationPolicy"`
	State        string     `json:"registrationState"`
	ResourceType []typeView `json:"resourceTypes" arm:"always"`
}

type typeView struct {
	Name         string        `json:"resourceType"`
	Locations    []string      `json:"locations"`
	Versions     []arm.Version `json:"apiVersions"`
	Capabilities string        `json:"capabilities"`
}

// free are the namespaces that every subscription uses.
func free(namespace string) bool {
	return slices.Contains([]string{"microsoft.authorization", "microsoft.resources", "microsoft.management", "microsoft.insights", "microsoft.subscription"}, strings.ToLower(namespace))
}

func manifestOf(s control.Subscription, namespace string, types []control.Type) manifestView {
	v := manifestView{ID: "/subscriptions/" + s.ID + "/providers/" + namespace, Namespace: namespace,
		Policy: "RegistrationRequired", State: "Registered", ResourceType: []typeView{}}
	if s.ID == "" {
		v.ID, v.State = "/providers/"+namespace, ""
	}
	if free(namespace) {
		v.Policy = "RegistrationFree"
	} else if slices.Contains(s.Unregistered, strings.ToLower(namespace)) {
		v.State = "Unregistered"
	}
	var regions []string
	for _, l := range arm.Locations() {
		regions = append(regions, l.DisplayName)
	}
	for _, t := range types {
		v.ResourceType = append(v.ResourceType, typeView{t.Name, regions, t.Versions, "None"})
	}
	return v
}

func manifests(_ context.Context, c *control.Call) (any, error) {
	s, err := control.ReadSubscription(c.Tx, c.Names["subscription"])
	if err != nil {
		return nil, err
	}
	return listed(c, s), nil
}

func listed(c *control.Call, s control.Subscription) any {
	all := c.Control.Namespaces()
	var views []manifestView
	for _, name := range sorted(all) {
		views = append(views, manifestOf(s, name, all[name]))
	}
	return control.Values(views)
}

func sorted(all map[string][]control.Type) []string { return slices.Sorted(maps.Keys(all)) }

// tenantManifests are the providers without a subscription's registrations.
func tenantManifests(_ context.Context, c *control.Call) (any, error) {
	return listed(c, control.Subscription{}), nil
}

func tenantManifest(_ context.Context, c *control.Call) (any, error) {
	for name, types := range c.Control.Namespaces() {
		if strings.EqualFold(name, c.Names["namespace"]) {
			return manifestOf(control.Subscription{}, name, types), nil
		}
	}
	return nil, arm.Errorf(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", c.Names["namespace"])
}

type operationView struct {
	Name    string        `json:"name"`
	Data    bool          `json:"isDataAction" arm:"always"`
	Display operationText `json:"display"`
	Origin  string        `json:"origin"`
}

type operationText struct {
	Provider    string `json:"provider"`
	Resource    string `json:"resource"`
	Operation   string `json:"operation"`
	Description string `json:"description"`
}

// operations serves …/NAMESPACE/operations from what the provider's types and paths ask for. Everybody who is signed in may read it,
// as in Azure.
func operations(_ context.Context, c *control.Call) (any, error) {
	namespace, views := "", []operationView{}
	for name := range c.Control.Namespaces() {
		if strings.EqualFold(name, c.Names["namespace"]) {
			namespace = name
		}
	}
	if namespace == "" {
		return nil, arm.Errorf(404, "InvalidResourceNamespace", "The resource namespace '%.100s' is invalid.", c.Names["namespace"])
	}
	for _, right := range c.Control.Rights() {
		inner, ok := strings.CutPrefix(right, namespace+"/")
		if !ok {
			continue
		}
		typ, verb := path.Split(strings.TrimSuffix(inner, "/action"))
		typ = strings.TrimSuffix(typ, "/")
		views = append(views, operationView{Name: right, Origin: "user,system",
			Display: operationText{Provider: namespace, Resource: typ, Operation: verb + " " + typ, Description: verb + " " + typ}})
	}
	return control.Values(views), nil
}

func manifest(_ context.Context, c *control.Call) (any, error) { return found(c) }
