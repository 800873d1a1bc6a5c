package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// step is a harness.Step that is short to write.
type step struct {
	args string
	want want
	save save
	exit int
	says string
}

type (
	want = harness.Want
	save = harness.Save
)

// administrator are the commands of a tenant's administrator, in order.
func administrator() []step {
	return []step{
		// Applications.
		{args: "ad app create --display-name one --sign-in-audience AzureADandPersonalMicrosoftAccount --web-redirect-uris https://localhost/cb --enable-id-token-issuance true",
			want: want{"displayName": "one", "signInAudience": "AzureADandPersonalMicrosoftAccount", "web.redirectUris.0": "https://localhost/cb", "web.implicitGrantSettings.enableIdTokenIssuance": "true", "description": ""},
			save: save{"app": "appId", "object": "id"}},
		{args: "ad app create --display-name one --is-fallback-public-client false", want: want{"appId": "{app}", "isFallbackPublicClient": ""}},
		{args: "ad app list --display-name on", want: want{"": "len:1", "0.appId": "{app}"}},
		{args: "ad app list --app-id {app}", want: want{"": "len:1"}},
		{args: "ad app list --all", want: want{"": "len:2"}},
		{args: "ad app list --filter displayName%20eq%20'one'", want: want{"": "len:1"}},
		{args: "ad app show --id {app}", want: want{"id": "{object}"}},
		{args: "ad app show --id {object}", want: want{"appId": "{app}"}},
		{args: "ad app show --id 00000000-1111-2222-3333-444444444444", exit: 3, says: "does not exist"},
		{args: "ad app update --id {app} --identifier-uris api://{app} --public-client-redirect-uris http://localhost --app-roles @{roles}"},
		{args: "ad app show --id api://{app}", want: want{"identifierUris.0": "api://{app}", "publicClient.redirectUris.0": "http://localhost", "appRoles.0.value": "Images.Read", "web.redirectUris.0": "https://localhost/cb"}},
		{args: "ad app update --id {app} --identifier-uris https://management.azure.com", exit: 1, says: "verified domain"},
		{args: "ad app update --id {app} --web-redirect-uris http://evil.example/cb", exit: 1, says: "must use https"},
		// Its secrets and certificates.
		{args: "ad app credential reset --id {app} --display-name first", want: want{"appId": "{app}", "password": "*", "tenant": "{tenant}"}, save: save{"password": "password"}},
		{args: "ad app credential reset --id {app} --append --years 2", want: want{"password": "*"}},
		{args: "ad app credential list --id {app}", want: want{"": "len:2", "0.displayName": "first", "0.secretText": ""}, save: save{"key": "1.keyId"}},
		{args: "ad app credential delete --id {app} --key-id {key}"},
		{args: "ad app credential list --id {app}", want: want{"": "len:1"}},
		{args: "ad app credential reset --id {app} --append --cert @{certificate}", want: want{"password": ""}},
		{args: "ad app credential list --id {app} --cert", want: want{"": "len:1", "0.type": "AsymmetricX509Cert", "0.customKeyIdentifier": "*", "0.key": ""}, save: save{"key": "0.keyId"}},
		{args: "ad app credential reset --id {app} --append --create-cert", want: want{"fileWithCertAndPrivateKey": "*"}},
		{args: "ad app credential list --id {app} --cert", want: want{"": "len:2"}},
		{args: "ad app credential delete --id {app} --cert --key-id {key}"},
		{args: "ad app credential list --id {app} --cert", want: want{"": "len:1"}},
		// Federated credentials.
		{args: "ad app federated-credential create --id {app} --parameters @{federated}", want: want{"name": "github", "issuer": "https://token.actions.githubusercontent.com", "audiences.0": "api://AzureADTokenExchange"}, save: save{"fic": "id"}},
		{args: "ad app federated-credential create --id {app} --parameters @{federated}", exit: 1, says: "already exists"},
		{args: "ad app federated-credential list --id {app}", want: want{"": "len:1"}},
		{args: "ad app federated-credential show --id {app} --federated-credential-id github", want: want{"id": "{fic}"}},
		{args: "ad app federated-credential update --id {app} --federated-credential-id {fic} --parameters @{federated2}"},
		{args: "ad app federated-credential show --id {app} --federated-credential-id {fic}", want: want{"subject": "repo:contoso/other:ref:refs/heads/main"}},
		{args: "ad app federated-credential delete --id {app} --federated-credential-id {fic}"},
		{args: "ad app federated-credential list --id {app}", want: want{"": "len:0"}},
		// Service principals.
		{args: "ad sp create --id {app}", want: want{"appId": "{app}", "servicePrincipalNames.1": "api://{app}", "accountEnabled": "true", "appOwnerOrganizationId": "{tenant}"}, save: save{"sp": "id"}},
		{args: "ad sp create --id {app}", exit: 1, says: "already in use"},
		{args: "ad sp show --id {app}", want: want{"id": "{sp}"}},
		{args: "ad sp show --id {sp}", want: want{"appId": "{app}"}},
		{args: "ad sp show --id api://{app}", want: want{"id": "{sp}"}},
		{args: "ad sp list --display-name one", want: want{"": "len:1"}},
		{args: "ad sp list --all", want: want{"": "len:5"}}, // with those of Graph, Resource Manager and Storage
		{args: "ad sp update --id {app} --set tags=['WindowsAzureActiveDirectoryIntegratedApp']"},
		{args: "ad sp show --id {app}", want: want{"tags.0": "WindowsAzureActiveDirectoryIntegratedApp"}},
		{args: "ad sp credential reset --id {app}", want: want{"password": "*"}, save: save{"spPassword": "password"}},
		{args: "ad sp credential list --id {app}", want: want{"": "len:1"}, save: save{"key": "0.keyId"}},
		{args: "ad sp credential delete --id {app} --key-id {key}"},
		{args: "ad sp credential list --id {app}", want: want{"": "len:0"}},
		{args: "ad sp owner list --id {app}", want: want{"": "len:0"}},
		// Permissions: what the application asks for, and what it was granted.
		{args: "ad app permission add --id {app} --api 00000003-0000-0000-c000-000000000000 --api-permissions e1fe6dd8-ba31-4d61-89e7-88639da4683d=Scope 7ab1d382-f21e-4acd-a863-ba3e13f7da61=Role"},
		{args: "ad app permission list --id {app}", want: want{"": "len:1", "0.resourceAppId": "00000003-0000-0000-c000-000000000000", "0.resourceAccess": "len:2"}},
		{args: "ad app permission delete --id {app} --api 00000003-0000-0000-c000-000000000000 --api-permissions 7ab1d382-f21e-4acd-a863-ba3e13f7da61"},
		{args: "ad app permission list --id {app}", want: want{"0.resourceAccess": "len:1", "0.resourceAccess.0.type": "Scope"}},
		{args: "ad app permission grant --id {app} --api 00000003-0000-0000-c000-000000000000 --scope User.Read", want: want{"clientId": "{sp}", "consentType": "AllPrincipals", "principalId": "", "scope": "User.Read"}},
		{args: "ad app permission grant --id {app} --api 00000003-0000-0000-c000-000000000000 --scope User.Read Directory.Read.All", want: want{"scope": "User.Read Directory.Read.All"}},
		{args: "ad app permission grant --id {app} --api https://management.azure.com/ --scope user_impersonation", want: want{"scope": "user_impersonation"}},
		{args: "ad app permission list-grants --id {app} --show-resource-name", want: want{"": "len:2"}},
		{args: "ad app permission list-grants --filter clientId%20eq%20'{sp}'%20and%20consentType%20eq%20'Principal'", want: want{"": "len:0"}},
		{args: "ad app permission admin-consent --id {app}", exit: 1, says: "AADSTS500011"},
		{args: "ad app permission delete --id {app} --api 00000003-0000-0000-c000-000000000000"},
		{args: "ad app permission list --id {app}", want: want{"": "len:0"}},
		{args: "ad sp create-for-rbac --name plain", want: want{"displayName": "plain", "password": "*"}},
		{args: "ad sp create-for-rbac --name builder --role Reader --scopes /subscriptions/{subscription}", want: want{"displayName": "builder", "tenant": "{tenant}"}, save: save{"builder": "appId"}},
		{args: "role assignment list --assignee {builder} --all", want: want{"": "len:1", "0.roleDefinitionName": "Reader", "0.principalName": "{builder}"}},
		{args: "role assignment create --assignee {app} --role Contributor --scope /subscriptions/{subscription}", want: want{"principalId": "{sp}", "principalType": "ServicePrincipal"}},
		{args: "role assignment list --scope /subscriptions/{subscription} -o table", says: "Contributor"},
		// Users.
		{args: "ad user create --display-name Alice --user-principal-name alice@contoso.onmicrosoft.com --password Correct-Horse7!", want: want{"userPrincipalName": "alice@contoso.onmicrosoft.com", "jobTitle": ""}, save: save{"alice": "id"}},
		{args: "ad user create --display-name Alice --user-principal-name ALICE@contoso.onmicrosoft.com --password Correct-Horse7!", exit: 1, says: "already exists"},
		{args: "ad user create --display-name Bob --user-principal-name bob@elsewhere.example --password Correct-Horse7!", exit: 1, says: "domain portion"},
		{args: "ad user create --display-name Bob --user-principal-name bob@contoso.onmicrosoft.com --password simple", exit: 1, says: "complexity"},
		{args: "ad user show --id alice@contoso.onmicrosoft.com", want: want{"id": "{alice}", "displayName": "Alice"}},
		{args: "ad user show --id {alice}", want: want{"userPrincipalName": "alice@contoso.onmicrosoft.com"}},
		{args: "ad user show --id nobody@contoso.onmicrosoft.com", exit: 3, says: "does not exist"},
		{args: "ad user list", want: want{"": "len:1"}},
		{args: "ad user list --upn alice@contoso.onmicrosoft.com", want: want{"": "len:1"}},
		{args: "ad user list --display-name Al", want: want{"": "len:1"}},
		{args: "ad user update --id {alice} --display-name Alicia --password Other-Horse8!"},
		{args: "ad user show --id {alice}", want: want{"displayName": "Alicia"}},
		// Groups.
		{args: "ad group create --display-name inner --mail-nickname inner", want: want{"displayName": "inner", "securityEnabled": "true"}, save: save{"inner": "id"}},
		{args: "ad group create --display-name outer --mail-nickname outer --description all", save: save{"outer": "id"}},
		{args: "ad group create --display-name outer --mail-nickname outer", want: want{"id": "{outer}"}},
		{args: "ad group show --group outer", want: want{"description": "all"}},
		{args: "ad group list --display-name out", want: want{"": "len:1"}},
		{args: "ad group list", want: want{"": "len:2"}},
		{args: "ad group member add --group inner --member-id {alice}"},
		{args: "ad group member add --group inner --member-id {alice}", exit: 1, says: "already exist"},
		{args: "ad group member add --group inner --member-id {sp}"},
		{args: "ad group member add --group outer --member-id {inner}"},
		{args: "ad group member add --group inner --member-id {outer}"},
		{args: "ad group member list --group inner", want: want{"": "len:3"}},
		{args: "ad group member check --group outer --member-id {alice}", want: want{"value": "true"}},
		{args: "ad group member check --group outer --member-id {object}", want: want{"value": "false"}},
		{args: "ad user get-member-groups --id {alice}", want: want{"": "len:2", "0.displayName": "*"}},
		{args: "ad group get-member-groups --group inner", want: want{"": "len:1"}},
		{args: "ad group member remove --group inner --member-id {outer}"},
		{args: "ad group member remove --group inner --member-id {outer}", exit: 1, says: "does not exist"},
		{args: "ad group owner add --group outer --owner-object-id {alice}"},
		{args: "ad group owner list --group outer", want: want{"": "len:1", "0.id": "{alice}"}},
		{args: "ad group owner remove --group outer --owner-object-id {alice}"},
		{args: "ad app owner add --id {app} --owner-object-id {alice}"},
		{args: "ad app owner list --id {app}", want: want{"0.displayName": "Alicia"}},
		{args: "ad app owner remove --id {app} --owner-object-id {alice}"},
		{args: "role assignment create --assignee-object-id {outer} --assignee-principal-type Group --role Reader --scope /subscriptions/{subscription}", want: want{"principalType": "Group"}},
		{args: "ad signed-in-user show", exit: 1, says: "delegated authentication"},
		// Paging, counting, what is refused.
		{args: "rest --url https://graph.microsoft.com/v1.0/users?$count=true&$top=1&$select=id,displayName --headers ConsistencyLevel=eventual", want: want{"@odata.count": "1", "value": "len:1", "value.0.displayName": "Alicia", "value.0.userPrincipalName": ""}},
		{args: "rest --url https://graph.microsoft.com/v1.0/groups?$top=1", want: want{"@odata.nextLink": "*", "value": "len:1"}},
		{args: "rest --url https://graph.microsoft.com/v1.0/organization", want: want{"value.0.id": "{tenant}", "value.0.verifiedDomains.0.name": "contoso.onmicrosoft.com"}},
		{args: "rest --url https://graph.microsoft.com/v1.0/servicePrincipals(appId='{app}')", want: want{"id": "{sp}"}},
		{args: "rest --url https://graph.microsoft.com/beta/users", exit: 1, says: "NotImplemented"},
		{args: "rest --url https://graph.microsoft.com/v1.0/policies", exit: 1, says: "not served"},
		{args: "rest --url https://graph.microsoft.com/v1.0/users?$search=x", exit: 1, says: "$search"},
		{args: "rest --method post --url https://graph.microsoft.com/v1.0/applications/{object}/addKey --body {}", exit: 1, says: "addKey"},
		// Guests.
		{args: "rest --method post --url https://graph.microsoft.com/v1.0/invitations --body @{invitation}", want: want{"status": "PendingAcceptance", "invitedUser.id": "*"}, save: save{"guest": "invitedUser.id"}},
		{args: "rest --url https://graph.microsoft.com/v1.0/users/{guest}?$select=userType,externalUserState", want: want{"userType": "Guest", "externalUserState": "PendingAcceptance"}},
		// Deleting and restoring.
		{args: "ad app delete --id {app}"},
		{args: "ad app list --app-id {app}", want: want{"": "len:0"}},
		{args: "ad sp list --spn {app}", want: want{"": "len:0"}},
		{args: "rest --url https://graph.microsoft.com/v1.0/directory/deletedItems/microsoft.graph.application", want: want{"value.0.id": "{object}", "value.0.deletedDateTime": "*"}},
		{args: "rest --method post --url https://graph.microsoft.com/v1.0/directory/deletedItems/{object}/restore", want: want{"appId": "{app}"}},
		{args: "ad sp show --id {app}", want: want{"id": "{sp}"}},
		{args: "ad group member check --group inner --member-id {sp}", want: want{"value": "true"}},
		{args: "ad sp delete --id {app}"},
		{args: "ad sp list --spn {app}", want: want{"": "len:0"}},
		{args: "ad app delete --id {app}"},
		{args: "rest --method delete --url https://graph.microsoft.com/v1.0/directory/deletedItems/{object}"},
		{args: "rest --url https://graph.microsoft.com/v1.0/directory/deletedItems/{object}", exit: 1, says: "ResourceNotFound"},
		{args: "ad user delete --id {alice}"},
		{args: "ad user show --id {alice}", exit: 3, says: "does not exist"},
		{args: "ad group delete --group inner"},
		{args: "ad group member list --group outer", want: want{"": "len:0"}},
		{args: "ad group delete --group outer"},
		{args: "ad sp delete --id {admin}", exit: 1, says: "last Global Administrator"},
	}
}

// nobody are those of a service principal without a directory role.
func nobody() []step {
	return []step{
		{args: "ad app list --all", exit: 1, says: "Insufficient privileges"},
		{args: "ad app create --display-name mine", exit: 1, says: "Insufficient privileges"},
		{args: "ad user list", exit: 1, says: "Insufficient privileges"},
		{args: "ad sp show --id {admin}", exit: 1, says: "Insufficient privileges"},
		{args: "rest --url https://graph.microsoft.com/v1.0/servicePrincipals/{me}", want: want{"appId": "{app}"}},
		{args: "rest --url https://graph.microsoft.com/v1.0/organization", want: want{"value": "len:1"}},
		{args: "rest --method post --url https://graph.microsoft.com/v1.0/servicePrincipals/{me}/addPassword --body {}", exit: 1, says: "Authorization_RequestDenied"},
	}
}

func TestAz(t *testing.T) {
	harness.Az(t)
	s := harness.Start(t, harness.Config{})
	az := s.Shell(t, "az")
	var one, two client.Tenant
	s.Vitrine(t, &one, "tenant", "create", "contoso")
	s.Vitrine(t, &two, "tenant", "create", "fabrikam")
	names := map[string]string{"tenant": one.TenantID, "subscription": one.SubscriptionID, "admin": one.AppID,
		"certificate": certificate(t), "roles": file(t, "roles.json", `[{"allowedMemberTypes":["Application"],"description":"d","displayName":"Read images","id":"0b0f1d34-43d6-4f6b-9d5c-9d2c0b0a0d11","isEnabled":true,"value":"Images.Read"}]`),
		"federated":  file(t, "f1.json", `{"name":"github","issuer":"https://token.actions.githubusercontent.com","subject":"repo:contoso/images:ref:refs/heads/main","audiences":["api://AzureADTokenExchange"]}`),
		"federated2": file(t, "f2.json", `{"issuer":"https://token.actions.githubusercontent.com","subject":"repo:contoso/other:ref:refs/heads/main","audiences":["api://AzureADTokenExchange"]}`),
		"invitation": file(t, "i.json", `{"invitedUserEmailAddress":"carol@fabrikam.onmicrosoft.com","inviteRedirectUrl":"https://portal.azure.com","sendInvitationMessage":false}`)}
	az.Login(t, one.AppID, one.Password, one.TenantID)
	walk(t, az, "administrator", administrator(), names)

	var app client.App
	s.Vitrine(t, &app, "app", "create", "worker", "--tenant", "contoso")
	az.Login(t, app.AppID, app.Password, one.TenantID)
	walk(t, az, "nobody", nobody(), map[string]string{"admin": one.AppID, "me": app.ObjectID, "app": app.AppID})

	// A multi-tenant application becomes known in another tenant by az ad sp create, as in the how-to.
	var shared client.App
	s.Vitrine(t, &shared, "app", "create", "shared", "--tenant", "contoso", "--multi-tenant")
	az.Login(t, two.AppID, two.Password, two.TenantID)
	walk(t, az, "other tenant", []step{
		{args: "ad app list --all", want: want{"": "len:1"}},
		{args: "ad app list --app-id {shared}", want: want{"": "len:0"}},
		{args: "ad sp show --id {single}", exit: 3, says: "does not exist"},
		{args: "ad sp create --id {single}", exit: 1, says: "does not reference a valid application"},
		{args: "ad sp create --id {shared}", want: want{"appOwnerOrganizationId": "{home}", "appId": "{shared}"}},
		{args: "rest --url https://graph.microsoft.com/v1.0/directoryObjects/{object}", exit: 1, says: "ResourceNotFound"},
	}, map[string]string{"shared": shared.AppID, "single": app.AppID, "home": one.TenantID, "object": app.ObjectID})
}

func walk(t *testing.T, az *harness.Shell, who string, steps []step, names map[string]string) {
	t.Helper()
	var all []harness.Step
	for _, st := range steps {
		all = append(all, harness.Step{Args: st.args, Want: st.want, Save: st.save, Exit: st.exit, Says: st.says})
	}
	az.Walk(t, who, all, names)
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a self-signed one, as PEM.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "worker"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 6, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}
