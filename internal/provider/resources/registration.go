package resources

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// register and unregister say whether a subscription uses a provider. Those that every subscription needs are always
// registered, as in Azure.
func register(on bool) func(context.Context, *control.Call) (any, error) {
	return func(ctx context.Context, c *control.Call) (any, error) {
		v, err := found(c)
		if err != nil {
			return nil, err
		}
		action, namespace := "unregister/action", strings.ToLower(v.Namespace)
		if on {
			action = "register/action"
		}
		scope := arm.ID{Subscription: c.Names["subscription"]}
		if err := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, v.Namespace+"/"+action, scope); err != nil {
			return nil, err
		}
		if !on {
			if err := removable(c, v, scope); err != nil {
				return nil, err
			}
		}
		err = control.ChangeSubscription(c.Tx, scope.Subscription, func(s *control.Subscription) error {
			s.Unregistered = slices.DeleteFunc(s.Unregistered, func(n string) bool { return n == namespace })
			if !on {
				s.Unregistered = append(s.Unregistered, namespace)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		return found(c)
	}
}

// removable refuses to unregister what is needed or in use.
func removable(c *control.Call, v manifestView, scope arm.ID) error {
	if v.Policy == "RegistrationFree" {
		return arm.Errorf(409, "CannotUnregisterProvider", "The resource provider '%s' is registered with every subscription and cannot be unregistered.", v.Namespace)
	}
	for _, t := range v.ResourceType {
		docs, err := c.Tx.List(store.Query{Kind: control.Kind(v.Namespace + "/" + t.Name), Prefix: scope.Key() + "/", Limit: 1})
		if err != nil {
			return err
		}
		if len(docs) > 0 {
			return arm.Errorf(409, "CannotUnregisterProvider", "The resource provider '%s' cannot be unregistered: the subscription has resources of type '%s'.", v.Namespace, t.Name)
		}
	}
	return nil
}

// found is the manifest that the path names.
func found(c *control.Call) (manifestView, error) {
	s, err := control.ReadSubscription(c.Tx, c.Names["subscription"])
	if err != nil {
		return manifestView{}, err
	}
	for name, types := range c.Control.Namespaces() {
		if strings.EqualFold(name, c.Names["namespace"]) {
			return manifestOf(s, name, types), nil
		}
	}
	return manifestView{}, arm.Errorf(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", c.Names["namespace"])
}

type rightView struct {
	Name         string   `json:"name"`
	DisplayName  string   `json:"displayName"`
	Description  string   `json:"description"`
	Origin       string   `json:"origin"`
	Properties   struct{} `json:"properties"`
	IsDataAction bool     `json:"isDataAction" arm:"always"`
}

type rightsOfType struct {
	Name        string      `json:"name"`
	DisplayName string      `json:"displayName"`
	Operations  []rightView `json:"operations" arm:"always"`
}

type providerRights struct {
	ID          string         `json:"id"`
	Type        string         `json:"type"`
	Name        string         `json:"name"`
	DisplayName string         `json:"displayName"`
	Types       []rightsOfType `json:"resourceTypes" arm:"always"`
	Operations  []rightView    `json:"operations" arm:"always"`
}

// providerOperations serves /providers/Microsoft.Authorization/providerOperations[/NAMESPACE], from the table of types: what a
// role can give. Everybody who is signed in may read it, as in Azure.
func providerOperations(_ context.Context, c *control.Call) (any, error) {
	all := c.Control.Namespaces()
	views := []providerRights{}
	for _, namespace := range sorted(all) {
		if one := c.Names["namespace"]; one != "" && !strings.EqualFold(one, namespace) {
			continue
		}
		v := providerRights{ID: "/providers/Microsoft.Authorization/providerOperations/" + namespace, Type: "Microsoft.Authorization/providerOperations",
			Name: namespace, DisplayName: namespace, Types: []rightsOfType{}, Operations: []rightView{}}
		for _, t := range all[namespace] {
			of := rightsOfType{Name: t.Name, DisplayName: t.Name, Operations: []rightView{}}
			for _, right := range t.Rights {
				of.Operations = append(of.Operations, rightView{Name: right, DisplayName: right, Description: right, Origin: "user,system"})
			}
			v.Types = append(v.Types, of)
		}
		views = append(views, v)
	}
	if c.Names["namespace"] == "" {
		return control.Values(views), nil
	}
	if len(views) == 0 {
		return nil, arm.Errorf(404, "ProviderNotFound", "Provider '%.100s' not found.", c.Names["namespace"])
	}
	return views[0], nil
}

// providerPermissions serves …/providers/NAMESPACE/providerPermissions: our providers are applications of nobody.
func providerPermissions(_ context.Context, c *control.Call) (any, error) {
	if _, err := found(c); err != nil {
		return nil, err
	}
	return json.RawMessage(`{"value":[]}`), nil
}

const moveRight = "Microsoft.Resources/subscriptions/resourceGroups/moveResources/action"

// moveResources refuses by name what is not served: everything here stays in its group.
func moveResources(_ context.Context, c *control.Call) (any, error) {
	var q struct{ Resources []string }
	if err := json.Unmarshal(c.Body, &q); err != nil {
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	var types []string
	for _, r := range q.Resources {
		if at, err := arm.ParseID(r); err == nil && !slices.Contains(types, at.Type()) {
			types = append(types, at.Type())
		}
	}
	return nil, arm.Errorf(409, "ResourceMoveNotSupported", "Resource move is not supported for resource types '%s' by this installation: resources stay in the group in which they were created.", strings.Join(types, ","))
}
