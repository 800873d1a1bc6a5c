package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/deployments/told"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// viewDeployment tells a deployment that is under way from one that waits for a worker.
func viewDeployment(_ context.Context, r *control.Read[Deployment]) error {
	d := &r.Resource.Properties
	if d.ProvisioningState != stateAccepted {
		return nil
	}
	o, err := operation.Get(r.Tx, d.Operation)
	if errors.Is(err, store.ErrNotFound) {
		return nil // its end could not be written, and operations are not kept for ever
	}
	if err != nil {
		return err
	}
	if o.Status == operation.Running {
		d.ProvisioningState, d.Duration = stateRunning, told.Duration(time.Since(o.Start))
	}
	return nil
}

// listDeployments lists those of a scope, and none of what is below it.
func listDeployments(_ context.Context, l *control.Listing) ([]*control.Resource[Deployment], error) {
	if l.Scope.ResourceGroup != "" {
		if err := surroundings(l.Tx, l.Scope, &template.Env{}); err != nil {
			return nil, err
		}
	}
	want := ""
	if filter := l.Query.Get("$filter"); filter != "" {
		field, value, ok := strings.Cut(filter, " eq ")
		if !ok || !strings.EqualFold(strings.TrimSpace(field), "provisioningState") {
			return nil, arm.Errorf(400, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", filter)
		}
		want = strings.Trim(strings.TrimSpace(value), "'")
	}
	all, err := control.Select[Deployment](l.Tx, store.Query{Kind: control.Kind(deploymentType), Prefix: l.Scope.Key() + "/deployments/", After: l.Query.Get("$skiptoken")})
	if err != nil || want == "" {
		return all, err
	}
	var list []*control.Resource[Deployment]
	for _, d := range all {
		if strings.EqualFold(d.State(), want) {
			list = append(list, d)
		}
	}
	return list, nil
}

func (p *Provider) exportTemplate(_ context.Context, a *control.Act[Deployment]) error {
	load, err := openPayload(p.sealer, a.Old.Properties.Sealed, a.ID.Key())
	if err != nil {
		return err
	}
	a.Output = struct {
		Template json.RawMessage `json:"template"`
	}{json.RawMessage(load.Template)}
	return nil
}

// deploymentOperations serves …/operations[/{id}]: what became of each resource whose turn has come. The requests
// themselves are never shown, since they carry secure parameters.
func deploymentOperations(_ context.Context, r *control.Read[Deployment], name string) (any, error) {
	state, err := progressOf(r.Tx, &r.Resource.Properties)
	if err != nil {
		return nil, err
	}
	rows := []told.Row{}
	for _, s := range state.all() {
		if !s.Start.IsZero() {
			row, err := s.outcome().Row(r.Resource.ID, r.Resource.Properties.CorrelationID)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	if name == "" {
		return told.Page(r.Base, r.Resource.ID+"/operations", r.Query, rows)
	}
	for _, row := range rows {
		if strings.EqualFold(row.OperationID, name) {
			return row, nil
		}
	}
	return nil, arm.Errorf(404, "DeploymentOperationNotFound", "Deployment operation '%s' of deployment '%s' could not be found.", name, r.Resource.Name)
}

func progressOf(tx store.Tx, d *Deployment) (progress, error) {
	var state progress
	raw := d.Progress
	if len(raw) == 0 {
		o, err := operation.Get(tx, d.Operation)
		if errors.Is(err, store.ErrNotFound) {
			return state, nil
		}
		if err != nil {
			return state, err
		}
		raw = o.State
	}
	if len(raw) == 0 {
		return state, nil
	}
	err := json.Unmarshal(raw, &state)
	return state, err
}

func (s *step) outcome() told.Outcome {
	o := told.Outcome{Target: s.Target, Removal: s.Removal, State: stateRunning, Code: http.StatusText(s.Code), Start: s.Start, End: s.End}
	switch s.State {
	case done:
		o.State = arm.Succeeded
	case abandoned:
		o.State = stateCanceled
	case failed:
		o.State, o.Error = arm.Failed, s.Error
	}
	return o
}

// deploymentID is the deployment of a path below it, once the caller was found to hold a right on it.
func deploymentID(c *control.Call, action string) (arm.ID, error) {
	id, err := deploymentOf(c)
	if err != nil {
		return id, err
	}
	return id, c.Control.RBAC().Check(c.Tx, c.Caller.Primary, deploymentType+"/"+action, id)
}

type statusView struct {
	Status string     `json:"status"`
	Error  *arm.Error `json:"error,omitempty"`
}

// deploymentStatus serves the URL that a PUT or DELETE told. It is not a part of the deployment, since that of a DELETE
// is asked for when the deployment is gone. A failed deployment is told with status 200.
func deploymentStatus(_ context.Context, c *control.Call) (any, error) {
	id, err := deploymentOf(c)
	if err != nil {
		return nil, err
	}
	forbidden := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, deploymentType+"/operationStatuses/read", id)
	o, err := operation.Get(c.Tx, c.Names["operation"])
	mine := err == nil && o.Principal != "" && strings.EqualFold(o.Principal, c.Caller.Primary.ObjectID)
	if forbidden != nil && !mine {
		return nil, forbidden
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && o.Resource != id.Key() {
		return nil, arm.Errorf(404, "NotFound", "The operation '%s' of deployment '%s' was not found.", c.Names["operation"], id.Name())
	}
	if err != nil {
		return nil, err
	}
	if !o.Terminal() {
		c.Reply.Set("Retry-After", "1")
	}
	if c.Query.Get("monitor") == "true" {
		return monitored(c, o)
	}
	v := statusView{Status: string(o.Status)}
	switch o.Status {
	case operation.Pending:
		v.Status = stateAccepted
	case operation.Failed:
		v.Error = o.Error
	}
	return control.Raw(v)
}

func monitored(c *control.Call, o *operation.Operation) (any, error) {
	switch {
	case !o.Terminal():
		c.Status = http.StatusAccepted
		c.Reply.Set("Location", c.Base+c.Path+"?"+c.Query.Encode())
	case o.Error != nil:
		o.Error.Status = http.StatusConflict
		return nil, o.Error
	}
	return nil, nil
}

// cancel asks a deployment to start no more resources.
func cancel(_ context.Context, c *control.Call) (any, error) {
	id, err := deploymentID(c, "cancel/action")
	if err != nil {
		return nil, err
	}
	d, err := control.Get[Deployment](c.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, missing(id)
	}
	if err != nil {
		return nil, err
	}
	if d.Properties.ProvisioningState != stateAccepted {
		return nil, arm.Errorf(409, "DeploymentCannotBeCancelled", "The deployment '%s' cannot be cancelled because its provisioning state is '%s'.", id.Name(), d.State())
	}
	c.Status = http.StatusNoContent
	return nil, operation.RequestCancel(c.Tx, d.Properties.Operation)
}
