package client

import "time"

// The operator's questions about rights, and the one kind of assignment that only the operator makes.
type (
	// WhyRequest asks whether and why a principal, by object ID or client ID, may do an action at a scope. Tenant is needed
	// for scopes outside subscriptions only.
	WhyRequest struct {
		Principal string `json:"principal"`
		Action    string `json:"action"`
		Scope     string `json:"scope"`
		Tenant    string `json:"tenant,omitempty"`
	}
	// WhoCanRequest asks who may do an action at a scope.
	WhoCanRequest struct {
		Action string `json:"action"`
		Scope  string `json:"scope"`
		Tenant string `json:"tenant,omitempty"`
	}
	// AccessStep is one assignment and what it does for the question.
	AccessStep struct {
		Result     string `json:"result"`
		Role       string `json:"role"`
		Scope      string `json:"scope"`
		Via        string `json:"viaGroup,omitempty"`
		Condition  string `json:"condition,omitempty"`
		Assignment string `json:"assignmentId"`
		RoleGUID   string `json:"roleDefinitionId"`
	}
	// Why is the answer.
	Why struct {
		Allowed   bool         `json:"allowed"`
		Tenant    string       `json:"tenantId"`
		Principal string       `json:"principalId"`
		Action    string       `json:"action"`
		Scope     string       `json:"scope"`
		Decided   *AccessStep  `json:"decidedBy,omitempty"`
		Chain     []AccessStep `json:"assignments"`
		Locks     []string     `json:"locks,omitempty"`
		Role      string       `json:"smallestRole,omitempty"`
		Command   string       `json:"command,omitempty"`
	}
	// Holder is one whose role gives it, and whether it may do it.
	Holder struct {
		Allowed    bool   `json:"allowed"`
		Principal  string `json:"principalId"`
		Via        string `json:"viaGroup,omitempty"`
		Role       string `json:"role"`
		Scope      string `json:"scope"`
		Condition  string `json:"condition,omitempty"`
		Denied     string `json:"deniedBy,omitempty"`
		Locked     string `json:"lockedAt,omitempty"`
		Assignment string `json:"assignmentId"`
	}
	// DenyRequest makes a deny assignment. No principals: everyone of the tenant.
	DenyRequest struct {
		Name       string   `json:"name"`
		Scope      string   `json:"scope"`
		Tenant     string   `json:"tenant,omitempty"`
		Actions    []string `json:"actions"`
		NotActions []string `json:"notActions,omitempty"`
		Principals []string `json:"principals,omitempty"`
		Except     []string `json:"excludePrincipals,omitempty"`
		Exact      bool     `json:"doNotApplyToChildScopes,omitempty"`
	}
	// Denied is the deny assignment that is there now, or that is gone.
	Denied struct {
		ID string `json:"id"`
	}
	// SharedItem is something that others let the caller use.
	SharedItem struct {
		Type     string     `json:"type"`
		ID       string     `json:"id"`
		Location string     `json:"location,omitempty"`
		Tenant   string     `json:"tenantId"`
		As       string     `json:"principalId"`
		Means    string     `json:"means"`
		By       AccessStep `json:"grantedBy"`
		In       string     `json:"subscriptionId,omitempty"` // the caller's, that sees it; empty: by a role assignment
	}
)

// SharingVersion is the api-version of Vitrine.Sharing.
const SharingVersion = "2026-11-01"

// expiry of a token that is asked for one list.
const brief = 10 * time.Minute

// TokensOf is Tokens for one application of a tenant; an empty one is the tenant's first principal.
func (o *Operator) TokensOf(tenant, appID string) TokenSource {
	return o.source(TokenRequest{Tenant: tenant, AppID: appID, Lifetime: int(brief / time.Second)})
}
