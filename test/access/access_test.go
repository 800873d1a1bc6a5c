package access

import (
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

type (
	step = harness.Step
	want = harness.Want
	save = harness.Save
)

// place is a tenant of a table's own, with an az whose administrator is signed in.
type place struct {
	*harness.Shell
	tenant client.Tenant
	names  map[string]string
}

func newPlace(t *testing.T, s *harness.Server, name string) *place {
	t.Helper()
	p := &place{Shell: s.Shell(t, name)}
	s.Vitrine(t, &p.tenant, "tenant", "create", name)
	p.Login(t, p.tenant.AppID, p.tenant.Password, p.tenant.TenantID)
	p.names = map[string]string{"tenant": p.tenant.TenantID, "subscription": p.tenant.SubscriptionID, "sub": "/subscriptions/" + p.tenant.SubscriptionID,
		"admin": p.tenant.AppID, "adminObject": p.tenant.ObjectID, "graph": "https://graph.microsoft.com/v1.0", "arm": "https://management.azure.com",
		"group": "/subscriptions/" + p.tenant.SubscriptionID + "/resourceGroups/rg", "mg": "/providers/Microsoft.Management/managementGroups"}
	p.names["gallery"] = p.names["group"] + "/providers/Microsoft.Compute/galleries/gal"
	return p
}

func (p *place) walk(t *testing.T, steps []step) {
	t.Helper()
	p.Walk(t, t.Name(), steps, p.names)
}

// elevated is how a Global Administrator comes to rule the tenant's root.
var elevated = []step{
	{Args: "rest --method post --url {arm}/providers/Microsoft.Authorization/elevateAccess?api-version=2016-07-01"},
	{Args: "role assignment create --assignee-object-id {adminObject} --assignee-principal-type ServicePrincipal --role Owner --scope /",
		Want: want{"scope": "/", "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"}},
}

// resources are a group, a gallery and an image definition: scopes for what follows.
var resources = []step{
	{Args: "group create -n rg -l eastus"},
	{Args: "sig create -g rg -r gal"},
	{Args: "sig image-definition create -g rg -r gal -i def -p pub -f off -s sku --os-type Linux --os-state generalized"},
}

func TestAz(t *testing.T) {
	harness.Az(t)
	issuer := newIssuer(t)
	s := harness.Start(t, harness.Config{Args: []string{"--allow-password-grant", "--allow-issuer", issuer.allowed()}, Env: []string{"SSL_CERT_FILE=" + issuer.root}})
	for name, f := range map[string]func(*testing.T, *harness.Server){
		"assignments": assignments, "definitions": definitions, "locks": locks, "hierarchy": hierarchy, "people": people, "browser": inBrowser,
		"secrets": func(t *testing.T, s *harness.Server) { principals(t, s, issuer) }, "debian": debian,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, s)
		})
	}
}
