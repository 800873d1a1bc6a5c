package resources

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
	Target template.ResourceRef `json:"target"`
	State  stepState            `json:"state,omitempty"`
	URL    string               `json:"url,omitempty"`    // of the operation
	Result bool                 `json:"result,omitempty"` // URL is a Location, which answers 202 until done
	Code   int                  `json:"code,omitempty"`   // HTTP status
	Races  int                  `json:"races,omitempty"`
	Error  *arm.Error           `json:"error,omitempty"`
	Start  time.Time            `json:"start,omitzero"`
	End    time.Time            `json:"end,omitzero"`
	veil   *veil                // over what the error may name
}

func (s *step) underWay() bool {
	return s.State == running || s.State == settling || s.State == blocked
}

func (s *step) succeed(code int) { s.State, s.Code, s.End = done, code, time.Now() }

func (s *step) fail(e *arm.Error) {
	s.State, s.Error, s.Code, s.End = failed, s.veil.arm(e), e.Status, time.Now()
	s.Target = s.veil.ref(s.Target)
}

// refuse records err when it is one that clients read; any other is a fault of ours, tried again by the engine.
func (s *step) refuse(err error) error {
	e, ok := errors.AsType[*arm.Error](visible(err))
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
	answer, err := j.client.do(ctx, http.MethodPut, r.ID, r.APIVersion, body)
	if e, ok := errors.AsType[*arm.Error](err); ok && e.Status == http.StatusConflict && e.Code == "Conflict" {
		return j.conflict(ctx, i, e)
	}
	if err != nil {
		return s.refuse(err)
	}
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
	return nil
}

// conflict tells a resource that another operation holds, perhaps our own of before a crash, from one that cannot be.
func (j *job) conflict(ctx context.Context, i int, e *arm.Error) error {
	s := &j.Steps[i]
	busy, err := j.busy(ctx, i)
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

// busy tells whether an operation on the resource is under way.
func (j *job) busy(ctx context.Context, i int) (bool, error) {
	id, err := arm.ParseID(j.plan.Resources[i].ID)
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
		if busy, err := j.busy(ctx, i); busy || err != nil {
			return err
		}
		return j.start(ctx, i)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return err
	}
	answer, err := j.client.send(ctx, http.MethodGet, u.Path, u.Query(), nil)
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
		j.learn(ctx, i)
		s.fail(ended(status.Error, status.Status))
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

func ended(e *arm.Error, state string) *arm.Error {
	if e == nil {
		e = arm.Errorf(0, "ResourceDeploymentFailure", "The resource write operation failed to complete successfully, because it reached terminal provisioning state '%s'.", state)
	}
	if e.Status == 0 {
		e.Status = http.StatusConflict // what ARM lists as the status of an operation that failed later
	}
	return e
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
	control *control.Control
	caller  authn.Caller
	run     *operation.Run // whose requests these are
}

const base = "https://management.azure.com"

func (c client) do(ctx context.Context, method, path, version string, body []byte) (*control.Response, error) {
	return c.send(ctx, method, path, url.Values{"api-version": {version}}, body)
}

func (c client) send(ctx context.Context, method, path string, query url.Values, body []byte) (*control.Response, error) {
	request := control.Request{Method: method, Path: path, Query: query, Body: body, Caller: c.caller, Base: base}
	answer, err := c.control.Do(ctx, control.Following(&c.run.Operation, request))
	if err == nil && answer.Header == nil {
		answer.Header = http.Header{}
	}
	return answer, err
}
