package resources

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/operation"
	"vitrine/internal/pattern"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

var versions = []arm.Version{"2024-11-01", "2022-09-01", "2021-04-01", "2020-10-01", "2019-10-01", "2018-05-01"}

// Group is the properties of a resource group.
type Group struct {
	arm.Provisioning
	Unknown armjson.Unknown `json:"-"`
}

// Provider is Microsoft.Resources.
type Provider struct {
	control *control.Control

	directory *directory.Directory
}

// Config is what the provider needs.
type Config struct {
	Directory *directory.Directory // where a person is a guest; nil: nobody is
}

// Register adds the types and routes of Microsoft.Resources.
func Register(c *control.Control, cfg Config) *Provider {
	p := &Provider{control: c, directory: cfg.Directory}
	control.Register(c, control.Spec[Group]{
		Type: "Microsoft.Resources/resourceGroups", Action: "Microsoft.Resources/subscriptions/resourceGroups",
		Synonyms: []string{"Microsoft.Resources/subscriptions/resourceGroups"},
		Versions: versions, Tracked: true, Patch: true,
		Name: groupName,
		Put:  func(context.Context, *control.Write[Group]) error { return nil },
		List: listGroups,
		Size: "$top",
		Delete: func(_ context.Context, w *control.Write[Group]) error {
			return w.Begin(deleteGroup, w.Caller)
		},
	})
	registerLinks(c)
	p.routes()
	return p
}

var groupForm = pattern.New(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)

func groupName(name string) *arm.Error {
	if groupForm.MatchString(name) {
		return nil
	}
	return arm.Errorf(400, "InvalidResourceGroup", "The provided resource group name '%s' has these invalid characters: it may have up to 90 letters, digits, '_', '-', '.', '(' and ')' and may not end with a period.", name)
}

const deleteGroup = "resourceGroups/delete"

// Works is the long-running work of this provider.
func (p *Provider) Works() map[string]operation.Work {
	return map[string]operation.Work{deleteGroup: {
		Steps: func(ctx context.Context, r *operation.Run) []operation.Step {
			return []operation.Step{{Name: "resources", Do: func() error { return p.empty(ctx, r) }}}
		},
		Finish: finishGroup,
	}}
}

func finishGroup(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	path, err := arm.ParsePath(r.Resource)
	if err != nil {
		return err
	}
	if failure == nil {
		return control.Remove(tx, path.ID)
	}
	g, err := control.Get[Group](tx, path.ID)
	if err != nil {
		return err
	}
	g.SetState(arm.Succeeded) // the group stays as it was; what blocked it is in the operation's error
	return control.Save(tx, g)
}

// emptying is what the step remembers: how often it found a resource that would not go.
type emptying struct {
	Refused map[string]int `json:"refused"`
}

const (
	maxRefused = 30 // rounds of a second each, for resources that wait for others to go first
	roundTime  = time.Second
)

// empty deletes every resource of the group, the inner ones first, in rounds until none is left.
func (p *Provider) empty(ctx context.Context, r *operation.Run) error {
	var caller authn.Caller
	if err := r.Read(&caller); err != nil {
		return err
	}
	state := emptying{Refused: map[string]int{}}
	if err := r.Recall(&state); err != nil {
		return err
	}
	ids, going, err := p.contents(ctx, r)
	if err != nil {
		return err
	}
	if len(ids) == 0 { // locks are asked for each resource that goes, and last for the group: one may have come to the subscription
		return r.View(ctx, func(tx store.Tx) error { return p.control.Starting(tx, &r.Operation) })
	}
	blocked := arm.Errorf(409, "ResourceGroupDeletionBlocked", "Deletion of resource group '%s' failed as resources with identifiers '%s' could not be deleted. The provisioning state of the resource group will be rolled back.", last(r.Resource), strings.Join(ids, ","))
	progress := false
	for _, id := range ids {
		if going[id] { // asking once is enough, and one event in the activity log
			progress = true
			continue
		}
		_, err := p.control.Do(ctx, control.Following(&r.Operation, control.Request{Method: http.MethodDelete, Path: id,
			Query: url.Values{"api-version": {string(versions[0])}}, Caller: caller}))
		var visible *arm.Error
		switch {
		case err == nil:
			progress = true
		case !errors.As(err, &visible):
			return err
		case visible.Status == http.StatusForbidden:
			return detailed(blocked, visible)
		default:
			state.Refused[id]++
			if state.Refused[id] > maxRefused {
				return detailed(blocked, visible)
			}
		}
	}
	if err := r.Keep(ctx, state); err != nil {
		return err
	}
	if progress {
		return operation.Again{After: roundTime / 10}
	}
	return operation.Again{After: roundTime}
}

func detailed(e, detail *arm.Error) *arm.Error {
	e.Details = append(e.Details, detail)
	return e
}

func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// contents lists the resources of the group that are left, the longest IDs first, so that children
// go before what holds them, and which of them are being deleted. Machines come first of all, since disks and interfaces hang
// on them.
func (p *Provider) contents(ctx context.Context, r *operation.Run) (ids []string, going map[string]bool, err error) {
	err = r.View(ctx, func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Prefix: r.Resource + "/providers/"})
		if err != nil {
			return err
		}
		ids, going = nil, map[string]bool{}
		for _, d := range docs {
			if slices.Contains(rbac.Kinds(), d.Kind) { // they go with what they hang on, whoever deletes it
				continue
			}
			var head struct{ ID string }
			if err := json.Unmarshal(d.Body, &head); err != nil {
				return err
			}
			ids = append(ids, head.ID)
			open, err := operation.Open(tx, d.Key)
			if err != nil {
				return err
			}
			going[head.ID] = slices.ContainsFunc(open, func(o *operation.Operation) bool { return strings.HasSuffix(o.Action, "/delete") })
		}
		return nil
	})
	sort.SliceStable(ids, func(i, j int) bool {
		return rank(ids[i]) < rank(ids[j])
	})
	return ids, going, err
}

func rank(id string) int {
	p, err := arm.ParsePath(id)
	if err != nil {
		return 0
	}
	if strings.EqualFold(p.ID.Type(), "Microsoft.Compute/virtualMachines") {
		return -100
	}
	return -len(p.ID.Names)
}
