package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/deployments/veil"
	"vitrine/internal/provider/deployments/whatif"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

const whatIfWork = "deployments/whatIf"

// whatIfInput is what the operation keeps of a question.
type whatIfInput struct {
	Caller     authn.Caller `json:"caller"`
	Deployment string       `json:"deployment"` // key
	Format     string       `json:"format"`
	Sealed     string       `json:"sealed"` // a payload
}

// prediction is the answer of what-if.
type prediction struct {
	Status     string             `json:"status"`
	Properties *predictionDetails `json:"properties,omitempty"`
	Error      *arm.Error         `json:"error,omitempty"`
}

type predictionDetails struct {
	CorrelationID string          `json:"correlationId"`
	Changes       []whatif.Change `json:"changes"`
}

// whatIf serves POST …/whatIf: the operation behind it compares what is with what a PUT of each resource would store.
func (p *Provider) whatIf(ctx context.Context, c *control.Call) (any, error) {
	x, id, err := p.prepared(ctx, c, "whatIf/action")
	if err != nil {
		return nil, err
	}
	if f := x.format; f != "" && !strings.EqualFold(f, "FullResourcePayloads") && !strings.EqualFold(f, "ResourceIdOnly") {
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: the resultFormat of what-if must be 'FullResourcePayloads' or 'ResourceIdOnly'; it is '%.80s'.", f).At("whatIfSettings.resultFormat")
	}
	name := uuid.NewString()
	resource := id.Child("whatIfs", name).Key()
	sealed, err := x.seal(p.sealer, resource)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(whatIfInput{Caller: c.Caller, Deployment: id.Key(), Format: x.format, Sealed: sealed})
	if err != nil {
		return nil, err
	}
	c.Commit = func(tx store.Tx) error {
		return operation.Begin(tx, operation.Operation{ID: name, Work: whatIfWork, Resource: resource, Action: "Microsoft.Resources/whatIfAnswers/read", // another's answer is for who may read everything there

			Tenant: c.Caller.Primary.TenantID, Principal: c.Caller.Primary.ObjectID, Input: input, Start: p.control.Now()})
	}
	at := ""
	if id.Subscription != "" {
		at = "/subscriptions/" + id.Subscription
	}
	c.Status = http.StatusAccepted
	c.Reply.Set("Location", c.Base+at+"/operationresults/"+name+"?api-version="+c.Query.Get("api-version"))
	c.Reply.Set("Retry-After", "1")
	return nil, nil
}

// predict is the work of what-if. A deployment that could not run is an answer too, not a failure of the question.
func (p *Provider) predict(ctx context.Context, r *operation.Run) error {
	var in whatIfInput
	if err := r.Read(&in); err != nil {
		return err
	}
	load, err := openPayload(p.sealer, in.Sealed, r.Resource)
	if err != nil {
		return err
	}
	id, err := arm.ParseKey(in.Deployment)
	if err != nil {
		return err
	}
	x, err := p.expand(load)
	if err != nil {
		return err
	}
	answer := prediction{Status: arm.Succeeded}
	changes, err := p.compare(ctx, in, id, x)
	if fault, told := errors.AsType[*arm.Error](veil.Visible(err)); told {
		answer.Status, answer.Error = arm.Failed, x.veil.Arm(fault)
	} else if err != nil {
		return err
	} else {
		answer.Properties = &predictionDetails{CorrelationID: uuid.NewString(), Changes: changes}
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	sealed, err := p.sealer.Seal(raw, r.Resource)
	if err != nil {
		return err
	}
	r.Output, err = json.Marshal(sealed)
	r.Sealed = true
	return err
}

// compare rehearses the deployment and words what it would change.
func (p *Provider) compare(ctx context.Context, in whatIfInput, id arm.ID, x expanded) ([]whatif.Change, error) {
	r, err := p.rehearse(ctx, in.Caller, x, true)
	if err != nil {
		return nil, err
	}
	faults := r.faults()
	changes := []whatif.Change{}
	for _, l := range r.leaves {
		c, err := l.change()
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	resources := len(changes)
	if id.ResourceGroup != "" {
		rest, more, err := p.rest(ctx, in.Caller, id, r)
		if err != nil {
			return nil, err
		}
		changes, faults = append(changes, rest...), append(faults, more...)
		resources = len(changes) + len(more)
	}
	if len(faults) > 0 {
		return nil, invalidDeployment(resources, faults)
	}
	for i := range changes {
		if strings.EqualFold(in.Format, "ResourceIdOnly") {
			changes[i] = whatif.Brief(changes[i])
		}
	}
	for _, v := range r.veils {
		changes = veil.Hidden(v, changes)
	}
	return changes, nil
}

// change words what would happen to one resource.
func (l *leaf) change() (whatif.Change, error) {
	switch {
	case l.unseen:
		return whatif.Change{ResourceID: l.ID, ChangeType: whatif.Unsupported, UnsupportedReason: "The resource cannot be read with the rights of whoever asks, so that what would change of it is not known."}, nil
	case l.before == nil: // the template's own words, as Azure shows them: what is made of them is the provider's
		return whatif.Compare(l.ID, nil, whatif.Declared(l.Resource, l.draft))
	case l.after == nil:
		return whatif.Same(l.ID, whatif.Deploy, l.before)
	}
	return whatif.Compare(l.ID, l.before, l.after)
}

// rest tells of what stands in the group and is not in the template: it is ignored or, in mode Complete, deleted. What the
// caller may not read is not told.
func (p *Provider) rest(ctx context.Context, caller authn.Caller, id arm.ID, r *rehearsal) ([]whatif.Change, []*arm.Error, error) {
	kept := map[string]bool{}
	for _, l := range r.leaves {
		kept[strings.ToLower(l.ID)] = true
	}
	var changes []whatif.Change
	var faults []*arm.Error
	err := p.control.Rehearse(ctx, func(inside *control.Rehearsal) error {
		changes, faults = nil, nil
		refs, err := contents(inside.Tx, p.control, id.Group())
		if err != nil {
			return err
		}
		asking := &rehearsal{p: p, ctx: ctx, inside: inside}
		asking.client = client{control: p.control, caller: caller, rehearse: asking.answer}
		for _, ref := range refs {
			if isKept(ref.ID, kept) || len(changes) >= maxRehearsed {
				continue
			}
			c, fault, err := asking.surplus(ref, r.complete)
			if err != nil {
				return err
			}
			if fault != nil {
				faults = append(faults, fault)
			}
			changes = append(changes, c...)
		}
		return nil
	})
	return changes, faults, err
}

// surplus tells what would happen to a resource that is not in the template.
func (r *rehearsal) surplus(ref template.ResourceRef, goes bool) ([]whatif.Change, *arm.Error, error) {
	state, err := r.state(ref.ID, r.p.control.Newest(ref.ResourceType))
	if _, told := errors.AsType[*arm.Error](err); err != nil && !told {
		return nil, nil, err
	}
	if !goes {
		if state == nil {
			return nil, nil, nil
		}
		c, err := whatif.Same(ref.ID, whatif.Ignore, state)
		return []whatif.Change{c}, nil, err
	}
	_, err = r.client.do(r.ctx, http.MethodDelete, ref.ID, string(versions[0]), nil)
	fault, told := errors.AsType[*arm.Error](err)
	switch {
	case err != nil && !told:
		return nil, nil, err
	case told && (fault.Status == http.StatusForbidden || fault.Code == "ScopeLocked"):
		return nil, fault.At(ref.ID), nil
	case state == nil:
		return []whatif.Change{{ResourceID: ref.ID, ChangeType: whatif.Delete}}, nil, nil
	}
	c, err := whatif.Same(ref.ID, whatif.Delete, state)
	return []whatif.Change{c}, nil, err
}
