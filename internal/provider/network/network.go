package network

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/pattern"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// Config is what the provider needs.
type Config struct {
	Networks vm.Networks
	Pool     netip.Prefix // of public IPs, within 127.0.0.0/8; zero: 127.64.0.0/10
	Internet bool         // guests may open connections to the outside
	Log      *slog.Logger
}

// Provider is Microsoft.Network.
type Provider struct {
	Config
	store *store.Store

	mu      sync.Mutex            // held while a network is brought to its state, so that an older state never wins
	applied map[string]vm.Network // by GUID: what Ensure was last told by this process
}

func versions() []arm.Version {
	return []arm.Version{"2015-06-15", "2018-11-01", "2020-11-01", "2022-01-01", "2023-09-01", "2024-05-01"}
}

// Register adds the provider's types to the table.
func Register(c *control.Control, cfg Config) *Provider {
	if !cfg.Pool.IsValid() {
		cfg.Pool = netip.MustParsePrefix("127.64.0.0/10")
	}
	p := &Provider{Config: cfg, store: c.Store(), applied: map[string]vm.Network{}}
	control.Register(c, p.vnets())
	control.Register(c, p.subnets())
	control.Register(c, p.groups())
	control.Register(c, p.rules())
	control.Register(c, p.addresses())
	control.Register(c, p.interfaces())
	return p
}

// async is how Microsoft.Network tells of long-running work (recorded: 201, Updating, operations, a status without times).
func async() control.Async {
	return control.Async{First: arm.Updating, Family: "operations", Brief: true}
}

var nameForm = pattern.New(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)

func checkName(name string) *arm.Error {
	if nameForm.MatchString(name) {
		return nil
	}
	return arm.Errorf(400, "InvalidResourceName", "Resource name %s is invalid. The name can be up to 80 characters long. It must begin with a word character, and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.", name)
}

func newEtag() string { return `W/"` + uuid.NewString() + `"` }

// stamped gives a resource its ETag, and its GUID if it has none.
func stamped[T any](r *control.Resource[T], guid *string) {
	r.Etag = newEtag()
	if guid != nil && *guid == "" {
		*guid = uuid.NewString()
	}
}

// sent tells whether a body has properties.<member>, without regard to case.
func sent(body json.RawMessage, member string) bool {
	var b struct{ Properties map[string]json.RawMessage }
	if json.Unmarshal(body, &b) != nil {
		return false
	}
	for name, raw := range b.Properties {
		if strings.EqualFold(name, member) {
			return string(raw) != "null"
		}
	}
	return false
}

// reference checks the form of a reference; nil is fine.
func reference(r *Ref, typ, at string) []*arm.Error {
	if r == nil {
		return nil
	}
	id, err := arm.ParseID(r.ID)
	if err == nil && strings.EqualFold(id.Type(), typ) && id.Subscription != "" && id.ResourceGroup != "" {
		return nil
	}
	return []*arm.Error{arm.Errorf(400, "LinkedInvalidPropertyId", "Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", r.ID, at).At(at)}
}

// resolve reads what a reference names, which must be in the referrer's region and subscription.
func resolve[T any](tx store.Tx, from arm.ID, location string, r *Ref) (*control.Resource[T], error) {
	found, err := control.Find[T](tx, r.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err != nil || found.State() == arm.Deleting || found.Location != "" && location != "" && found.Location != location ||
		!strings.EqualFold(found.ParsedID().Subscription, from.Subscription) {
		return nil, missing(r.ID, from)
	}
	return found, nil
}

// alive refuses to write what is being deleted, or below it.
func alive(r interface {
	State() string
	ParsedID() arm.ID
}) error {
	if r.State() != arm.Deleting {
		return nil
	}
	return arm.Errorf(409, "Conflict", "The update is not allowed, since the resource '%s' is marked for deletion. Please retry after the deletion has ended.", r.ParsedID())
}

func missing(what string, from arm.ID) *arm.Error {
	return arm.Errorf(400, "InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", what, from)
}

// links collects references that next has and old had not.
type links struct {
	had  map[string]bool
	list []rbac.Link
}

func (l *links) old(r *Ref) {
	if l.had == nil {
		l.had = map[string]bool{}
	}
	l.had[key(r)] = true
}

func (l *links) next(r *Ref, action string) {
	if r == nil || l.had[key(r)] {
		return
	}
	if id, err := arm.ParseID(r.ID); err == nil {
		l.list = append(l.list, rbac.Link{ID: id, Action: action})
	}
}

// holders finds the interfaces that carry a term.
func holders(tx store.Tx, term string) ([]*control.Resource[NIC], error) {
	return control.Select[NIC](tx, store.Query{Kind: control.Kind(NICType), All: []string{term}})
}

// children reads the child resources of a parent.
func children[T any](tx store.Tx, parent arm.ID, typ string) ([]*control.Resource[T], error) {
	_, last, _ := strings.Cut(typ[len("Microsoft.Network/"):], "/")
	return control.Select[T](tx, store.Query{Kind: control.Kind(typ), Prefix: parent.Key() + "/" + strings.ToLower(last) + "/"})
}

func ptr[T any](v T) *T { return &v }
