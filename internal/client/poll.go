package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
)

// Poller follows a request that outlives its answer, as Azure's SDKs do: by Azure-AsyncOperation, else by Location,
// else by the resource's own provisioningState.
type Poller struct {
	arm      *ARM
	method   string
	resource string // URL of the resource
	status   string // Azure-AsyncOperation
	location string
	last     reply
	done     bool
}

// Begin sends a request and returns what follows it.
func (a *ARM) Begin(ctx context.Context, method, path, version string, in any) (*Poller, error) {
	target := resourceURL(path, version)
	r, err := a.send(ctx, method, target, in)
	if err != nil {
		return nil, err
	}
	p := &Poller{arm: a, method: method, resource: target, status: r.header.Get("Azure-AsyncOperation"), location: r.header.Get("Location"), last: r}
	switch {
	case p.status != "", p.location != "" && r.status == http.StatusAccepted:
	default:
		p.done, err = p.settled(r)
	}
	return p, err
}

// Interval is how long to wait before the next Poll.
func (p *Poller) Interval() time.Duration { return retryAfter(p.last.header, time.Second) }

// Poll asks once whether the work has ended. A failure of the work is an *arm.Error.
func (p *Poller) Poll(ctx context.Context) (done bool, err error) {
	if p.done {
		return true, nil
	}
	target := p.resource
	if p.status != "" {
		target = p.status
	} else if p.location != "" {
		target = p.location
	}
	if p.last, err = p.arm.send(ctx, http.MethodGet, target, nil); err != nil {
		return false, err
	}
	switch {
	case p.status != "":
		p.done, err = ended(p.last.body)
	case p.location != "":
		if next := p.last.header.Get("Location"); next != "" {
			p.location = next
		}
		p.done = p.last.status != http.StatusAccepted
	default:
		p.done, err = p.settled(p.last)
	}
	return p.done, err
}

// ended reads the body of an operation's status.
func ended(body []byte) (bool, error) {
	var s struct {
		Status string
		Error  *arm.Error
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return false, fmt.Errorf("the status of the operation: %w", err)
	}
	switch {
	case strings.EqualFold(s.Status, arm.Succeeded):
		return true, nil
	case strings.EqualFold(s.Status, arm.Failed), strings.EqualFold(s.Status, arm.Canceled):
		if s.Error == nil {
			s.Error = arm.Errorf(409, "Operation"+s.Status, "The operation ended as %s and did not say why.", s.Status)
		}
		return true, s.Error
	}
	return false, nil
}

// settled reads the state of the resource itself. What has none is done.
func (p *Poller) settled(r reply) (bool, error) {
	if p.method != http.MethodPut && p.method != http.MethodPatch {
		return true, nil
	}
	var body struct {
		Properties struct{ ProvisioningState string }
	}
	if json.Unmarshal(r.body, &body) != nil {
		return true, nil // not a resource
	}
	switch state := body.Properties.ProvisioningState; {
	case state == "", strings.EqualFold(state, arm.Succeeded):
		return true, nil
	case strings.EqualFold(state, arm.Failed), strings.EqualFold(state, arm.Canceled):
		return true, arm.Errorf(409, "ResourceDeployment"+state, "The resource is in provisioning state %s.", state)
	}
	return false, nil
}

// Result decodes what came of it: the resource as it is now for PUT and PATCH, what Location leads to for POST.
func (p *Poller) Result(ctx context.Context, out any) error {
	if out == nil {
		return nil
	}
	target := ""
	switch {
	case p.status == "": // the last answer is the result, or the resource
	case p.method == http.MethodPut, p.method == http.MethodPatch:
		target = p.resource
	case p.method == http.MethodPost:
		target = p.location
	}
	if target != "" {
		r, err := p.arm.send(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		p.last = r
	}
	return p.last.decode(out)
}
