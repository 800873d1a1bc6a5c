package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/provider/deployments/veil"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// stepState is how far one resource of a deployment is.
type stepState string

const (
	pending   stepState = ""          // its turn has not come
	running   stepState = "running"   // its operation is at URL
	settling  stepState = "settling"  // it was written; its provisioning state tells when it is ready
	blocked   stepState = "blocked"   // another operation holds it, perhaps our own of before a crash
	done      stepState = "done"      //
	failed    stepState = "failed"    //
	abandoned stepState = "abandoned" // under way when the deployment was cancelled
)

// step is one resource of a deployment, as recorded.
type step struct {
	Target  template.ResourceRef `json:"target"`
	State   stepState            `json:"state,omitempty"`
	URL     string               `json:"url,omitempty"`    // of the operation
	Result  bool                 `json:"result,omitempty"` // URL is a Location, which answers 202 until done
	Code    int                  `json:"code,omitempty"`   // HTTP status
	Races   int                  `json:"races,omitempty"`
	Removal bool                 `json:"removal,omitempty"` // the resource is deleted
	Error   *arm.Error           `json:"error,omitempty"`
	Start   time.Time            `json:"start,omitzero"`
	End     time.Time            `json:"end,omitzero"`
	veil    *veil.Veil           // over what the error may name
}

func (s *step) underWay() bool {
	return s.State == running || s.State == settling || s.State == blocked
}

func (s *step) succeed(code int) { s.State, s.Code, s.End = done, code, time.Now() }

func (s *step) fail(e *arm.Error) {
	s.State, s.Error, s.Code, s.End = failed, s.veil.Arm(e), e.Status, time.Now()
	s.Target = s.veil.Ref(s.Target)
}

// refuse records err when it is one that clients read; any other is a fault of ours, tried again by the engine.
func (s *step) refuse(err error) error {
	e, ok := errors.AsType[*arm.Error](veil.Visible(err))
	if !ok {
		return err
	}
	s.fail(e)
	return nil
}

// detail is the entry of DeploymentFailed: the resource's own error, which names the resource unless it names a property.
func (s *step) detail() *arm.Error {
	e := *s.Error
	if e.Target == "" {
		e.Target = s.Target.ID
	}
	return &e
}

// maxRaces is how often a resource is written again after a conflict that no operation explains.
const maxRaces = 3

// start PUTs a resource.
func (j *job) start(ctx context.Context, i int) error {
	s, r := &j.Steps[i], j.plan.Resources[i]
	if s.Start.IsZero() {
		s.Start = time.Now()
	}
	body, err := j.plan.Body(i, j.runtime(ctx))
	if err != nil {
		return s.refuse(err)
	}
	if strings.EqualFold(r.Type, deploymentType) {
		ctx = lineage.With(ctx, j.plan.Lineage.Child(nestedIn(j.plan.Plan), j.plan.Env.TemplateLink))
	}
	answer, err := j.client.do(ctx, http.MethodPut, r.ID, r.APIVersion, body)
	if waits, failure := j.waits(ctx, s, err); waits || failure != nil {
		return failure
	}
	if err != nil {
		return s.refuse(err)
	}
	s.begun(answer)
	return nil
}

// begun tells by the answer of a write whether it is done, or where to ask.
func (s *step) begun(answer *control.Response) {
	s.Code = answer.Status
	follow, location := answer.Header.Get("Azure-AsyncOperation"), answer.Header.Get("Location")
	switch {
	case follow != "":
		s.State, s.URL = running, follow
	case location != "" && answer.Status == http.StatusAccepted:
		s.State, s.URL, s.Result = running, location, true
	case !settled(stateOf(answer.Body)):
		s.State = settling
	default:
		s.succeed(answer.Status)
	}
}

// waits lets a step wait whose write met a conflict that passes, and tells whether it did.
func (j *job) waits(ctx context.Context, s *step, err error) (bool, error) {
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || e.Status != http.StatusConflict {
		return false, nil
	}
	passes, err := e.Code == "Conflict", error(nil)
	if e.Code == "DeploymentActive" {
		passes, err = j.later(ctx, s)
	}
	if !passes || err != nil {
		return false, err
	}
	return true, j.conflict(ctx, s, e)
}

// later tells whether the deployment that is a step's target began after this one, such as our own nested one of before a crash:
// whoever waits began before those it waits for, so that none waits for itself or for one around it.
func (j *job) later(ctx context.Context, s *step) (later bool, err error) {
	id, err := j.target(s)
	if err != nil {
		return false, err
	}
	err = j.client.control.Store().View(ctx, func(tx store.Tx) error {
		switch d, err := control.Get[Deployment](tx, id); {
		case errors.Is(err, store.ErrNotFound):
			later = true // it is gone meanwhile
		case err != nil:
			return err
		default:
			begun, err := time.Parse(time.RFC3339Nano, d.Properties.Begun)
			later = err == nil && begun.After(j.begun)
		}
		return nil
	})
	return later, err
}

// target is the ID of a step's resource, with its tenant if it is in no subscription.
func (j *job) target(s *step) (arm.ID, error) {
	id, err := arm.ParseID(s.Target.ID)
	return id.In(j.client.caller.Primary.TenantID), err
}

// conflict tells a resource that another operation holds, perhaps our own of before a crash, from one that cannot be.
func (j *job) conflict(ctx context.Context, s *step, e *arm.Error) error {
	busy, err := j.busy(ctx, s)
	if err != nil {
		return err
	}
	if !busy {
		s.Races++
	}
	if s.State = blocked; s.Races > maxRaces {
		s.fail(e)
	}
	return nil
}

// busy tells whether an operation on a step's resource is under way.
func (j *job) busy(ctx context.Context, s *step) (bool, error) {
	id, err := j.target(s)
	if err != nil {
		return false, err
	}
	var open []*operation.Operation
	err = j.client.control.Store().View(ctx, func(tx store.Tx) error {
		open, err = operation.Open(tx, id.Key())
		return err
	})
	return len(open) > 0, err
}

// follow looks after a resource under way.
func (j *job) follow(ctx context.Context, i int) error {
	s := &j.Steps[i]
	switch s.State {
	case settling:
		return j.watch(ctx, i)
	case blocked:
		if busy, err := j.busy(ctx, s); busy || err != nil {
			return err
		}
		return j.start(ctx, i)
	}
	return j.client.ask(ctx, s, func() { j.learn(ctx, i) })
}

// ask looks at the URL of a step's operation; before is called when it failed.
func (c client) ask(ctx context.Context, s *step, before func()) error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return err
	}
	answer, err := c.send(ctx, http.MethodGet, u.Path, u.Query(), nil)
	switch {
	case err != nil:
		return s.refuse(err)
	case s.Result && answer.Status == http.StatusAccepted:
		return nil
	case s.Result:
		s.succeed(http.StatusOK)
		return nil
	}
	var status struct {
		Status string
		Error  *arm.Error
	}
	if err := json.Unmarshal(answer.Body, &status); err != nil {
		return err
	}
	switch {
	case strings.EqualFold(status.Status, arm.Succeeded):
		s.succeed(http.StatusOK)
	case settled(status.Status):
		before()
		failure := ended(status.Error, status.Status)
		if s.Removal {
			failure = s.kept(status.Error)
		}
		s.fail(failure)
	}
	return nil
}

// learn asks again for what list functions told a resource's body, perhaps before a crash, so that an error does not show it.
func (j *job) learn(ctx context.Context, i int) {
	if j.plan.Late(i) {
		_, _ = j.plan.Body(i, j.runtime(ctx)) // what is not answered any more is no secret that we could know
	}
}

// watch looks at the resource itself until it is ready.
func (j *job) watch(ctx context.Context, i int) error {
	s, r := &j.Steps[i], j.plan.Resources[i]
	answer, err := j.client.do(ctx, http.MethodGet, r.ID, r.APIVersion, nil)
	if err != nil {
		return s.refuse(err)
	}
	switch state := stateOf(answer.Body); {
	case !settled(state):
	case state == "" || strings.EqualFold(state, arm.Succeeded):
		s.succeed(http.StatusOK)
	default:
		s.fail(ended(nil, state))
	}
	return nil
}

// ended words the failure of what was accepted: ARM's own error around the resource's, if it said one (reported with machines whose
// allocation failed, and with nested deployments). What is refused at once is told as it is.
func ended(e *arm.Error, state string) *arm.Error {
	failure := arm.Errorf(http.StatusConflict, "ResourceDeploymentFailure", "The resource write operation failed to complete successfully, because it reached terminal provisioning state '%s'.", state)
	if e != nil {
		failure.Details = []*arm.Error{e}
	}
	return failure
}

func stateOf(body []byte) string {
	var r struct {
		Properties struct{ ProvisioningState string }
	}
	if json.Unmarshal(body, &r) != nil {
		return ""
	}
	return r.Properties.ProvisioningState
}

// settled tells whether a state is terminal (the RPC contract's three); absent means that the type has none.
func settled(state string) bool {
	switch strings.ToLower(state) {
	case "", "succeeded", "failed", "canceled":
		return true
	}
	return false
}

// client sends requests through the pipeline as those who sent the deployment.
type client struct {
	control  *control.Control
	caller   authn.Caller
	run      *operation.Run                                   // whose requests these are
	rehearse func(control.Request) (*control.Response, error) // instead of run
}

const base = "https://management.azure.com"

func (c client) do(ctx context.Context, method, path, version string, body []byte) (*control.Response, error) {
	return c.send(ctx, method, path, url.Values{"api-version": {version}}, body)
}

func (c client) send(ctx context.Context, method, path string, query url.Values, body []byte) (*control.Response, error) {
	r := control.Request{Method: method, Path: path, Query: query, Header: http.Header{}, Body: body, Caller: c.caller, Base: base}
	do := c.rehearse
	if do == nil {
		do = func(r control.Request) (*control.Response, error) {
			return c.control.Do(ctx, control.Following(&c.run.Operation, r))
		}
	}
	answer, err := do(r)
	if err == nil && answer.Header == nil {
		answer.Header = http.Header{}
	}
	return answer, err
}
