package deployments

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// request is what a client sends as a deployment's properties.
type request struct {
	Mode              string
	Template          json.RawMessage
	Parameters        json.RawMessage
	TemplateLink      json.RawMessage
	ParametersLink    json.RawMessage
	OnErrorDeployment json.RawMessage
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// readRequest reads the body of PUT and validate, and refuses by name what is not served.
func readRequest(body json.RawMessage) (request, error) {
	var r struct{ Properties request }
	if err := json.Unmarshal(body, &r); err != nil {
		return request{}, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	p := r.Properties
	switch {
	case given(p.TemplateLink):
		return p, arm.Errorf(400, "InvalidContentLink", "Linked templates (templateLink) are not supported by this installation; send the template itself.").At("templateLink")
	case given(p.ParametersLink):
		return p, arm.Errorf(400, "InvalidContentLink", "Linked parameters (parametersLink) are not supported by this installation; send the parameters themselves.").At("parametersLink")
	case given(p.OnErrorDeployment):
		return p, arm.Errorf(400, "NotSupported", "Rollback to another deployment (onErrorDeployment) is not supported by this installation yet.").At("onErrorDeployment")
	case strings.EqualFold(p.Mode, "Complete"):
		return p, arm.Errorf(400, "NotSupported", "The deployment mode 'Complete' is not supported by this installation yet; use 'Incremental'.").At("mode")
	case !strings.EqualFold(p.Mode, "Incremental"):
		return p, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: the property 'mode' must be 'Incremental'; it is '%.80s'.", p.Mode).At("mode")
	case !given(p.Template):
		return p, arm.Errorf(400, "InvalidTemplate", "Deployment template validation failed: 'The template is missing from the request.'.").At("template")
	}
	return p, nil
}

// groupDocument is what a deployment reads of a resource group: nothing below its properties.
type groupDocument struct {
	Unknown armjson.Unknown `json:"-"`
}

// payload is all that a plan is made of. The same payload gives the same plan, so that a crash costs only the making.
type payload struct {
	Template   string          `json:"template"` // as sent: faults are told with its lines
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Env        template.Env    `json:"env"`
}

func (p *Provider) payload(tx store.Tx, caller authn.Caller, id arm.ID, r request, now time.Time) (payload, error) {
	group, err := control.Get[groupDocument](tx, id.Group())
	if errors.Is(err, store.ErrNotFound) {
		return payload{}, arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.ResourceGroup)
	}
	if err != nil {
		return payload{}, err
	}
	s, err := control.ReadSubscription(tx, id.Subscription)
	if err != nil {
		return payload{}, err
	}
	load := payload{Template: string(r.Template), Env: template.Env{
		TenantID: caller.Primary.TenantID, SubscriptionID: id.Subscription, SubscriptionName: s.Name,
		ResourceGroup:  template.ResourceGroup{Name: group.Name, Location: group.Location, ID: group.ID, Tags: group.Tags},
		DeploymentName: id.Name(), Mode: "Incremental", Now: now, Seed: rand.Text(),
	}}
	if given(r.Parameters) {
		load.Parameters = r.Parameters
	}
	return load, nil
}

// expanded is what a payload makes.
type expanded struct {
	*template.Plan
	hash string // of the template
	veil *veil  // over the values of secure parameters
}

// expand makes the plan. Its errors name no secret.
func (l payload) expand() (expanded, error) {
	t, faults := template.Parse(json.RawMessage(l.Template))
	if len(faults) > 0 {
		return expanded{}, violations(faults)
	}
	x := expanded{hash: t.Hash(), veil: newVeil(template.Secrets(t, l.Env, l.Parameters))}
	if x.Plan, faults = template.Expand(t, l.Env, l.Parameters); len(faults) > 0 {
		return x, x.veil.err(violations(faults))
	}
	return x, nil
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

// violation is ARM's additionalInfo of a template's fault.
type violation struct {
	Line     int    `json:"lineNumber"`
	Position int    `json:"linePosition"`
	Path     string `json:"path"`
}

// worded makes an error of ARM of a template's fault.
func worded(e *template.Error) *arm.Error {
	out := arm.Errorf(400, e.Code, "%s", e.Message).At(e.Target)
	if e.Code == template.CodeInvalidTemplate {
		out.AdditionalInfo = []arm.Info{{Type: "TemplateViolation", Info: violation{e.Line, e.Position, e.Path}}}
	}
	return out
}

// visible words an error of package template; any other stays as it is.
func visible(err error) error {
	if fault, ok := errors.AsType[*template.Error](err); ok {
		return worded(fault)
	}
	return err
}

func violations(faults []*template.Error) error {
	all := make([]*arm.Error, len(faults))
	for i, f := range faults {
		all[i] = worded(f)
	}
	err := arm.Join(all)
	if joined, ok := errors.AsType[*arm.Error](err); ok {
		joined.AdditionalInfo = all[0].AdditionalInfo
	}
	return err
}

// preflight finds what ARM refuses before it accepts a deployment: types and api-versions that nobody serves. The code of
// an unknown type is that of a request for a version which no provider registered; of a whole unknown namespace it is
// InvalidResourceNamespace (errors.md 7). Rights are not among it: they are checked when a resource's turn comes.
func (p *Provider) preflight(plan *template.Plan) error {
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
	return invalidDeployment(plan, faults)
}

// invalidDeployment is ARM's error for several faults of one template.
func invalidDeployment(plan *template.Plan, faults []*arm.Error) *arm.Error {
	e := arm.Errorf(400, "InvalidTemplateDeployment", "The template deployment is not valid according to the validation procedure. %d of %d resources have faults. See inner errors for details.", len(faults), len(plan.Resources))
	e.Details = faults
	return e
}
