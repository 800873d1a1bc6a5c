package rbac

import (
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
)

// DenialType is the type of the entry in additionalInfo that explains a denial. It is ours; Azure's text stays as it is.
const DenialType = "VitrineDenial"

// Denial explains a refusal to a machine; details say the same to a person. It holds only what the caller may know: its own
// tokens, its own assignments, the tenant of a subscription (which any request learns from WWW-Authenticate), and of other
// principals only those of its own directory, or those that it may read anyway.
type Denial struct {
	Reason        string    `json:"reason"` // NoAssignment, NotActions, ConditionNotMet, DenyAssignment, MissingToken, WrongTenant
	Tenant        string    `json:"tenantId,omitempty"`
	Tokens        []Used    `json:"tokens"`
	MissingTenant string    `json:"missingTenantId,omitempty"`
	Action        string    `json:"action,omitempty"`
	Scope         string    `json:"scope,omitempty"`
	Held          []Step    `json:"heldHere,omitempty"` // the caller's assignments that apply at the scope and do not give the action
	Role          string    `json:"role,omitempty"`     // the smallest built-in role that gives the action
	Grantors      []Grantor `json:"mayGrant,omitempty"`
	Commands      []string  `json:"commands,omitempty"`
	Header        string    `json:"header,omitempty"`
}

// Used is a token that the request brought.
type Used struct {
	Tenant string `json:"tenantId"`
	App    string `json:"appId"`
	Object string `json:"objectId"`
	Use    string `json:"use"` // primary or auxiliary
}

// Grantor is who may assign roles at a scope.
type Grantor struct {
	Principal string `json:"principalId"`
	Role      string `json:"role"`
	Scope     string `json:"scope"`
}

func used(c authn.Caller) []Used {
	out := []Used{{c.Primary.TenantID, c.Primary.AppID, c.Primary.ObjectID, "primary"}}
	for _, p := range c.Auxiliary {
		out = append(out, Used{p.TenantID, p.AppID, p.ObjectID, "auxiliary"})
	}
	return out
}

// explaining is a refusal on its way to words.
type explaining struct {
	e      *Engine
	tx     store.Tx
	p      authn.Principal
	g      *Grants
	q      question
	d      decision
	action string // as it is written
	tokens []Used // that the request brought
}

const assignmentsRead, assignmentsWrite = "microsoft.authorization/roleassignments/read", "microsoft.authorization/roleassignments/write"

// lacking adds why the right is not there and how to get it.
func (x explaining) lacking(e *arm.Error) error {
	info := Denial{Reason: "NoAssignment", Tenant: x.p.TenantID, Tokens: x.tokens, Action: x.action, Scope: x.q.scope.String(), Held: x.steps()}
	for _, s := range info.Held {
		if s.Result == "ConditionNotMet" || s.Result == "NotActions" && info.Reason == "NoAssignment" {
			info.Reason = s.Result
		}
	}
	grantors, err := x.grantors()
	if err != nil {
		return err
	}
	info.Grantors = grantors
	if r, ok := x.e.smallest(x.q.action, x.q.data); ok {
		info.Role = r.Name
		info.Commands = []string{x.command(r)}
	}
	say(e, "TokenUsed", "The request was judged as object '%s' (application '%s') of tenant '%s'.", x.p.ObjectID, x.p.AppID, x.p.TenantID)
	switch info.Reason {
	case "ConditionNotMet":
		say(e, "ConditionNotMet", "A role assignment gives '%s' here, but its attribute condition was not met.", x.action)
	case "NotActions":
		say(e, "MissingPermission", "The roles held at '%s' leave '%s' out.", x.q.scope, x.action)
	default:
		say(e, "MissingPermission", "No role assignment at '%s' or above gives '%s'.", x.q.scope, x.action)
	}
	if len(info.Commands) > 0 {
		say(e, "HowToGrant", "%s, signed in to tenant '%s', can run: %s", x.who(grantors), x.p.TenantID, info.Commands[0])
	}
	e.AdditionalInfo = append(e.AdditionalInfo, arm.Info{Type: DenialType, Info: info})
	return e
}

// denied explains a deny assignment: no role helps against it.
func (x explaining) denied(e *arm.Error) error {
	say(e, "TokenUsed", "The request was judged as object '%s' (application '%s') of tenant '%s'.", x.p.ObjectID, x.p.AppID, x.p.TenantID)
	say(e, "DenyAssignment", "A deny assignment wins over every role; the operator of the installation can remove it or exclude the principal.")
	e.AdditionalInfo = append(e.AdditionalInfo, arm.Info{Type: DenialType, Info: Denial{Reason: "DenyAssignment", Tenant: x.p.TenantID,
		Tokens: x.tokens, Action: x.action, Scope: x.q.scope.String()}})
	return e
}

// command is the az command that would give a role, ready to paste into a shell.
func (x explaining) command(r Role) string {
	return fmt.Sprintf("az role assignment create --assignee-object-id %s --assignee-principal-type %s --role %s --scope %s", x.p.ObjectID, kindOf(x.p), quote(r.Name), quote(x.grantScope().String()))
}

// quote makes one word of any text for a shell: a scope comes from a request.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func say(e *arm.Error, code, format string, args ...any) {
	e.Details = append(e.Details, arm.Errorf(e.Status, code, format, args...))
}

func kindOf(p authn.Principal) string {
	if p.Kind == "" {
		return string(authn.ServicePrincipal)
	}
	return string(p.Kind)
}

// grantScope is where a role would be assigned: for what may not exist yet, or not any more, the group that would hold it.
func (x explaining) grantScope() arm.ID {
	if s := x.q.scope; s.ResourceGroup != "" && !strings.HasSuffix(x.q.action, "/read") {
		return s.Group()
	} else if s.Scope != "" || s.Namespace != "" && len(s.Names) == 0 {
		return s.Parent()
	}
	return x.q.scope
}

// who words those who can grant.
func (x explaining) who(g []Grantor) string {
	if len(g) == 0 {
		return "An Owner, User Access Administrator or Role Based Access Control Administrator"
	}
	names := []string{}
	for _, one := range g {
		if len(names) < 5 && !slices.Contains(names, one.Principal) {
			names = append(names, one.Principal)
		}
	}
	return "One of " + strings.Join(names, ", ")
}

// grantors lists who may assign roles. A principal of this directory is shown those at the subscription and above, which
// says nothing about what is in it; all are shown to who may read role assignments at the scope; a guest learns nobody.
func (x explaining) grantors() ([]Grantor, error) {
	chain := x.g.chain(x.q.scope)
	if !x.g.decide(question{action: assignmentsRead, scope: x.q.scope}).allowed {
		if !strings.EqualFold(x.p.HomeTenant, x.p.TenantID) {
			return nil, nil
		}
		chain = slices.DeleteFunc(slices.Clone(chain), func(k string) bool {
			return strings.HasPrefix(k, "/subscriptions/") && strings.Count(k, "/") > 2
		})
	}
	var out []Grantor
	all, err := x.e.holders(x.tx, x.p.TenantID, chain, question{action: assignmentsWrite})
	for _, h := range all {
		if h.always(assignmentsWrite) && !x.g.is(h.Principal) { // who may always, and is not the one who was refused
			out = append(out, Grantor{h.Principal, h.role.Name, h.at})
		}
	}
	return out, err
}

// smallest finds the built-in role that gives an action, in lower case, and as little else as possible.
func (e *Engine) smallest(action string, data bool) (Role, bool) {
	var best Role
	least, meant := -1, false
	for _, c := range e.builtIn {
		r := c.Role
		if c.match(action, data) == nil {
			continue
		}
		m := !data && readsFor(r, action)
		if w := weight(r); least < 0 || m && !meant || m == meant && w < least {
			best, least, meant = r, w, m
		}
	}
	return best, least >= 0
}

// readsFor tells whether a role is for those who want to read what an action reads. Roles of services, such as the one for disk
// backups, let read groups and the like by the way; nobody should be told to hand one out for that.
func readsFor(r Role, action string) bool {
	service, _, _ := strings.Cut(action, "/")
	for _, p := range r.Permissions {
		for _, a := range p.Actions {
			of, _, _ := strings.Cut(a, "/")
			if strings.EqualFold(a, "Microsoft.Authorization/*/read") { // stands in most roles beside what they are for
				continue
			}
			if !strings.HasSuffix(a, "/read") || of != "*" && !strings.EqualFold(of, service) {
				return false
			}
		}
	}
	return strings.HasSuffix(action, "/read")
}

// weight orders roles by how much they give: a wildcard of everything weighs most.
func weight(r Role) int {
	n := 0
	for _, p := range r.Permissions {
		for _, a := range append(slices.Clone(p.Actions), p.DataActions...) {
			switch {
			case a == "*":
				n += 10000 - 10*len(p.NotActions)
			case a == "*/read":
				n += 40
			case strings.HasSuffix(a, "/*"):
				n += 20
			case strings.Contains(a, "*"):
				n += 10
			case !strings.HasSuffix(a, "/read"):
				n += 5
			default:
				n++
			}
		}
	}
	return n
}

// missingToken explains wording A: which tenants had a token, which needs one, and how to bring it.
func missingToken(c authn.Caller, l Link, tenant string, e *arm.Error) error {
	info := Denial{Reason: "MissingToken", Tenant: c.Primary.TenantID, Tokens: used(c), Action: l.Action, Scope: l.ID.String()}
	for _, u := range info.Tokens {
		say(e, "TokenUsed", "The request brought a token of tenant '%s' (%s, application '%s').", u.Tenant, u.Use, u.App)
	}
	if tenant == "" {
		say(e, "MissingToken", "None of these tenants owns the linked subscription '%s'.", l.ID.Subscription)
	} else {
		info.MissingTenant = tenant
		info.Header = authn.AuxiliaryHeader + ": Bearer TOKEN"
		info.Commands = []string{signIn(c.Primary, tenant),
			fmt.Sprintf("az account get-access-token --tenant %s --query accessToken --output tsv", tenant)}
		say(e, "MissingToken", "The request needs a token of application '%s' for tenant '%s', which owns the linked subscription '%s', in the header '%s'.",
			c.Primary.AppID, tenant, l.ID.Subscription, authn.AuxiliaryHeader)
		say(e, "HowToSend", "Sign in there too: %s. az vm create and deployments then send the header by themselves. By hand, take a token with %s and send %s", info.Commands[0], info.Commands[1], info.Header)
	}
	e.AdditionalInfo = append(e.AdditionalInfo, arm.Info{Type: DenialType, Info: info})
	return e
}

// signIn is how a principal signs in to a further tenant.
func signIn(p authn.Principal, tenant string) string {
	if p.Kind == authn.User {
		return "az login --tenant " + tenant
	}
	return fmt.Sprintf("az login --service-principal --username %s --password PASSWORD --tenant %s", p.AppID, tenant)
}

// WrongTenant adds to a refusal of the primary token's tenant which one was used and how to sign in to the right one.
func WrongTenant(c authn.Caller, e *arm.Error, tenant string) error {
	command := signIn(c.Primary, tenant)
	say(e, "TokenUsed", "The token in the header '%s' is of tenant '%s' (application '%s').", authn.PrimaryHeader, c.Primary.TenantID, c.Primary.AppID)
	say(e, "HowToSignIn", "Sign in to the subscription's tenant: %s", command)
	e.AdditionalInfo = append(e.AdditionalInfo, arm.Info{Type: DenialType, Info: Denial{Reason: "WrongTenant", Tenant: c.Primary.TenantID,
		Tokens: used(c), MissingTenant: tenant, Commands: []string{command}}})
	return e
}
