package machine

import (
	"errors"
	"strings"
	"sync"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/pattern"
	"vitrine/internal/provider/machine/seedfile"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

type resource = control.Resource[Properties]

// Provider is Microsoft.Compute/virtualMachines.
type Provider struct {
	Config
	store *store.Store
	rbac  *rbac.Engine
	seeds *seedfile.Folder

	mu      sync.Mutex
	restart map[string]setback // by vmId: machines that would not stay up
}

// setback is how often a machine was started again in a row, and when it may be next.
type setback struct {
	times int
	after time.Time
}

// Register adds the type to the table.
func Register(c *control.Control, cfg Config) (*Provider, error) {
	if cfg.MaxCPUs == 0 {
		cfg.MaxCPUs = 2
	}
	if cfg.MaxMemoryMiB == 0 {
		cfg.MaxMemoryMiB = 1024
	}
	seeds, err := seedfile.Open(cfg.Seeds)
	if err != nil {
		return nil, err
	}
	p := &Provider{Config: cfg, store: c.Store(), rbac: c.RBAC(), seeds: seeds, restart: map[string]setback{}}
	control.Register(c, control.Spec[Properties]{
		Type: Type, Tracked: true, Patch: true,
		Versions: []arm.Version{"2019-07-01", "2020-06-01", "2022-03-01", "2022-08-01", "2022-11-01", "2023-09-01", "2024-07-01", "2024-11-01"},
		Async:    control.Async{Family: "operations", Partition: true},
		Name:     checkName, Validate: validate, Links: links,
		Put: p.put, Delete: p.delete, View: p.view, Dialect: dialect,
		Actions: p.actions(),
		Parts:   p.parts(),
	})
	routes(c)
	return p, nil
}

// dialect leaves the ETag out where it is not known yet (recorded: since 2024-07-01).
func dialect(m *resource, v arm.Version) {
	if v.Date() < "2024-07-01" {
		m.Etag = ""
	}
}

// nameForm: Azure's rule for Linux machines, without the characters that it refuses
// (learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules, Microsoft.Compute).
var nameForm = pattern.New(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?$`)

func checkName(name string) *arm.Error {
	if nameForm.MatchString(name) && !strings.Contains(name, "..") {
		return nil
	}
	return arm.Errorf(400, "InvalidParameter", "The entity name 'name' in resource '%.80s' is invalid according to its validation rule: ^[^_\\W][\\w-._]{0,79}(?<![-.])$, with at most 64 characters.", name).At("name")
}

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

func required(name string) *arm.Error {
	return invalid(name, "Required parameter '%s' is missing (null).", name)
}

// identified reads a resource ID of a type, or says that it is none.
func identified(text, typ, at string) (arm.ID, *arm.Error) {
	id, err := arm.ParseID(text)
	if err == nil && id.Subscription != "" && id.ResourceGroup != "" && id.Scope == "" && strings.EqualFold(id.Type(), typ) {
		return id, nil
	}
	return id, arm.Errorf(400, "LinkedInvalidPropertyId", "Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", text, at).At(at)
}

const (
	diskType = "Microsoft.Compute/disks"
	nicType  = "Microsoft.Network/networkInterfaces"
)

// links lists what a machine leans on that it did not before. The image is authorised once, at creation: rights on it
// that end later do not stop an update of the machine (Azure/azure-cli#15536). A disk that the request names, under any
// createOption, is one that exists; whoever lets it or an interface go with the machine must be allowed to delete it.
func links(old, next *resource) (list []rbac.Link) {
	had, went := map[string]bool{}, map[string]bool{}
	if old != nil && old.Properties.Own.Built {
		for i, id := range old.Properties.nics() {
			had[id.Key()], went[id.Key()] = true, old.Properties.deletes(i)
		}
		for _, d := range old.Properties.disks() {
			had[d.id.Key()], went[d.id.Key()] = true, d.delete
		}
	} else if s := next.Properties.Storage; s != nil && s.Image != nil {
		if id, err := arm.ParseID(s.Image.ID); err == nil && s.Image.ID != "" {
			list = append(list, rbac.Link{ID: id, Action: id.Type() + "/read"})
		}
	}
	for i, id := range next.Properties.nics() {
		if !had[id.Key()] {
			list = append(list, rbac.Link{ID: id, Action: nicType + "/join/action"})
		}
		if next.Properties.deletes(i) && !went[id.Key()] {
			list = append(list, rbac.Link{ID: id, Action: nicType + "/delete"})
		}
	}
	for _, d := range next.Properties.disks() {
		if !had[d.id.Key()] {
			list = append(list, rbac.Link{ID: d.id, Action: diskType + "/write"})
		}
		if d.delete && !went[d.id.Key()] {
			list = append(list, rbac.Link{ID: d.id, Action: diskType + "/delete"})
		}
	}
	return list
}

// same tells whether two machines' resources live in one subscription.
func same(a, b arm.ID) bool { return strings.EqualFold(a.Subscription, b.Subscription) }

func absent(err error) bool { return errors.Is(err, store.ErrNotFound) }
