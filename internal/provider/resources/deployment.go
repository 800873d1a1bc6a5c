package resources

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
	"vitrine/internal/store"
	"vitrine/internal/template"
)

// Deployment is the properties of a deployment, in the order of ARM's answers. All of it is made by the server: what the
// client sends is read by readRequest, so that a template and its secure parameters never come near the document in clear.
type Deployment struct {
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
	Error              json.RawMessage            `json:"error" arm:"readonly"`

	Sealed    string          `json:"sealed" arm:"private"`    // a payload
	Operation string          `json:"operation" arm:"private"` // ID of the operation that runs or ran it
	Begun     string          `json:"begun" arm:"private"`     // RFC 3339
	Progress  json.RawMessage `json:"progress" arm:"private"`  // once it has ended
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

func (p *Provider) deployments() {
	control.Register(p.control, control.Spec[Deployment]{
		Type: deploymentType, Versions: versions,
		Async:    control.Async{First: stateAccepted, Family: control.DeploymentFamily},
		Reader:   readBody,
		Name:     deploymentName,
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
		Actions: []control.Action[Deployment]{{Name: "exportTemplate", Do: p.exportTemplate}},
		Parts: map[string]func(context.Context, *control.Read[Deployment], string) (any, error){
			"operations": deploymentOperations,
		},
	})
	below := "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}/"
	for _, r := range []control.Route{
		{Method: http.MethodGet, Pattern: below + "operationStatuses/{operation}", Do: deploymentStatus},
		{Method: http.MethodPost, Pattern: below + "validate", Do: p.validate},
		{Method: http.MethodPost, Pattern: below + "cancel", Do: cancel},
		{Method: http.MethodPost, Pattern: below + "whatIf", Do: whatIf},
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
	return out, visible(err)
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

func (p *Provider) putDeployment(_ context.Context, w *control.Write[Deployment]) error {
	d := &w.New.Properties
	req, err := readRequest(w.Body)
	if err != nil {
		return err
	}
	load, err := p.payload(w.Tx, w.Caller, w.ID, req, w.Now)
	if err != nil {
		return err
	}
	plan, err := load.expand()
	if err != nil {
		return err
	}
	if err := p.preflight(plan.Plan); err != nil {
		return plan.veil.err(err)
	}
	describe(d, plan, w.Correlation, w.Now)
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
	*d = Deployment{TemplateHash: plan.hash, Parameters: plan.Echo(), Mode: d.Mode, Timestamp: now.UTC().Format(stamp), Duration: iso(0),
		CorrelationID: correlation, Providers: hidden(plan.veil, plan.Providers()), Dependencies: hidden(plan.veil, plan.Dependencies()),
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

const stamp = "2006-01-02T15:04:05.0000000Z" // ARM's own: seven digits and Z

// iso words a duration as ISO 8601 does: PT1M2.5S.
func iso(d time.Duration) string {
	text := "PT"
	if h := d / time.Hour; h > 0 {
		text, d = fmt.Sprintf("%s%dH", text, h), d%time.Hour
	}
	if m := d / time.Minute; m > 0 {
		text, d = fmt.Sprintf("%s%dM", text, m), d%time.Minute
	}
	seconds := strings.TrimRight(fmt.Sprintf("%.7f", d.Seconds()), "0")
	return text + strings.TrimSuffix(seconds, ".") + "S"
}

// deploymentWorks is the long-running work of deployments.
func (p *Provider) deploymentWorks() map[string]operation.Work {
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
				id, err := arm.ParseID(r.Resource)
				if err != nil {
					return err
				}
				return control.Remove(tx, id)
			},
		},
	}
}
