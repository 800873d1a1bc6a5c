package deployments

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/deployments/bounds"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/provider/deployments/veil"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// payload is all that a plan is made of. The same payload gives the same plan, so that a crash costs only the making.
type payload struct {
	Template   string          `json:"template"` // as sent: faults are told with its lines
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Env        template.Env    `json:"env"`
	Lineage    lineage.Lineage `json:"lineage"`
	OnError    *onError        `json:"onError,omitempty"`
}

// asked is a deployment that somebody asks for.
type asked struct {
	caller authn.Caller
	id     arm.ID
	body
	now time.Time
}

func (p *Provider) payload(tx store.Tx, a asked, around lineage.Lineage) (payload, error) {
	req := a.Properties
	who := a.caller.Primary
	load := payload{Template: string(req.Template), Lineage: around, Env: template.Env{
		TenantID: who.TenantID, DeploymentName: a.id.Name(), Mode: req.Mode, Now: a.now, Seed: rand.Text(),
		Deployer: template.Deployer{ObjectID: who.ObjectID, TenantID: who.TenantID},
	}}
	if who.Kind == authn.User {
		load.Env.Deployer.Name = who.Name
	}
	if req.TemplateLink != nil {
		load.Env.TemplateLink = req.TemplateLink.URI
	}
	if given(req.Parameters) {
		load.Parameters = req.Parameters
	}
	var err error
	if load.OnError, err = readOnError(req.OnErrorDeployment); err != nil {
		return load, err
	}
	if load.Env.Location, err = located(a.id, a.Location); err != nil {
		return load, err
	}
	if req.Mode == complete && (a.id.ResourceGroup == "" || around.Depth > 0) {
		return load, arm.Errorf(400, "InvalidDeployment", "The deployment mode 'Complete' is only supported for a deployment to a resource group that is not nested in another; use 'Incremental'.").At("mode")
	}
	return load, surroundings(tx, a.id, &load.Env)
}

// expanded is what a payload makes.
type expanded struct {
	*template.Plan
	payload
	hash   string     // of the template
	format string     // of what-if
	veil   *veil.Veil // over the values of secure parameters
}

// expand makes the plan. Its errors name no secret.
func (p *Provider) expand(l payload) (expanded, error) {
	t, faults := template.Parse(json.RawMessage(l.Template))
	if len(faults) > 0 {
		return expanded{}, veil.Violations(faults)
	}
	l.Env.Providers = p.providersOf
	x := expanded{payload: l, hash: t.Hash(), veil: veil.New(template.Secrets(t, l.Env, l.Parameters))}
	if x.Plan, faults = template.Expand(t, l.Env, l.Parameters); len(faults) > 0 {
		return x, x.veil.Err(veil.Violations(faults))
	}
	return x, x.veil.Err(l.Lineage.Fits(nestedIn(x.Plan)))
}

func (l payload) seal(s Sealer, resource string) (string, error) {
	plain, err := json.Marshal(l)
	if err != nil {
		return "", err
	}
	return s.Seal(plain, resource)
}

func openPayload(s Sealer, sealed, resource string) (payload, error) {
	var l payload
	plain, err := s.Open(sealed, resource)
	if err != nil {
		return l, fmt.Errorf("template of %s: %w", resource, err)
	}
	err = json.Unmarshal(plain, &l)
	return l, err
}

// preflight finds what ARM refuses before it accepts a deployment: types and api-versions that nobody serves. The code of
// an unknown type is that of a request for a version which no provider registered; of a whole unknown namespace it is
// InvalidResourceNamespace (errors.md 7). Rights are not among it: they are checked when a resource's turn comes.
func (p *Provider) preflight(plan expanded) error {
	if err := bounds.Check([][]byte{[]byte(plan.Template), plan.Parameters}, plan.Plan); err != nil {
		return err
	}
	known, spaces := map[string]bool{}, map[string]bool{}
	for ns, types := range p.control.Namespaces() {
		spaces[strings.ToLower(ns)] = true
		for _, t := range types {
			known[control.Kind(ns+"/"+t.Name)] = true
		}
	}
	var faults []*arm.Error
	for _, r := range plan.Resources {
		ns, rest, _ := strings.Cut(r.Type, "/")
		_, err := arm.VersionOf(url.Values{"api-version": {r.APIVersion}})
		switch {
		case !spaces[strings.ToLower(ns)]:
			faults = append(faults, arm.Errorf(400, "InvalidResourceNamespace", "The resource namespace '%s' is invalid: the template's resource '%s' has the type '%s'.", ns, r.Name, r.DeclaredType).At(r.ID))
		case !known[control.Kind(r.Type)] || err != nil:
			faults = append(faults, arm.Errorf(400, "NoRegisteredProviderFound", "No registered resource provider found for location '%s' and API version '%s' for type '%s'. The resource is '%s'.", r.Location, r.APIVersion, rest, r.Name).At(r.ID))
		}
	}
	if len(faults) < 2 {
		return arm.Join(faults)
	}
	return invalidDeployment(len(plan.Resources), faults)
}

// invalidDeployment is ARM's error for several faults of one template.
func invalidDeployment(resources int, faults []*arm.Error) *arm.Error {
	e := arm.Errorf(400, "InvalidTemplateDeployment", "The template deployment is not valid according to the validation procedure. %d of %d resources have faults. See inner errors for details.", len(faults), resources)
	e.Details = faults
	return e
}
