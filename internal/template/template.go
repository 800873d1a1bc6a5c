// Package template understands ARM deployment templates: it reads what clients send, evaluates expressions and orders
// resources. It owns the template language and nothing else: no I/O, no clock, no randomness, no knowledge of resource
// types. Who may write what, and the writing itself, is the business of the deployments provider.
//
// How data passes:
//
//	request body ── Lenient ──▶ strict JSON ── Parse ──▶ *Template            syntax: every fault with line and path
//	*Template + Env + parameters ── Expand ──▶ *Plan                          loops, conditions, IDs, graph, order
//	*Plan + Runtime ── Body(i), Outputs ──▶ JSON                              what needs reference() or list*(), late
//
// Expand evaluates all that can be known before anything is written, so that a fault is found at validation; what
// reads the state of other resources waits as an expression until Body is called. A Template and a Plan never change
// once made: several workers may call Body at a time. The same template, Env and parameters give the same Plan, so
// after a crash the plan is made again rather than stored.
//
// Everything a client sends is hostile: sizes, depths, counts and the work of an evaluation are bounded (limits.go here
// and in expr). Package tree is the JSON below it all, package expr the expression language.
package template

import (
	"encoding/json"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// Template is a parsed deployment template.
type Template struct {
	types      schemas
	functions  []*definedFunction
	parameters []*parameter
	variables  *tree.Object
	resources  []*declaration
	outputs    []*output
	hash       string
	symbolic   bool   // resources are named by symbols
	version    string // contentVersion
	plain      any    // as sent
}

// Env is what a template can ask about its surroundings.
type Env = expr.Env

// Deployer is the answer of deployer().
type Deployer = expr.Deployer

// ResourceGroup is the answer of resourceGroup().
type ResourceGroup = expr.ResourceGroup

// Runtime answers the functions that read the state of other resources.
type Runtime = expr.Runtime

// Plan is an expanded template: what to write, in which order.
type Plan struct {
	// Resources stand in an order in which they can be written one by one: a resource's dependencies come before it.
	Resources []Resource

	template *Template
	scope    *expr.Scope
	bodies   []any        // of Resources, evaluated but for what is late
	places   []tree.Place // of Resources
	outputs  []boundOutput
}

// Resource is one resource of a Plan.
type Resource struct {
	ID           string // full, in the case the template gave
	Type         string // the type the ID ends in, such as Microsoft.Authorization/roleAssignments
	DeclaredType string // the type as the template has it, such as Microsoft.Compute/virtualMachines/providers/roleAssignments
	Name         string // all segments, as the template has it: "vnet/subnet"
	APIVersion   string
	Location     string // "" if the template gives none
	Scope        string // ID of what the resource is written under or extends: a resource group, subscription or resource
	DependsOn    []int  // indexes into Plan.Resources, ascending, each below the resource's own
}

// Output is one output of a deployment, as ARM answers it. Secure outputs have no value.
type Output struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value,omitempty"`
}

// ContentVersion is the template's contentVersion.
func (t *Template) ContentVersion() string { return t.version }

// Hash returns the template's hash as ARM's answers have it: a decimal number. It depends on the template's text
// without whitespace and comments, and on nothing else.
func (t *Template) Hash() string { return t.hash }
