package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/provider/deployments/veil"
	"vitrine/internal/provider/deployments/whatif"
	"vitrine/internal/store"
	"vitrine/internal/template"
	"vitrine/internal/template/tree"
)

// patience is for how long a rehearsal goes on writing: it holds a transaction, for which others wait. What is left then is
// asked for rights alone, and told as the template has it.
const patience = 3 * time.Second

// maxRehearsed is how many resources a template may write, those of nested deployments counted, to be rehearsed.
const maxRehearsed = 2000

// leaf is one resource that a deployment, or one nested in it, would write.
type leaf struct {
	template.Resource
	before, after *tree.Object // as GET shows them; nil: does not exist, or cannot be known
	unseen        bool         // the caller may not read it
	draft         *tree.Object // as the template has it
	fault         *arm.Error
	sure          bool // the fault comes from nothing that the rehearsal could not know
}

// counts tells whether the fault is one that the deployment would certainly meet: missing rights and locks always, other
// things only where nothing around them is new, since what takes long was only taken for done.
func (l *leaf) counts() bool {
	switch {
	case l.fault == nil, l.fault.Code == "Conflict" && l.fault.Status == http.StatusConflict: // busy now: it would be waited for
		return false
	case l.fault.Status == http.StatusForbidden, l.fault.Code == "ScopeLocked":
		return true
	}
	return l.sure
}

// rehearsal walks over a plan and those nested in it as they would be written, keeping nothing.
type rehearsal struct {
	p        *Provider
	ctx      context.Context
	end      time.Time // see patience
	inside   *control.Rehearsal
	client   client
	leaves   []*leaf
	veils    []*veil.Veil
	complete bool                       // what is not in the template goes
	looking  bool                       // states are asked for, as what-if needs
	outputs  map[string]json.RawMessage // documents of nested deployments, by key
	fetched  map[string]json.RawMessage // bodies of nested deployments with what their links lead to
	unsure   map[string]bool            // keys of resources that are new, or nobody knows how they end
}

// needsLink asks for a link of a nested deployment to be fetched: that cannot be done within a transaction.
type needsLink struct {
	lineage lineage.Lineage
	body    string
}

func (needsLink) Error() string { return "a linked template is needed" }

// rehearse tells what the deployment x would do to each resource, and with looking how each is before and after.
func (p *Provider) rehearse(ctx context.Context, caller authn.Caller, x expanded, looking bool) (*rehearsal, error) {
	r := &rehearsal{p: p, looking: looking, ctx: ctx, complete: x.Env.Mode == complete, fetched: map[string]json.RawMessage{}}
	for {
		err := p.control.Rehearse(ctx, func(inside *control.Rehearsal) error {
			r.inside, r.leaves, r.veils, r.end = inside, nil, nil, time.Now().Add(patience)
			r.outputs, r.unsure = map[string]json.RawMessage{}, map[string]bool{}
			r.client = client{control: p.control, caller: caller, rehearse: r.answer}
			return r.walk(x, false)
		})
		need, ok := errors.AsType[needsLink](err)
		if !ok {
			return r, err
		}
		if len(r.fetched) >= 64 {
			return r, arm.Errorf(400, "InvalidContentLink", "The template and those nested in it link to more than 64 others.")
		}
		if r.fetched[need.body], err = p.links.Inline(ctx, json.RawMessage(need.body), need.lineage.Link); err != nil {
			return r, err
		}
	}
}

// answer is the pipeline, but for nested deployments, which are not written but walked over.
func (r *rehearsal) answer(q control.Request) (*control.Response, error) {
	if id, err := arm.ParseID(q.Path); err == nil && q.Method == http.MethodGet {
		if doc, ok := r.outputs[id.Key()]; ok {
			return &control.Response{Status: http.StatusOK, Body: doc}, nil
		}
	}
	return r.inside.Do(q)
}

// walk rehearses the resources of a plan in their order. unsure: the plan itself hangs on what is not known.
func (r *rehearsal) walk(x expanded, unsure bool) error {
	r.veils = append(r.veils, x.veil)
	if len(r.leaves)+len(x.Resources) > maxRehearsed {
		return arm.Errorf(400, "InvalidTemplate", "Deployment template validation failed: 'the template and those nested in it write more than %d resources.'.", maxRehearsed)
	}
	for i, res := range x.Resources {
		doubtful := unsure
		for _, on := range res.DependsOn {
			doubtful = doubtful || r.unsure[strings.ToLower(x.Resources[on].ID)]
		}
		body, err := x.Body(i, runtime{r.ctx, r.client, x.veil})
		if err == nil && strings.EqualFold(res.Type, deploymentType) {
			err = r.nested(x, res, body, doubtful)
			if _, told := errors.AsType[*arm.Error](veil.Visible(err)); err == nil {
				continue
			} else if !told {
				return err
			}
		}
		l := &leaf{Resource: res, sure: !doubtful && !x.Late(i)}
		l.draft, _ = x.Draft(i).(*tree.Object)
		r.leaves = append(r.leaves, l)
		if err != nil {
			fault, told := errors.AsType[*arm.Error](veil.Visible(err))
			if !told {
				return err
			}
			l.fault, r.unsure[strings.ToLower(res.ID)] = x.veil.Arm(fault), true
			continue
		}
		if err := r.write(x, l, body); err != nil {
			return err
		}
	}
	return nil
}

// write rehearses one resource.
func (r *rehearsal) write(x expanded, l *leaf, body json.RawMessage) error {
	key := strings.ToLower(l.ID)
	_, err := r.inside.Tx.Get(key)
	if r.unsure[key] = err != nil; err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInvalid) {
		return err
	}
	if err := r.look(l, &l.before); err != nil {
		return err
	}
	if time.Now().After(r.end) {
		r.unsure[key] = true
		return r.right(x, l)
	}
	_, err = r.client.do(r.ctx, http.MethodPut, l.ID, l.APIVersion, body)
	if err == nil {
		return r.look(l, &l.after)
	}
	fault, told := errors.AsType[*arm.Error](veil.Visible(err))
	if !told {
		return err
	}
	l.fault, r.unsure[key] = x.veil.Arm(fault), true
	return nil
}

// right asks for nothing but the right to write a resource.
func (r *rehearsal) right(x expanded, l *leaf) error {
	who := r.client.caller.Primary
	id, err := arm.ParseID(l.ID)
	if err == nil {
		err = r.p.control.RBAC().Check(r.inside.Tx, who, r.p.control.Permission(l.Type)+"/write", id.In(who.TenantID))
	}
	fault, told := errors.AsType[*arm.Error](err)
	if err == nil || !told {
		return err
	}
	l.fault = x.veil.Arm(fault)
	return nil
}

// look asks how a resource is now. Who may write it may not be allowed to read it.
func (r *rehearsal) look(l *leaf, into **tree.Object) error {
	if !r.looking {
		return nil
	}
	var err error
	*into, err = r.state(l.ID, l.APIVersion)
	if _, told := errors.AsType[*arm.Error](err); told {
		l.unseen, err = true, nil
	}
	return err
}

// state is what a GET of a resource shows now, nil if it does not exist.
func (r *rehearsal) state(id, version string) (*tree.Object, error) {
	answer, err := r.client.do(r.ctx, http.MethodGet, id, version, nil)
	if e, ok := errors.AsType[*arm.Error](err); ok && e.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := tree.Decode(answer.Body)
	o, ok := v.(*tree.Object)
	if err != nil || !ok {
		return nil, err
	}
	return whatif.Visible(o, version), nil
}

// nested walks over a nested deployment.
func (r *rehearsal) nested(x expanded, res template.Resource, raw json.RawMessage, unsure bool) error {
	id, err := arm.ParseID(res.ID)
	if err != nil {
		return err
	}
	who := r.client.caller
	id = id.In(who.Primary.TenantID)
	if err := placed(id); err != nil {
		return err
	}
	if err := deploymentName(id.Name()); err != nil {
		return err
	}
	if err := r.p.control.RBAC().Check(r.inside.Tx, who.Primary, deploymentType+"/write", id); err != nil {
		return err
	}
	around := x.Lineage.Child(nestedIn(x.Plan), x.Env.TemplateLink)
	if raw, err = r.links(raw, around); err != nil {
		return err
	}
	req, err := readRequest(raw)
	if err != nil {
		return err
	}
	load, err := r.p.payload(r.inside.Tx, asked{who, id, req, x.Env.Now}, around)
	if err != nil {
		return err
	}
	inner, err := r.p.expand(load)
	if err != nil {
		return err
	}
	if err := r.p.preflight(inner); err != nil {
		return inner.veil.Err(err)
	}
	if err := r.walk(inner, unsure); err != nil {
		return err
	}
	outputs, err := inner.Outputs(runtime{r.ctx, r.client, inner.veil})
	if err == nil { // else whoever asks for them finds that there is no such deployment yet
		r.outputs[id.Key()] = mustJSON(map[string]any{"id": res.ID, "properties": map[string]any{"provisioningState": arm.Succeeded, "outputs": outputs}})
	}
	return nil
}

// links gives the body of a nested deployment with what its links lead to.
func (r *rehearsal) links(raw json.RawMessage, around lineage.Lineage) (json.RawMessage, error) {
	var head struct {
		Properties struct{ TemplateLink, ParametersLink json.RawMessage }
	}
	if json.Unmarshal(raw, &head) != nil || !given(head.Properties.TemplateLink) && !given(head.Properties.ParametersLink) {
		return raw, nil
	}
	if done, ok := r.fetched[string(raw)]; ok {
		return done, nil
	}
	return nil, needsLink{around, string(raw)}
}

// faults are those that count, each naming its resource.
func (r *rehearsal) faults() []*arm.Error {
	var all []*arm.Error
	for _, l := range r.leaves {
		if l.counts() {
			e := *l.fault
			if e.Target == "" {
				e.Target = l.ID
			}
			all = append(all, &e)
		}
	}
	return all
}
