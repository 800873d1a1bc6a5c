package machine

import (
	"context"

	"vitrine/internal/control"
	"vitrine/internal/provider/machine/size"
)

// fit is what a machine of a size gets on this host: never more than the server's caps.
func (p *Provider) fit(name string) (cpus, memoryMiB int) {
	s, _ := size.Of(name)
	return min(max(s.Cores, 1), p.MaxCPUs), min(max(s.MemoryMiB, 512), p.MaxMemoryMiB)
}

type list[T any] struct {
	Value []T `json:"value"`
}

func routes(c *control.Control) {
	c.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/vmSizes",
		Right: "Microsoft.Compute/locations/vmSizes/read",
		Do:    func(context.Context, *control.Call) (any, error) { return list[size.Size]{size.All()}, nil }})
	c.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Compute/skus", Right: "Microsoft.Compute/skus/read",
		Do: func(_ context.Context, call *control.Call) (any, error) {
			return list[size.SKU]{size.SKUs(call.Query.Get("$filter"))}, nil
		}})
}
