package deployments

import (
	"context"
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/store"
)

// validate serves POST …/validate: all that can be known of a deployment before anything is written. Every resource is
// rehearsed, so that rights, links and the providers' own rules are asked; all faults are told at once.
func (p *Provider) validate(ctx context.Context, c *control.Call) (any, error) {
	x, id, err := p.prepared(ctx, c, "validate/action")
	if err != nil {
		return nil, err
	}
	r, err := p.rehearse(ctx, c.Caller, x, false)
	if err != nil {
		return nil, x.veil.Err(err)
	}
	if faults := r.faults(); len(faults) > 0 {
		return nil, invalidDeployment(len(r.leaves), faults)
	}
	d := control.Make[Deployment](id, x.Env.Location, x.Env.Now)
	d.Properties.Mode = x.Env.Mode
	describe(&d.Properties, x, c.Correlation, x.Env.Now)
	d.SetState(arm.Succeeded)
	d.Properties.ValidatedResources = []resourceID{}
	for _, l := range r.leaves {
		d.Properties.ValidatedResources = append(d.Properties.ValidatedResources, resourceID{x.veil.Text(l.ID)})
	}
	return d, nil
}

// prepared reads the request of validate or what-if up to the plan.
func (p *Provider) prepared(ctx context.Context, c *control.Call, action string) (expanded, arm.ID, error) {
	var x expanded
	id, err := deploymentOf(c)
	if err != nil {
		return x, id, err
	}
	err = p.control.Store().View(ctx, func(tx store.Tx) error {
		return p.control.RBAC().Check(tx, c.Caller.Primary, deploymentType+"/"+action, id)
	})
	if err != nil {
		return x, id, err
	}
	if fault := deploymentName(id.Name()); fault != nil {
		return x, id, fault
	}
	raw, err := readBody(c.Body)
	if err != nil {
		return x, id, err
	}
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	if raw, err = p.links.Inline(ctx, raw, ""); err != nil {
		return x, id, err
	}
	req, err := readRequest(raw)
	if err != nil {
		return x, id, err
	}
	var load payload
	err = p.control.Store().View(ctx, func(tx store.Tx) error {
		load, err = p.payload(tx, asked{c.Caller, id, req, p.control.Now()}, lineage.Of(ctx))
		return err
	})
	if err != nil {
		return x, id, err
	}
	if x, err = p.expand(load); err != nil {
		return x, id, err
	}
	x.format = req.Properties.WhatIfSettings.ResultFormat
	return x, id, x.veil.Err(p.preflight(x))
}
