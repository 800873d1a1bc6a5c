package control

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/operation"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// The kinds of the documents that the pipeline itself reads.
const (
	SubscriptionKind = "microsoft.resources/subscriptions"
	GroupKind        = "microsoft.resources/resourcegroups"
)

// Subscription is the document of a subscription; its key is that of its ID.
type Subscription struct {
	ID     string `json:"subscriptionId"`
	Name   string `json:"displayName"`
	State  string `json:"state"` // "Enabled"
	Tenant string `json:"tenantId"`

	Tags         map[string]string   `json:"tags,omitempty"`
	TagNames     map[string][]string `json:"tagNames,omitempty"`     // declared, with their declared values
	Unregistered []string            `json:"unregistered,omitempty"` // provider namespaces, lower case
}

// ReadSubscription returns a subscription; store.ErrNotFound.
func ReadSubscription(tx store.Tx, id string) (Subscription, error) {
	var s Subscription
	d, err := tx.Get(arm.ID{Subscription: id}.Key())
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(d.Body, &s)
	return s, err
}

// WriteSubscription creates a subscription; store.ErrConflict when it exists.
func WriteSubscription(tx store.Tx, s Subscription) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: arm.ID{Subscription: s.ID}.Key(), Kind: SubscriptionKind,
		Terms: []string{"tenant:" + strings.ToLower(s.Tenant)}, Body: body})
	return err
}

// ChangeSubscription changes a subscription; store.ErrNotFound.
func ChangeSubscription(tx store.Tx, id string, change func(*Subscription) error) error {
	d, err := tx.Get(arm.ID{Subscription: id}.Key())
	if err != nil {
		return err
	}
	var s Subscription
	if err := json.Unmarshal(d.Body, &s); err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	if d.Body, err = json.Marshal(s); err != nil {
		return err
	}
	_, err = tx.Put(d)
	return err
}

// TenantOf says which tenant owns a subscription; store.ErrNotFound.
func TenantOf(tx store.Tx, subscription string) (string, error) {
	if !arm.IsGUID(subscription) {
		return "", store.ErrNotFound
	}
	s, err := ReadSubscription(tx, subscription)
	return s.Tenant, err
}

// owned checks that the token is of the tenant that owns the path's subscription.
func (c *Control) owned(tx store.Tx, p *pass) error {
	if p.id.Subscription == "" {
		return nil
	}
	tenant, err := TenantOf(tx, p.id.Subscription)
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", p.id.Subscription)
	}
	if err != nil {
		return err
	}
	if !strings.EqualFold(tenant, p.Caller.Primary.TenantID) {
		return rbac.WrongTenant(p.Caller, authn.WrongTenant(p.Caller.Primary.TenantID, tenant), tenant)
	}
	return nil
}

// may runs the checks that come before anything about the resource is said: token's tenant, role, then lock.
func (c *Control) may(tx store.Tx, p *pass, action string) error {
	return c.mayWith(tx, p, action, nil)
}

// mayWith is may where conditions of role assignments can ask about the request.
func (c *Control) mayWith(tx store.Tx, p *pass, action string, attributes func() rbac.Attributes) error {
	p.action = action
	if err := c.owned(tx, p); err != nil {
		return err
	}
	return c.rbac.CheckWith(tx, p.Caller.Primary, action, p.id, attributes)
}

// Starting asks again, when the work of a deletion starts, whether a lock forbids it: one may have been put since the request was
// accepted. From then on the deletion goes to its end, as an accepted one does in Azure, where locks stop requests only.
func (c *Control) Starting(tx store.Tx, o *operation.Operation) error {
	if !strings.HasSuffix(o.Action, "/delete") {
		return nil
	}
	id, err := arm.ParseKey(o.Resource)
	if err != nil {
		return err
	}
	return rbac.Unlocked(tx, id, o.Action)
}

// attributes is what conditions may ask about a write, read only if there is a condition.
func (k *kind[T]) attributes(tx store.Tx, p *pass) func() rbac.Attributes {
	if k.Attributes == nil {
		return nil
	}
	return func() rbac.Attributes { return k.Attributes(tx, p.id, p.Body) }
}

// grouped checks that the resource group of a path exists.
func grouped(tx store.Tx, id arm.ID) error {
	if id.ResourceGroup == "" {
		return nil
	}
	_, err := tx.Get(id.Group().Key())
	if errors.Is(err, store.ErrNotFound) {
		return notFound(id.Group())
	}
	return err
}

// registered refuses to create a resource of a provider that the subscription said it does not use. az registers it then and
// tries again.
func registered(tx store.Tx, id arm.ID) error {
	if id.Subscription == "" || id.Namespace == "" {
		return nil
	}
	s, err := ReadSubscription(tx, id.Subscription)
	if err != nil || !slices.Contains(s.Unregistered, strings.ToLower(id.Namespace)) {
		return err
	}
	return arm.Errorf(409, "MissingSubscriptionRegistration", "The subscription is not registered to use namespace '%s'. See https://aka.ms/rps-not-found for how to register subscriptions.", id.Namespace).At(id.Namespace)
}

// placed checks that what holds the resource exists: its group, and the outer resource of a child.
func placed(tx store.Tx, id arm.ID, writing bool) error {
	if id.ResourceGroup != "" && id.Namespace != "" {
		d, err := tx.Get(id.Group().Key())
		if errors.Is(err, store.ErrNotFound) {
			return arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.ResourceGroup)
		}
		if err != nil {
			return err
		}
		var group struct {
			Properties struct{ ProvisioningState string }
		}
		if err := json.Unmarshal(d.Body, &group); err != nil {
			return err
		}
		if writing && group.Properties.ProvisioningState == arm.Deleting {
			return arm.Errorf(409, "ResourceGroupBeingDeleted", "The resource group '%s' is in deprovisioning state and cannot perform this operation.", id.ResourceGroup)
		}
	}
	if len(id.Names) < 2 {
		return nil
	}
	_, err := tx.Get(id.Parent().Key())
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if writing {
		return arm.Errorf(404, "ParentResourceNotFound", "Can not perform requested operation on nested resource. Parent resource '%s' not found.", strings.Join(id.Parent().Names, "/"))
	}
	return notFound(id.Parent())
}

func notFound(id arm.ID) *arm.Error {
	if id.ResourceGroup != "" && id.Namespace == "" {
		return arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.ResourceGroup)
	}
	name := id.Namespace
	for i, t := range id.Types {
		name += "/" + t + "/" + id.Names[i]
	}
	if id.ResourceGroup == "" {
		return arm.Errorf(404, "ResourceNotFound", "The Resource '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", name)
	}
	return arm.Errorf(404, "ResourceNotFound", "The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", name, id.ResourceGroup)
}
