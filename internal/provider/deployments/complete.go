package deployments

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sort"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// cleanup is the end of a deployment of mode Complete: what is in the group and not in the template goes. Each deletion is a
// request of those who sent the deployment, so that rights and locks are asked as for any other.
type cleanup struct {
	Steps []step `json:"steps"`
}

// mustTidy tells whether the deployment ends with a cleanup.
func (j *job) mustTidy() bool { return j.plan.Env.Mode == complete }

// tidy goes on with the cleanup once every resource is written.
func (j *job) tidy(ctx context.Context) (changed bool, err error) {
	if !j.mustTidy() || j.failed() && j.Cleanup == nil {
		return false, nil
	}
	if j.Cleanup == nil {
		for i := range j.Steps {
			if j.Steps[i].State != done {
				return false, nil
			}
		}
		found, err := j.surplus(ctx)
		j.Cleanup = &cleanup{Steps: found}
		return true, err
	}
	held := 0
	for i := range j.Cleanup.Steps {
		s := &j.Cleanup.Steps[i]
		if s.State == done || s.State == failed {
			continue
		}
		before := s.State
		if held++; held > maxActive {
			break
		}
		if err := j.remove(ctx, s); err != nil {
			return changed, err
		}
		changed = changed || s.State != before
	}
	return changed, nil
}

// maxRefused is for how long a resource may refuse to go because others, which go too, still hang on it.
const maxRefused = 20 * time.Second

// remove begins the deletion of one resource, or looks after it.
func (j *job) remove(ctx context.Context, s *step) error {
	if s.State == running {
		return j.client.ask(ctx, s, func() {})
	}
	if s.Start.IsZero() {
		s.Start = time.Now()
	}
	answer, err := j.client.do(ctx, http.MethodDelete, s.Target.ID, string(versions[0]), nil)
	e, told := errors.AsType[*arm.Error](err)
	switch {
	case err == nil && answer.Status == http.StatusAccepted:
		s.begun(answer)
	case err == nil:
		s.succeed(http.StatusOK)
	case !told:
		return err
	case e.Status == http.StatusNotFound:
		s.succeed(http.StatusNotFound)
	case e.Status == http.StatusConflict && e.Code != "ScopeLocked" && time.Since(s.Start) < maxRefused:
		s.State = blocked
	default:
		s.fail(s.kept(e))
	}
	return nil
}

// kept words why a resource that should go stays.
func (s *step) kept(e *arm.Error) *arm.Error {
	failure := arm.Errorf(http.StatusConflict, "DeploymentFailedCleanUp", "Unable to delete the resource '%s', which is not in the template of this deployment of mode 'Complete'.", s.Target.ID).At(s.Target.ID)
	if e != nil {
		failure.Details = []*arm.Error{e}
		failure.Status = cmp.Or(e.Status, failure.Status)
	}
	return failure
}

// surplus lists what stands in the group and is not in the template, the inner resources first. What nested deployments
// of the group wrote counts as the template's, and so does what stands below a resource of the template: it belongs to
// that one's provider to say what of it stays.
func (j *job) surplus(ctx context.Context) ([]step, error) {
	kept := map[string]bool{}
	for _, r := range j.plan.Resources {
		kept[strings.ToLower(r.ID)] = true
	}
	var found []step
	err := j.client.control.Store().View(ctx, func(tx store.Tx) error {
		for _, r := range j.plan.Resources {
			if err := keepNested(tx, j.client.caller.Primary.TenantID, r.ID, kept, 0); err != nil {
				return err
			}
		}
		refs, err := contents(tx, j.client.control, j.id.Group())
		found = nil
		for _, ref := range refs {
			if !isKept(ref.ID, kept) {
				found = append(found, step{Target: ref, Removal: true})
			}
		}
		return err
	})
	return found, err
}

func isKept(id string, kept map[string]bool) bool {
	at, err := arm.ParseID(id)
	for ; err == nil && len(at.Names) > 0; at = at.Parent() {
		if kept[at.Key()] {
			return true
		}
	}
	return false
}

// keepNested adds what a nested deployment wrote, and those nested in it.
func keepNested(tx store.Tx, tenant, id string, kept map[string]bool, depth int) error {
	parsed, err := arm.ParseID(id)
	if err != nil || !strings.EqualFold(parsed.Type(), deploymentType) || depth > lineage.MaxDepth {
		return nil
	}
	d, err := control.Get[Deployment](tx, parsed.In(tenant))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range d.Properties.OutputResources {
		kept[strings.ToLower(r.ID)] = true
		if err := keepNested(tx, tenant, r.ID, kept, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// contents lists the tracked resources of a group, machines first and inner ones before what holds them.
func contents(tx store.Tx, c *control.Control, group arm.ID) ([]template.ResourceRef, error) {
	docs, err := tx.List(store.Query{Prefix: group.Key() + "/providers/"})
	if err != nil {
		return nil, err
	}
	var refs []template.ResourceRef
	for _, d := range docs {
		if !c.Tracked(d.Kind) {
			continue
		}
		var head struct{ ID, Name, Type string }
		if err := json.Unmarshal(d.Body, &head); err != nil {
			return nil, err
		}
		refs = append(refs, template.ResourceRef{ID: head.ID, ResourceType: head.Type, ResourceName: head.Name})
	}
	rank := func(r template.ResourceRef) int {
		if strings.EqualFold(r.ResourceType, "Microsoft.Compute/virtualMachines") {
			return -100
		}
		return -strings.Count(r.ResourceType, "/")
	}
	sort.SliceStable(refs, func(a, b int) bool { return rank(refs[a]) < rank(refs[b]) })
	return refs, nil
}
