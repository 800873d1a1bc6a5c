package resources

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/template"
)

// validate serves POST …/validate: all that can be known of a deployment before anything is written.
func (p *Provider) validate(_ context.Context, c *control.Call) (any, error) {
	id, err := deploymentID(c, "validate/action")
	if err != nil {
		return nil, err
	}
	if fault := deploymentName(id.Name()); fault != nil {
		return nil, fault
	}
	raw, err := readBody(c.Body)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	req, err := readRequest(raw)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	load, err := p.payload(c.Tx, c.Caller, id, req, now)
	if err != nil {
		return nil, err
	}
	plan, err := load.expand()
	if err != nil {
		return nil, err
	}
	if err := p.preflight(plan.Plan); err != nil {
		return nil, plan.veil.err(err)
	}
	if err := p.allowed(c, plan.Plan); err != nil {
		return nil, plan.veil.err(err)
	}
	r := control.Make[Deployment](id, "", now)
	r.Properties.Mode = "Incremental"
	describe(&r.Properties, plan, c.Correlation, now)
	r.SetState(arm.Succeeded)
	r.Properties.ValidatedResources = []resourceID{}
	for _, x := range plan.Resources {
		r.Properties.ValidatedResources = append(r.Properties.ValidatedResources, resourceID{x.ID})
	}
	return r, nil
}

// allowed checks the right to write each resource, and that what can be evaluated already is right. Links are judged when
// a resource is written: only its provider knows them.
func (p *Provider) allowed(c *control.Call, plan *template.Plan) error {
	var faults []*arm.Error
	for i, r := range plan.Resources {
		id, err := arm.ParseID(r.ID)
		if err == nil {
			err = c.Control.RBAC().Check(c.Tx, c.Caller.Primary, r.Type+"/write", id)
		}
		if err == nil && !plan.Late(i) {
			_, err = plan.Body(i, nil)
		}
		if err == nil {
			continue
		}
		e, ok := errors.AsType[*arm.Error](visible(err))
		if !ok {
			return err
		}
		if e.Target == "" {
			e.Target = r.ID
		}
		faults = append(faults, e)
	}
	if len(faults) == 0 {
		return nil
	}
	return invalidDeployment(plan, faults)
}
