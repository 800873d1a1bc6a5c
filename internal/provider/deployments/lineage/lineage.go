// Package lineage is what a nested deployment has of those around it: how deep it is, how many deployments it may begin, where
// the template around came from. It travels in the context of the PUT that makes the deployment, where no client can put anything.
package lineage

import (
	"context"

	"vitrine/internal/arm"
)

// Lineage is that of one deployment.
type Lineage struct {
	Depth int `json:"depth"`
	// Allowance is how many deployments this one may begin in all, nested ones included: each gets an equal share, so
	// that a few lines of templates that multiply one another come to an end without anybody counting.
	Allowance int    `json:"allowance"`
	Link      string `json:"link,omitempty"` // where the template around came from, for relative paths
}

const (
	// MaxDepth is how deep deployments nest.
	MaxDepth     = 8
	maxAllowance = 4000
)

type key struct{}

// With returns ctx with l.
func With(ctx context.Context, l Lineage) context.Context { return context.WithValue(ctx, key{}, l) }

// Of is the lineage in ctx; that of a deployment that a client sent, if there is none.
func Of(ctx context.Context) Lineage {
	if l, ok := ctx.Value(key{}).(Lineage); ok {
		return l
	}
	return Lineage{Allowance: maxAllowance}
}

// Child is what one of n nested deployments gets; link is where the template around it came from.
func (l Lineage) Child(n int, link string) Lineage {
	return Lineage{Depth: l.Depth + 1, Allowance: (l.Allowance - n) / max(n, 1), Link: link}
}

// Fits says what is wrong with n nested deployments at this place.
func (l Lineage) Fits(n int) error {
	switch {
	case n > 0 && l.Depth >= MaxDepth:
		return arm.Errorf(400, "InvalidTemplate", "Deployment template validation failed: 'deployments are nested deeper than %d levels.'.", MaxDepth)
	case n > l.Allowance:
		return arm.Errorf(400, "InvalidTemplate", "Deployment template validation failed: 'the template and those around it begin more than %d deployments.'.", maxAllowance)
	}
	return nil
}
