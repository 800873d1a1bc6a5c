package access

import (
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// older are what Debian 12's build, 2.45, can: it does not match the SDK beside it, and all of az role fails in it before a request.
var older = []step{
	{Args: "login --service-principal -u {admin} -p {adminPassword} --tenant {tenant}", Want: want{"": "len:1", "0.user.type": "servicePrincipal"}},
	{Args: "account show", Want: want{"id": "{subscription}"}},
	{Args: "ad app create --display-name old --sign-in-audience AzureADMultipleOrgs", Save: save{"app": "appId"}},
	{Args: "ad app credential reset --id {app}", Want: want{"password": "*", "tenant": "{tenant}"}},
	{Args: "ad sp create --id {app}", Want: want{"appId": "{app}"}},
	{Args: "ad sp show --id {app}", Want: want{"displayName": "old"}},
	{Args: "ad sp create-for-rbac --name plain", Want: want{"displayName": "plain", "password": "*"}},
	{Args: "ad app federated-credential list --id {app}", Want: want{"": "len:0"}},
	{Args: "ad group create --display-name g --mail-nickname g", Save: save{"g": "id"}},
	{Args: "ad user show --id erin@debian.onmicrosoft.com", Save: save{"erin": "id"}},
	{Args: "ad group member add --group g --member-id {erin}"},
	{Args: "ad group member check --group g --member-id {erin}", Want: want{"value": "true"}},
	{Args: "group create -n rg -l eastus", Want: want{"name": "rg"}},
	{Args: "lock create -n l --lock-type CanNotDelete -g rg", Want: want{"level": "CanNotDelete"}},
	{Args: "group delete -n rg --yes", Exit: 1, Says: "(ScopeLocked)"},
	{Args: "lock delete -n l -g rg"},
	{Args: "account clear"},
	{Args: "login --service-principal -u {admin} -p {pair} --tenant {tenant}", Want: want{"": "len:1"}}, // its form of a certificate
	{Args: "account clear"},
	{Args: "login -u erin@debian.onmicrosoft.com -p " + secret + " --allow-no-subscriptions", Want: want{"": "len:1"}},
	{Args: "ad signed-in-user show", Want: want{"displayName": "erin"}},
	{Args: "logout"},
}

func debian(t *testing.T, s *harness.Server) {
	path := harness.Older(t)
	p := newPlace(t, s, "debian")
	var erin client.User
	s.Vitrine(t, &erin, "user", "create", "erin@debian.onmicrosoft.com", "--tenant", "debian", "--password", secret)
	both, certificate := pemPair(t, p.Shell, "admin")
	p.names["pair"], p.names["certificate"], p.names["adminPassword"] = both, certificate, p.tenant.Password
	p.walk(t, []step{{Args: "ad app credential reset --id {admin} --append --cert @{certificate}"}})
	old := &place{Shell: s.ShellOf(t, "old", path), names: p.names}
	old.walk(t, older)
}
