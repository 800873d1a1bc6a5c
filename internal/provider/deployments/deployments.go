package deployments

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/deployments/history"
	"vitrine/internal/provider/deployments/lineage"
	"vitrine/internal/provider/deployments/link"
	"vitrine/internal/provider/deployments/told"
	"vitrine/internal/provider/deployments/veil"
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// Deployment is the properties of a deployment, in the order of ARM's answers. All of it is made by the server: what the
// client sends is read by readRequest, so that a template and its secure parameters never come near the document in clear.
type Deployment struct {
	TemplateLink       *link.Link                 `json:"templateLink" arm:"readonly"`
	ParametersLink     *link.Link                 `json:"parametersLink" arm:"readonly"`
	TemplateHash       string                     `json:"templateHash" arm:"readonly"`
	Template           json.RawMessage            `json:"template" arm:"readonly"` // named here only so that it is not kept as an unknown member
	Parameters         map[string]template.Output `json:"parameters" arm:"readonly"`
	Mode               string                     `json:"mode" arm:"required,enum=Incremental|Complete"`
	ProvisioningState  string                     `json:"provisioningState" arm:"readonly"`
	Timestamp          string                     `json:"timestamp" arm:"readonly"`
	Duration           string                     `json:"duration" arm:"readonly"` // ISO 8601
	CorrelationID      string                     `json:"correlationId" arm:"readonly"`
	Providers          []template.Provider        `json:"providers" arm:"readonly"`
	Dependencies       []template.Dependency      `json:"dependencies" arm:"readonly"`
	Outputs            map[string]template.Output `json:"outputs" arm:"readonly"`
	OutputResources    []resourceID               `json:"outputResources" arm:"readonly"`
	ValidatedResources []resourceID               `json:"validatedResources" arm:"readonly"`
	OnError            *onError                   `json:"onErrorDeployment" arm:"readonly"`
	Error              json.RawMessage            `json:"error" arm:"readonly"`

	Sealed    string          `json:"sealed" arm:"private"`         // a payload
	Operation string          `json:"operation" arm:"private"`      // ID of the operation that runs or ran it
	Begun     string          `json:"begun" arm:"private"`          // RFC 3339
	Progress  json.RawMessage `json:"progress" arm:"private"`       // once it has ended
	Fetched   json.RawMessage `json:"vitrineFetched" arm:"private"` // of a request: see fetch
	Unknown   armjson.Unknown `json:"-"`
}

type resourceID struct {
	ID string `json:"id"`
}

// The provisioning states that only deployments have.
const (
	stateAccepted = "Accepted"
	stateRunning  = "Running"
	stateCanceled = "Canceled"
)

// State is the provisioning state.
func (d *Deployment) State() string { return d.ProvisioningState }

// SetState sets it. The pipeline's Creating and Updating are Accepted here.
func (d *Deployment) SetState(s string) {
	if s == arm.Creating || s == arm.Updating {
		s = stateAccepted
	}
	d.ProvisioningState = s
}

// Sealer keeps templates and parameters unreadable in the store.
type Sealer interface {
	Seal(plain []byte, resource string) (string, error)
	Open(sealed, resource string) ([]byte, error)
}

const (
	deploymentType   = "Microsoft.Resources/deployments"
	deployWork       = "deployments/run"
	deleteDeployment = "deployments/delete"
)

var versions = []arm.Version{"2024-11-01", "2022-09-01", "2021-04-01", "2020-10-01", "2019-10-01", "2018-05-01"}

// Provider serves deployments.
type Provider struct {
	control *control.Control
	sealer  Sealer
	links   link.Linker
}

// Config is what the provider needs.
type Config struct {
	Sealer  Sealer       // for templates and parameters
	Fetcher link.Fetcher // for linked templates; nil: there are none
}

// Register adds the type and its routes.
func Register(c *control.Control, cfg Config) *Provider {
	p := &Provider{control: c, sealer: cfg.Sealer, links: link.Linker{Fetcher: cfg.Fetcher}}
	p.register()
	return p
}

func (p *Provider) register() {
	control.Register(p.control, control.Spec[Deployment]{
		Type: deploymentType, Versions: versions, Level: control.Extension,
		Async:    control.Async{First: stateAccepted, Family: control.DeploymentFamily},
		Reader:   readBody,
		Fetch:    p.fetch,
		Name:     deploymentName,
		Missing:  missing,
		Validate: inactive,
		Put:      p.putDeployment,
		Delete: func(_ context.Context, w *control.Write[Deployment]) error {
			// The SDKs take 202 and 204 here but not 200, so that even this short work is an operation.
			if err := w.Begin(deleteDeployment, nil); err != nil {
				return err
			}
			return name(w)
		},
		View:    viewDeployment,
		List:    listDeployments,
		Size:    "$top",
		Actions: []control.Action[Deployment]{{Name: "exportTemplate", Do: p.exportTemplate}},
		Parts: map[string]func(context.Context, *control.Read[Deployment], string) (any, error){
			"operations": deploymentOperations,
		},
	})
	below := "{scope...}/providers/Microsoft.Resources/deployments/{name}/"
	for _, r := range []control.Route{
		{Method: http.MethodGet, Pattern: below + "operationStatuses/{operation}", Do: deploymentStatus},
		{Method: http.MethodPost, Pattern: below + "validate", Do: p.validate, Alone: true},
		{Method: http.MethodPost, Pattern: below + "cancel", Do: cancel},
		{Method: http.MethodPost, Pattern: below + "whatIf", Do: p.whatIf, Alone: true},
	} {
		p.control.Handle(r)
	}
}

// readBody makes JSON of what clients send for a deployment; see template.Lenient.
func readBody(raw []byte) ([]byte, error) {
	if len(strings.TrimSpace(string(raw))) == 0 {
		return nil, nil
	}
	out, err := template.Lenient(raw)
	return out, veil.Visible(err)
}

// fetch replaces the links of a deployment by what they lead to. It is control.Spec.Fetch.
func (p *Provider) fetch(ctx context.Context, raw []byte) ([]byte, any, error) {
	mended, err := readBody(raw)
	if err != nil || mended == nil {
		return raw, nil, err
	}
	whole, err := p.links.Inline(ctx, mended, lineage.Of(ctx).Link)
	return whole, nil, err
}

func missing(id arm.ID) *arm.Error {
	return arm.Errorf(404, "DeploymentNotFound", "Deployment '%s' could not be found.", id.Name())
}

var deploymentForm = regexp.MustCompile(`^[-\w.()]+$`)

func deploymentName(name string) *arm.Error {
	if len(name) > 64 {
		return arm.Errorf(400, "DeploymentNameLengthLimitExceeded", "The provided deployment name '%s' has a length of '%d' which exceeds the maximum length of '64'.", name, len(name))
	}
	if !deploymentForm.MatchString(name) {
		return arm.Errorf(400, "DeploymentNameInvalidCharacters", "The provided deployment name '%s' has invalid characters. The name can only include ASCII letters and digits, '-', '_', '.', '(' and ')'.", name)
	}
	return nil
}

// inactive refuses to replace a deployment that runs; the state is the stored one, since clients cannot set it.
func inactive(r *control.Resource[Deployment]) []*arm.Error {
	if r.Properties.ProvisioningState != stateAccepted {
		return nil
	}
	return []*arm.Error{arm.Errorf(409, "DeploymentActive", "Unable to edit or replace deployment '%s': previous deployment from '%s' is still active. Please see https://aka.ms/arm-deploy for usage details.", r.Name, r.Properties.Begun)}
}

// deployInput is what the operation keeps: who asked. Template and parameters lie sealed in the deployment itself.
type deployInput struct {
	Caller authn.Caller `json:"caller"`
}

func (p *Provider) putDeployment(ctx context.Context, w *control.Write[Deployment]) error {
	d := &w.New.Properties
	if err := placed(w.ID); err != nil {
		return err
	}
	req, err := readRequest(w.Body)
	if err != nil {
		return err
	}
	load, err := p.payload(w.Tx, asked{w.Caller, w.ID, req, w.Now}, lineage.Of(ctx))
	if err != nil {
		return err
	}
	if w.New.Location = load.Env.Location; w.Old != nil && w.Old.Location != w.New.Location {
		return arm.Errorf(409, "InvalidDeploymentLocation", "Invalid deployment location '%s'. The deployment '%s' already exists in location '%s'.", w.New.Location, w.ID.Name(), w.Old.Location)
	}
	plan, err := p.expand(load)
	if err != nil {
		return err
	}
	if err := p.preflight(plan); err != nil {
		return plan.veil.Err(err)
	}
	if w.Old == nil {
		err := history.MakeRoom(w.Tx, w.ID, func(d *control.Resource[Deployment]) string { return d.Properties.Begun })
		if err != nil {
			return err
		}
	}
	describe(d, plan, w.Correlation, w.Now)
	d.OnError = load.OnError
	d.TemplateLink, d.ParametersLink = req.Properties.TemplateLink, req.Properties.ParametersLink
	d.Sealed, err = load.seal(p.sealer, w.ID.Key())
	if err != nil {
		return err
	}
	if err := w.Begin(deployWork, deployInput{Caller: w.Caller}); err != nil {
		return err
	}
	if err := name(w); err != nil {
		return err
	}
	d.Operation = w.OperationID()
	return nil
}

// describe fills in what is known of a deployment before it runs, and clears what a run before it left. The correlation ID is
// the request's: the activity log has everything that the deployment does under it.
func describe(d *Deployment, plan expanded, correlation string, now time.Time) {
	if correlation == "" {
		correlation = uuid.NewString()
	}
	*d = Deployment{TemplateHash: plan.hash, Parameters: plan.Echo(), Mode: plan.Env.Mode, Timestamp: now.UTC().Format(told.Stamp), Duration: told.Duration(0),
		CorrelationID: correlation, Providers: veil.Hidden(plan.veil, plan.Providers()), Dependencies: veil.Hidden(plan.veil, plan.Dependencies()),
		Begun: now.UTC().Format(time.RFC3339Nano), Unknown: d.Unknown}
}

// name gives the operation an ID of 19 digits, as those of deployments have. It is random, so that nobody can guess it.
func name(w *control.Write[Deployment]) error {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(19), nil))
	if err != nil {
		return err
	}
	w.Named(fmt.Sprintf("%019d", n))
	return nil
}

// Works is the long-running work of this provider.
func (p *Provider) Works() map[string]operation.Work {
	return map[string]operation.Work{
		deployWork: {
			Steps: func(ctx context.Context, r *operation.Run) []operation.Step {
				return []operation.Step{{Name: "resources", Do: func() error { return p.deploy(ctx, r) }}}
			},
			Finish: p.finishDeployment,
		},
		deleteDeployment: {
			Steps: func(context.Context, *operation.Run) []operation.Step { return nil },
			Finish: func(tx store.Tx, r *operation.Run, _ *arm.Error) error {
				id, err := arm.ParseKey(r.Resource)
				if err != nil {
					return err
				}
				return control.Remove(tx, id)
			},
		},
		whatIfWork: {
			Steps: func(ctx context.Context, r *operation.Run) []operation.Step {
				return []operation.Step{{Name: "compare", Do: func() error { return p.predict(ctx, r) }}}
			},
		},
	}
}
