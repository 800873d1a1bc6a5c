// Package expr is the expression language of ARM templates: it compiles "[…]" strings and evaluates them. It owns the
// functions, the copy loops within values and the bounds on the work of an evaluation; it knows nothing of parameters'
// types, resources or their order, which are package template's.
//
//	*tree.Source ── Compile ──▶ *Expression ── Evaluator.Value ──▶ value
//
// An Evaluator without Runtime evaluates all that it can and leaves what reads the state of resources as expressions; an
// Evaluator with one evaluates these too.
package expr

import "time"

// Env is what a template can ask about its surroundings. The zero ResourceGroup makes a deployment at the scope of a
// subscription; without SubscriptionID it is at that of ManagementGroup, and without that at the tenant's.
type Env struct {
	TenantID         string
	SubscriptionID   string
	SubscriptionName string
	ResourceGroup    ResourceGroup
	ManagementGroup  string // its name
	Deployer         Deployer
	DeploymentName   string
	Location         string    // of a deployment that is not to a resource group; "" there
	Mode             string    // "Incremental" or "Complete", for deployment().properties.mode
	TemplateLink     string    // where the template came from; "" if it was in the request
	Now              time.Time // what utcNow() says
	// Seed makes newGuid() differ between deployments and stay the same when a plan is made again. Templates use
	// newGuid() for passwords, so the seed must be random and kept like a secure parameter.
	Seed string
	// Providers answers providers(): what can be written as JSON, or nil; typ may be "". It must not change its mind.
	Providers func(namespace, typ string) any `json:"-"`
}

// Deployer is the answer of deployer().
type Deployer struct {
	ObjectID string
	TenantID string
	Name     string // user principal name; "" of an application
}

// ResourceGroup is the answer of resourceGroup().
type ResourceGroup struct {
	Name     string
	Location string
	ID       string // "" is derived from the subscription and the name
	Tags     map[string]string
}

// Runtime answers the functions that read the state of other resources.
type Runtime interface {
	// Reference is reference(): the resource's properties, or with full the whole resource. apiVersion is "" if the
	// template names none and does not declare the resource.
	Reference(id, apiVersion string, full bool) (any, error)
	// List is list*(): function is the whole name as written, such as "listKeys"; body is nil if the template gives none.
	List(function, id, apiVersion string, body any) (any, error)
}
