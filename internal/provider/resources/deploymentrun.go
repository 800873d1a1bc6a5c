package resources

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

const (
	lookAgain = 150 * time.Millisecond // between looks at resources that take long
	glance    = 20 * time.Millisecond  // between looks while things move
	attentive = 200 * time.Millisecond // how long after the last movement a worker is kept
	maxActive = 64                     // resources under way at a time
)

// progress is what a deployment remembers between looks, in the plan's order.
type progress struct {
	Steps   []step                     `json:"steps"`
	Outputs map[string]template.Output `json:"outputs,omitempty"`
}

// job is a deployment in a worker's hands.
type job struct {
	*progress
	client client
	plan   expanded
}

// deploy writes the resources of a deployment. It is run again and again until all have ended, and after a crash goes on
// from what it recorded: a resource whose PUT may have happened is PUT again, which changes nothing.
func (p *Provider) deploy(ctx context.Context, r *operation.Run) error {
	j, err := p.job(ctx, r)
	if err != nil {
		return err
	}
	return j.plan.veil.err(j.run(ctx, r))
}

// run looks after the resources until they have ended, or there is nothing to see for a while.
func (j *job) run(ctx context.Context, r *operation.Run) error {
	var moved time.Time
	timer := time.NewTicker(glance)
	defer timer.Stop()
	for {
		changed, err := j.look(ctx)
		if changed {
			moved = time.Now()
			if kept := r.Keep(ctx, j.progress); kept != nil {
				return errors.Join(kept, err)
			}
		}
		switch {
		case err != nil:
			return err
		case j.ended():
			return j.conclude(ctx, r)
		case r.Cancel:
			return operation.Again{}
		case changed:
			continue
		case time.Since(moved) > attentive:
			return operation.Again{After: lookAgain}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (p *Provider) job(ctx context.Context, r *operation.Run) (*job, error) {
	var in deployInput
	if err := r.Read(&in); err != nil {
		return nil, err
	}
	var load payload
	err := r.View(ctx, func(tx store.Tx) error {
		d, err := control.Find[Deployment](tx, r.Resource)
		if err != nil {
			return err
		}
		load, err = openPayload(p.sealer, d.Properties.Sealed, r.Resource)
		return err
	})
	if err != nil {
		return nil, err
	}
	plan, err := load.expand()
	if err != nil {
		return nil, err
	}
	j := &job{progress: &progress{}, client: client{p.control, in.Caller, r}, plan: plan}
	if err := r.Recall(j.progress); err != nil {
		return nil, err
	}
	for i := len(j.Steps); i < len(plan.Resources); i++ {
		j.Steps = append(j.Steps, step{Target: plan.Ref(i)})
	}
	for i := range j.Steps {
		j.Steps[i].veil = plan.veil
	}
	return j, nil
}

// look goes once over all resources, starts those whose turn has come and looks after those under way. The plan's order
// has dependencies first, so that a chain of resources that need no waiting is written in one look.
func (j *job) look(ctx context.Context) (changed bool, err error) {
	active := 0
	for i := range j.Steps {
		if j.Steps[i].underWay() {
			active++
		}
	}
	for i := range j.Steps {
		before := j.Steps[i].State
		switch {
		case before == pending && (active >= maxActive || !j.ready(i)):
			continue
		case before == pending:
			active++
			err = j.start(ctx, i)
		case j.Steps[i].underWay():
			err = j.follow(ctx, i)
		}
		changed = changed || j.Steps[i].State != before
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// ready tells whether a resource may be started: nothing has failed and all that it waits for is there.
func (j *job) ready(i int) bool {
	if j.failed() {
		return false
	}
	for _, on := range j.plan.Resources[i].DependsOn {
		if j.Steps[on].State != done {
			return false
		}
	}
	return true
}

func (j *job) failed() bool {
	for i := range j.Steps {
		if j.Steps[i].State == failed {
			return true
		}
	}
	return false
}

// ended tells whether nothing more will happen: all is done, or something failed and what was under way has ended.
func (j *job) ended() bool {
	broken := j.failed()
	for i := range j.Steps {
		if s := &j.Steps[i]; s.underWay() || s.State == pending && !broken {
			return false
		}
	}
	return true
}

// conclude evaluates the outputs, or says what failed. Resources that were written stay, as in Azure.
func (j *job) conclude(ctx context.Context, r *operation.Run) error {
	if j.failed() {
		e := arm.Errorf(409, "DeploymentFailed", "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.").At(j.deployment(ctx, r))
		for i := range j.Steps {
			if s := &j.Steps[i]; s.State == failed {
				e.Details = append(e.Details, s.detail())
			}
		}
		return e
	}
	outputs, err := j.plan.Outputs(j.runtime(ctx))
	if err != nil {
		return visible(err)
	}
	j.Outputs = outputs
	return r.Keep(ctx, j.progress)
}

// deployment is the deployment's ID in the case in which it was created.
func (j *job) deployment(ctx context.Context, r *operation.Run) string {
	id := r.Resource
	_ = r.View(ctx, func(tx store.Tx) error { // the ID in lower case serves as well
		d, err := control.Find[Deployment](tx, r.Resource)
		if err == nil {
			id = d.ID
		}
		return err
	})
	return id
}

// finishDeployment writes the end into the deployment. Of what was sealed only the template remains.
func (p *Provider) finishDeployment(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	d, err := control.Find[Deployment](tx, r.Resource)
	if err != nil {
		return err
	}
	var state progress
	if err := r.Recall(&state); err != nil {
		return err
	}
	to := &d.Properties
	to.Timestamp, to.Duration = r.End.UTC().Format(stamp), iso(r.End.Sub(r.Start))
	to.ProvisioningState = string(r.Status)
	to.OutputResources = []resourceID{}
	for i := range state.Steps {
		s := &state.Steps[i]
		if s.State == done {
			to.OutputResources = append(to.OutputResources, resourceID{s.Target.ID})
		} else if s.underWay() { // cancelled: what was begun goes on by itself, but nobody looks after it
			s.State, s.End = abandoned, r.End
		}
	}
	if to.Progress, err = json.Marshal(state); err != nil {
		return err
	}
	if failure == nil {
		to.Outputs = map[string]template.Output{} // shown even when there is none
		maps.Copy(to.Outputs, state.Outputs)
	} else if to.Error, err = json.Marshal(failure); err != nil {
		return err
	}
	if load, err := openPayload(p.sealer, to.Sealed, r.Resource); err == nil { // else nobody can read it anyway
		load.Parameters, load.Env = nil, template.Env{}
		if to.Sealed, err = load.seal(p.sealer, r.Resource); err != nil {
			return err
		}
	}
	return control.Save(tx, d)
}
