package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/store"
)

// onError is which earlier deployment of the scope is deployed again when this one fails. State is filled in at the end.
type onError struct {
	State string `json:"provisioningState,omitempty"`
	Type  string `json:"type"`
	Name  string `json:"deploymentName,omitempty"`
}

const (
	lastSuccessful     = "LastSuccessful"
	specificDeployment = "SpecificDeployment"
)

// readOnError reads onErrorDeployment; nil if there is none.
func readOnError(raw json.RawMessage) (*onError, error) {
	if !given(raw) {
		return nil, nil
	}
	var o onError
	err := json.Unmarshal(raw, &o)
	switch {
	case err == nil && strings.EqualFold(o.Type, lastSuccessful) && o.Name == "":
		return &onError{Type: lastSuccessful}, nil
	case err == nil && strings.EqualFold(o.Type, specificDeployment) && deploymentName(o.Name) == nil:
		return &onError{Type: specificDeployment, Name: o.Name}, nil
	}
	return nil, arm.Errorf(400, "InvalidOnErrorDeployment", "The property 'onErrorDeployment' must have the type 'LastSuccessful', or 'SpecificDeployment' and a deploymentName.").At("onErrorDeployment")
}

// rollback is the redeployment after a failure, as recorded.
type rollback struct {
	Step step   `json:"step"`
	Of   string `json:"of"` // name of the deployment that is deployed again
}

// rollBack begins the redeployment, or looks after it, and tells whether it is under way. It is a deployment of its own, of those
// who sent this one, with the template of then and the values of then but the secure ones, which nobody keeps.
func (j *job) rollBack(ctx context.Context) (underWay bool, err error) {
	if j.plan.OnError == nil || !j.failed() {
		return false, nil
	}
	if j.Rollback == nil {
		j.Rollback = &rollback{}
	}
	s := &j.Rollback.Step
	s.veil = j.plan.veil
	switch s.State {
	case blocked:
		if busy, err := j.busy(ctx, s); busy || err != nil {
			return true, err
		}
		err = j.redeploy(ctx, j.Rollback)
	case pending: // also after a fault of ours, which is tried again
		err = j.redeploy(ctx, j.Rollback)
	case running:
		err = j.client.ask(ctx, s, func() {})
	}
	return s.underWay(), err
}

func (j *job) redeploy(ctx context.Context, r *rollback) error {
	s := &r.Step
	old, body, err := j.earlier(ctx)
	if err != nil {
		return s.refuse(err)
	}
	r.Of = old.Name()
	name := j.id.Name()
	id, err := arm.ParseID(strings.TrimSuffix(old.String(), old.Name()) + name[:min(len(name), 55)] + "-rollback")
	if err != nil {
		return err
	}
	s.Target.ID, s.Target.ResourceName, s.Target.ResourceType = id.String(), id.Name(), deploymentType
	answer, err := j.client.do(lineage.With(ctx, j.plan.Lineage), http.MethodPut, id.String(), string(versions[0]), body)
	if waits, failure := j.waits(ctx, s, err); waits || failure != nil {
		return failure
	}
	if err != nil {
		return s.refuse(err)
	}
	s.begun(answer)
	return nil
}

// earlier finds the deployment to go back to, and makes the request that deploys it again.
func (j *job) earlier(ctx context.Context) (arm.ID, json.RawMessage, error) {
	var found *control.Resource[Deployment]
	err := j.client.control.Store().View(ctx, func(tx store.Tx) error {
		prefix := strings.TrimSuffix(j.id.Key(), strings.ToLower(j.id.Name()))
		all, err := control.Select[Deployment](tx, store.Query{Kind: control.Kind(deploymentType), Prefix: prefix})
		found = nil
		for _, d := range all {
			named := j.plan.OnError.Type == lastSuccessful || strings.EqualFold(d.Name, j.plan.OnError.Name)
			if named && d.State() == arm.Succeeded && (found == nil || d.Properties.Begun > found.Properties.Begun) {
				found = d
			}
		}
		return err
	})
	if err == nil && found == nil {
		err = arm.Errorf(404, "DeploymentNotFound", "There is no deployment '%s' that succeeded, to which to roll back.", j.plan.OnError.Name)
	}
	if err != nil {
		return arm.ID{}, nil, err
	}
	load, err := openPayload(j.sealer, found.Properties.Sealed, found.ParsedID().Key())
	if err != nil {
		return arm.ID{}, nil, errors.Join(arm.Errorf(409, "DeploymentNotFound", "The template of the deployment '%s' cannot be read any more.", found.Name), err)
	}
	type value struct {
		Value json.RawMessage `json:"value"`
	}
	values := map[string]value{}
	for name, p := range found.Properties.Parameters {
		if p.Value != nil {
			values[name] = value{p.Value}
		}
	}
	body := map[string]any{"properties": map[string]any{"mode": incremental, "template": json.RawMessage(load.Template), "parameters": values}}
	if found.Location != "" {
		body["location"] = found.Location
	}
	return found.ParsedID(), mustJSON(body), nil
}
