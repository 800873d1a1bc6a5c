package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/deployments/told"
	"vitrine/internal/provider/deployments/veil"
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
	Steps    []step                     `json:"steps"`
	Cleanup  *cleanup                   `json:"cleanup,omitempty"` // of mode Complete
	Rollback *rollback                  `json:"rollback,omitempty"`
	Outputs  map[string]template.Output `json:"outputs,omitempty"`
}

// job is a deployment in a worker's hands.
type job struct {
	*progress
	id     arm.ID // of the deployment
	begun  time.Time
	client client
	sealer Sealer
	plan   expanded
}

// deploy writes the resources of a deployment. It is run again and again until all have ended, and after a crash goes on
// from what it recorded: a resource whose PUT may have happened is PUT again, which changes nothing.
func (p *Provider) deploy(ctx context.Context, r *operation.Run) error {
	j, err := p.job(ctx, r)
	if err != nil {
		return err
	}
	return j.plan.veil.Err(j.run(ctx, r))
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
			return j.last(ctx, r)
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
	var id arm.ID
	var begun string
	err := r.View(ctx, func(tx store.Tx) error {
		d, err := find(tx, r.Resource)
		if err != nil {
			return err
		}
		id, begun = d.ParsedID(), d.Properties.Begun
		load, err = openPayload(p.sealer, d.Properties.Sealed, r.Resource)
		return err
	})
	if err != nil {
		return nil, err
	}
	plan, err := p.expand(load)
	if err != nil {
		return nil, err
	}
	j := &job{progress: &progress{}, id: id, sealer: p.sealer, client: client{control: p.control, caller: in.Caller, run: r}, plan: plan}
	j.begun, _ = time.Parse(time.RFC3339Nano, begun) // else it waits for any, and fails on none
	if err := r.Recall(j.progress); err != nil {
		return nil, err
	}
	for i := len(j.Steps); i < len(plan.Resources); i++ {
		j.Steps = append(j.Steps, step{Target: plan.Ref(i)})
	}
	for _, s := range j.all() {
		s.veil = plan.veil
	}
	return j, nil
}

// look goes once over all resources, starts those whose turn has come and looks after those under way. The plan's order
// has dependencies first, so that a chain of resources that need no waiting is written in one look.
func (j *job) look(ctx context.Context) (changed bool, err error) {
	if changed, err := j.tidy(ctx); changed || err != nil {
		return changed, err
	}
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
	return slices.ContainsFunc(j.all(), func(s *step) bool { return s.State == failed })
}

// all are the steps of resources that are written and of those that are removed.
func (p *progress) all() []*step {
	var all []*step
	for i := range p.Steps {
		all = append(all, &p.Steps[i])
	}
	if p.Cleanup != nil {
		for i := range p.Cleanup.Steps {
			all = append(all, &p.Cleanup.Steps[i])
		}
	}
	return all
}

// ended tells whether nothing more will happen: all is done, or something failed and what was under way has ended.
func (j *job) ended() bool {
	broken := j.failed()
	for _, s := range j.all() {
		if s.underWay() || s.State == pending && !broken {
			return false
		}
	}
	return broken || !j.mustTidy() || j.Cleanup != nil
}

// last rolls back what failed, if that was asked for, and then concludes.
func (j *job) last(ctx context.Context, r *operation.Run) error {
	underWay, err := j.rollBack(ctx)
	if j.Rollback != nil {
		err = errors.Join(r.Keep(ctx, j.progress), err)
	}
	switch {
	case err != nil:
		return err
	case underWay && !r.Cancel:
		return operation.Again{After: lookAgain}
	}
	return j.conclude(ctx, r)
}

// conclude evaluates the outputs, or says what failed. Resources that were written stay, as in Azure.
func (j *job) conclude(ctx context.Context, r *operation.Run) error {
	if j.failed() {
		e := arm.Errorf(409, "DeploymentFailed", "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.").At(j.id.String())
		for _, s := range j.all() {
			if s.State == failed {
				e.Details = append(e.Details, s.detail())
			}
		}
		if r := j.Rollback; r != nil && r.Step.State == failed {
			e.Details = append(e.Details, r.Step.detail())
		}
		return e
	}
	outputs, err := j.plan.Outputs(j.runtime(ctx))
	if err != nil {
		return veil.Visible(err)
	}
	j.Outputs = outputs
	return r.Keep(ctx, j.progress)
}

// finishDeployment writes the end into the deployment. Of what was sealed only the template remains.
func (p *Provider) finishDeployment(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	d, err := find(tx, r.Resource)
	if err != nil {
		return err
	}
	var state progress
	if err := r.Recall(&state); err != nil {
		return err
	}
	to := &d.Properties
	to.Timestamp, to.Duration = r.End.UTC().Format(told.Stamp), told.Duration(r.End.Sub(r.Start))
	to.ProvisioningState = string(r.Status)
	to.OutputResources = []resourceID{}
	for _, s := range state.all() {
		if s.State == done && !s.Removal {
			to.OutputResources = append(to.OutputResources, resourceID{s.Target.ID})
		} else if s.underWay() { // cancelled: what was begun goes on by itself, but nobody looks after it
			s.State, s.End = abandoned, r.End
		}
	}
	if r := state.Rollback; r != nil && to.OnError != nil {
		to.OnError.Name, to.OnError.State = r.Of, map[stepState]string{done: arm.Succeeded, failed: arm.Failed, running: stateRunning, blocked: stateRunning}[r.Step.State]
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
