package authn

import "log/slog"

// Kind is what sort of directory object a principal is, by the name that role assignments use.
type Kind string

// The kinds of principals.
const (
	ServicePrincipal Kind = "ServicePrincipal"
	User             Kind = "User"
)

// Principal is one identity in one tenant that a token proved.
type Principal struct {
	TenantID   string `json:"tenantId"`
	ObjectID   string `json:"objectId"` // what role assignments name
	AppID      string `json:"appId"`    // the client; for a service principal also its own
	Name       string `json:"name"`     // for messages to people; may change, proves nothing
	Kind       Kind   `json:"kind"`
	HomeTenant string `json:"homeTenant"`           // of the application or the user
	HomeObject string `json:"homeObject,omitempty"` // of a user, in the home tenant: the same person in every tenant
	TokenID    string `json:"tokenId"`              // uti of the token, for the log
	Scope      string `json:"-"`                    // of a user: what the client may do for them by this token, names separated by spaces
}

// Client is how Azure's messages name the principal: "The client '<app ID>' with object id …", or a user by its name.
func (p Principal) Client() string {
	if p.Kind == User {
		return p.Name
	}
	return p.AppID
}

// Same says whether two principals are one identity in two tenants: the same application, and the same person if one stands
// behind it.
func (p Principal) Same(q Principal) bool {
	return p.AppID == q.AppID && p.Kind == q.Kind && (p.Kind != User || p.HomeTenant == q.HomeTenant && p.HomeObject == q.HomeObject)
}

// LogValue is what a log shows of a principal.
func (p Principal) LogValue() slog.Value {
	return slog.GroupValue(slog.String("tenant", p.TenantID), slog.String("object", p.ObjectID),
		slog.String("app", p.AppID), slog.String("uti", p.TokenID))
}

// A Caller is everything a request proved: Primary from Authorization, Auxiliary one per further tenant.
type Caller struct {
	Primary   Principal   `json:"primary"`
	Auxiliary []Principal `json:"auxiliary,omitempty"`
}

// In returns the caller's principal in a tenant, if the request brought a token for it.
func (c Caller) In(tenantID string) (Principal, bool) {
	for _, p := range c.All() {
		if p.TenantID == tenantID {
			return p, true
		}
	}
	return Principal{}, false
}

// All lists the caller's principals, the primary one first.
func (c Caller) All() []Principal { return append([]Principal{c.Primary}, c.Auxiliary...) }
