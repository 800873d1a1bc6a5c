package client

// Hidden is a text that prints itself nowhere: requests are logged.
type Hidden string

// String hides it.
func (Hidden) String() string { return "[hidden]" }

// GoString hides it from %#v.
func (Hidden) GoString() string { return "[hidden]" }

type (
	// UserRequest makes a person in a tenant. An empty password is drawn. Admin makes them Global Administrator.
	UserRequest struct {
		Name        string `json:"userPrincipalName"`
		DisplayName string `json:"displayName,omitempty"`
		Tenant      string `json:"tenant"`
		Password    Hidden `json:"password,omitempty"`
		Admin       bool   `json:"admin,omitempty"`
	}
	// User is what came of it. The password is shown this once.
	User struct {
		ObjectID string   `json:"objectId"`
		Name     string   `json:"userPrincipalName"`
		TenantID string   `json:"tenantId"`
		Roles    []string `json:"directoryRoles"`
		Password string   `json:"password"`
	}
)
