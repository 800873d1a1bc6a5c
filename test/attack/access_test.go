package attack

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/client"
)

const (
	globalAdministrator = "62e90394-69f5-4237-9190-012177145e10"
	owner               = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	authorization       = "/providers/Microsoft.Authorization/"
	denied              = "Authorization_RequestDenied"
	unauthorized        = "AuthorizationFailed"
)

// foreign is a multi-tenant application of fabrikam that contoso does not know.
func (w *world) foreign() string {
	w.t.Helper()
	var app client.App
	w.do("/v1/applications", client.AppRequest{Name: "foreign " + uuid.NewString()[:8], Tenant: "fabrikam", MultiTenant: true}, &app)
	w.must(w.graph("PATCH", "/applications(appId='"+app.AppID+"')", `{"web":{"redirectUris":["`+callback+`"]}}`, w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com")))
	return app.AppID
}

// graphRows try to get more in the directory than one has.
func graphRows() []row {
	by := func(name, sent, method, path, body string, status int, code string) row {
		return row{name, sent, status, code, func(w *world) outcome {
			return w.graph(method, w.fill(path), w.fill(body), w.graphOf(w.nobody.AppID))
		}}
	}
	return []row{
		by("application reads the directory", "GET /users without a directory role", "GET", "/users", "", 403, denied),
		by("application reads another principal", "GET the administrator's service principal", "GET", "/servicePrincipals/{admin}", "", 403, denied),
		by("application makes itself Global Administrator", "POST itself to the role's members", "POST", "/directoryRoles(roleTemplateId='"+globalAdministrator+"')/members/$ref",
			`{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{nobody}"}`, 403, denied),
		by("application patches itself into Global Administrator", "PATCH directoryRoles of itself", "PATCH", "/servicePrincipals/{nobody}",
			`{"directoryRoles":["Global Administrator"],"appRoles":[]}`, 403, denied),
		by("application adds a secret to itself", "POST addPassword", "POST", "/servicePrincipals/{nobody}/addPassword", `{}`, 403, denied),
		by("application adds a secret to the administrator", "POST addPassword at the administrator's application", "POST", "/applications(appId='{adminApp}')/addPassword", `{}`, 403, denied),
		by("application becomes owner of another", "POST itself to owners", "POST", "/applications(appId='{adminApp}')/owners/$ref",
			`{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{nobody}"}`, 403, denied),
		by("application enables a federated way in", "POST federatedIdentityCredentials at another application", "POST", "/applications(appId='{adminApp}')/federatedIdentityCredentials",
			`{"name":"a","issuer":"https://evil.example","subject":"s","audiences":["api://AzureADTokenExchange"]}`, 403, denied),
		by("application registers an application", "POST /applications", "POST", "/applications", `{"displayName":"mine"}`, 403, denied),
		by("application invites a guest", "POST /invitations", "POST", "/invitations", `{"invitedUserEmailAddress":"admin@fabrikam.onmicrosoft.com","inviteRedirectUrl":"https://a.example"}`, 403, denied),
		{"secret for another tenant's application", "fabrikam's administrator: addPassword at contoso's application", 404, "Request_ResourceNotFound", func(w *world) outcome {
			return w.graph("POST", "/applications(appId='"+w.shared.AppID+"')/addPassword", `{}`, w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com"))
		}},
		{"redirect URI for another tenant's application", "fabrikam's administrator patches contoso's multi-tenant application", 404, "Request_ResourceNotFound", func(w *world) outcome {
			return w.graph("PATCH", "/applications(appId='"+w.both.AppID+"')", `{"web":{"redirectUris":["https://evil.example/"]}}`, w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com"))
		}},
		{"principal of another tenant", "fabrikam's administrator reads contoso's principal", 404, "Request_ResourceNotFound", func(w *world) outcome {
			return w.graph("GET", "/servicePrincipals/"+w.worker.ObjectID, "", w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com"))
		}},
		{"person of another tenant", "fabrikam's administrator sets alice's password", 404, "Request_ResourceNotFound", func(w *world) outcome {
			return w.graph("PATCH", "/users/"+w.alice.ObjectID, `{"passwordProfile":{"password":"Correct-Horse-9"}}`, w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com"))
		}},
		{"member sets another's password", "alice PATCHes passwordProfile of a new user", 403, denied, func(w *world) outcome {
			return w.graph("PATCH", "/users/"+w.someone(), `{"passwordProfile":{"password":"Correct-Horse-9"}}`, w.aliceGraph())
		}},
		{"member makes herself Global Administrator", "alice POSTs herself to the role's members", 403, denied, func(w *world) outcome {
			return w.graph("POST", "/directoryRoles(roleTemplateId='"+globalAdministrator+"')/members/$ref",
				`{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/`+w.alice.ObjectID+`"}`, w.aliceGraph())
		}},
		{"Azure's own address as identifier", "identifierUris https://management.azure.com", 400, "Request_BadRequest", func(w *world) outcome {
			return w.graph("PATCH", "/applications(appId='"+w.shared.AppID+"')", `{"identifierUris":["https://management.azure.com"]}`, w.graphOf(""))
		}},
		{"last Global Administrator", "contoso's only one deletes itself", 400, "Request_BadRequest", func(w *world) outcome {
			return w.graph("DELETE", "/servicePrincipals/"+w.one.ObjectID, "", w.graphOf(""))
		}},
		{"deeply nested filter", "$filter with 3000 parentheses", 400, "Request_BadRequest", func(w *world) outcome {
			f := strings.Repeat("(", 1500) + "displayName eq 'a'" + strings.Repeat(")", 1500)
			return w.graph("GET", "/users?$filter="+url.QueryEscape(f), "", w.graphOf(""))
		}},
		{"Graph body too large", "POST /users with 2 MiB", 413, "RequestEntityTooLarge", func(w *world) outcome {
			return w.graph("POST", "/users", `{"displayName":"`+strings.Repeat("a", 2<<20)+`"}`, w.graphOf(""))
		}},
	}
}

func (w *world) fill(s string) string {
	return strings.NewReplacer("{admin}", w.one.ObjectID, "{adminApp}", w.one.AppID, "{nobody}", w.nobody.ObjectID, "{group}", w.group, "{sub}", w.sub(),
		"{sub2}", w.two.SubscriptionID, "{worker}", w.worker.ObjectID, "{granter}", w.granter.ObjectID, "{foreign}", w.two.ObjectID, "{new}", uuid.NewString(), "{owner}", w.sub()+authorization+"roleDefinitions/"+owner).Replace(s)
}

func (w *world) someone() string {
	w.t.Helper()
	var u client.User
	w.do("/v1/users", client.UserRequest{Name: "u" + uuid.NewString()[:8] + "@contoso.onmicrosoft.com", Tenant: "contoso"}, &u)
	return u.ObjectID
}

var accessToken = regexp.MustCompile(`"access_token":"([^"]+)"`)

func (w *world) aliceGraph() string {
	w.t.Helper()
	got := w.tokenAt(w.one.TenantID, redeem(w.code(w.alice, w.one.TenantID), "scope", "https://graph.microsoft.com/.default"))
	m := accessToken.FindStringSubmatch(got.body)
	if m == nil {
		w.t.Fatalf("no token for Graph: %d %s", got.status, got.code)
	}
	return m[1]
}

// accessRows try to get more at resources than a role gives.
func accessRows() []row {
	by := func(name, sent string, who func(*world) client.App, method, path, body string, status int, code string) row {
		return row{name, sent, status, code, func(w *world) outcome {
			return w.arm(method, w.fill(path), w.fill(body), w.token(w.one.TenantID, who(w).AppID))
		}}
	}
	worker, reader := func(w *world) client.App { return w.worker }, func(w *world) client.App { return w.reader }
	granter, nobody := func(w *world) client.App { return w.granter }, func(w *world) client.App { return w.nobody }
	assign := `{"properties":{"roleDefinitionId":"{owner}","principalId":"{worker}"}}`
	role := func(scope string) string {
		return `{"properties":{"roleName":"attack","type":"CustomRole","permissions":[{"actions":["*"]}],"assignableScopes":["` + scope + `"]}}`
	}
	return []row{
		by("Contributor assigns a role", "Contributor of a group: PUT roleAssignments, Owner for itself", worker, "PUT", "{group}"+authorization+"roleAssignments/{new}", assign, 403, unauthorized),
		by("assignment above one's scope", "User Access Administrator of a group assigns at the subscription", granter, "PUT", "{sub}"+authorization+"roleAssignments/{new}", assign, 403, unauthorized),
		by("assignment at the root", "User Access Administrator of a group assigns at /", granter, "PUT", authorization+"roleAssignments/{new}", assign, 403, unauthorized),
		by("custom role by Contributor", "PUT roleDefinitions with actions *", worker, "PUT", "{group}"+authorization+"roleDefinitions/{new}", role("{group}"), 403, unauthorized),
		by("custom role with * above one's scope", "User Access Administrator of a group, assignableScopes the subscription", granter, "PUT", "{group}"+authorization+"roleDefinitions/{new}", role("{sub}"), 403, unauthorized),
		by("custom role for another tenant's subscription", "assignableScopes fabrikam's subscription", granter, "PUT", "{group}"+authorization+"roleDefinitions/{new}", role("/subscriptions/{sub2}"), 403, unauthorized),
		by("change of a built-in role", "PUT the role Reader with actions *", granter, "PUT", "{group}"+authorization+"roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7", role("{group}"), 400, "RoleDefinitionUpdateNotPermitted"),
		by("role for a principal of another tenant", "assignment for fabrikam's administrator", granter, "PUT", "{group}"+authorization+"roleAssignments/{new}",
			`{"properties":{"roleDefinitionId":"{owner}","principalId":"{foreign}"}}`, 400, "PrincipalNotFound"),
		by("lock removed by Contributor", "DELETE a lock", worker, "DELETE", "{group}"+authorization+"locks/keep", "", 403, unauthorized),
		by("lock put by Contributor", "PUT a lock", worker, "PUT", "{group}"+authorization+"locks/mine", `{"properties":{"level":"ReadOnly"}}`, 403, unauthorized),
		by("deny assignment by hand", "PUT denyAssignments", granter, "PUT", "{group}"+authorization+"denyAssignments/{new}", `{"properties":{}}`, 405, "MethodNotAllowed"),
		by("elevateAccess", "POST elevateAccess without being Global Administrator", granter, "POST", authorization+"elevateAccess", "", 403, unauthorized),
		by("Reader writes", "PUT a gallery", reader, "PUT", "{group}/providers/Microsoft.Compute/galleries/g", `{"location":"eastus"}`, 403, unauthorized),
		by("Reader deletes", "DELETE the group", reader, "DELETE", "{group}", "", 403, unauthorized),
		by("Reader asks for a signed URL", "POST beginGetAccess", reader, "POST", "{group}/providers/Microsoft.Compute/disks/disk0/beginGetAccess", `{"access":"Read","durationInSeconds":60}`, 403, unauthorized),
		by("Reader deploys", "PUT a deployment", reader, "PUT", "{group}/providers/Microsoft.Resources/deployments/d", deployment(``), 403, unauthorized),
		by("Reader validates a deployment", "POST validate", reader, "POST", "{group}/providers/Microsoft.Resources/deployments/d/validate", deployment(``), 403, unauthorized),
		by("group of another name", "Contributor of images writes to images2", worker, "PUT", "{group}2", `{"location":"eastus"}`, 403, unauthorized),
		by("subscription above one's group", "Contributor of a group reads the subscription's policy", worker, "PUT", "{sub}/resourceGroups/other/providers/Microsoft.Compute/galleries/g", `{"location":"eastus"}`, 403, unauthorized),
		{"role assignment in a deployment", "Contributor deploys roleAssignments: Owner for itself", 409, "DeploymentFailed: " + unauthorized, func(w *world) outcome {
			return w.deploy(w.fill(deployment(`{"type":"Microsoft.Authorization/roleAssignments","apiVersion":"2022-04-01","name":"{new}","properties":{"roleDefinitionId":"{owner}","principalId":"{worker}"}}`)))
		}},
		{"nested deployment to a foreign subscription", "Contributor deploys into fabrikam's subscription", 409, "DeploymentFailed: InvalidAuthenticationTokenTenant", func(w *world) outcome {
			return w.deploy(w.fill(deployment(`{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"inner","subscriptionId":"{sub2}","resourceGroup":"x","properties":{"mode":"Incremental","template":{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[]}}}`)))
		}},
		{"role by nested deployment at another scope", "a nested deployment to the subscription assigns Owner", 409, "DeploymentFailed: " + unauthorized, func(w *world) outcome {
			return w.deploy(w.fill(deployment(`{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"inner","resourceGroup":"hidden","properties":{"mode":"Incremental","template":{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[{"type":"Microsoft.Authorization/roleAssignments","apiVersion":"2022-04-01","name":"{new}","properties":{"roleDefinitionId":"{owner}","principalId":"{worker}"}}]}}}`)))
		}},
		by("image of another tenant's disk", "gallery version whose source is fabrikam's disk", worker, "PUT", "{group}/providers/Microsoft.Compute/galleries/g0/images/d0/versions/1.0.0",
			`{"location":"eastus","properties":{"publishingProfile":{"targetRegions":[{"name":"eastus"}]},"storageProfile":{"osDiskImage":{"source":{"id":"/subscriptions/{sub2}/resourceGroups/x/providers/Microsoft.Compute/disks/d"}}}}}`, 403, "LinkedAuthorizationFailed"),
		by("reading what is not there, without a right", "GET a disk that does not exist", nobody, "GET", "{group}/providers/Microsoft.Compute/disks/none", "", 403, unauthorized),
		by("reading what is there, without a right", "GET a disk that exists: the same answer", nobody, "GET", "{group}/providers/Microsoft.Compute/disks/disk0", "", 403, unauthorized),
	}
}

// listRows ask for lists and operations of others. An empty list is the right answer where nothing may be seen.
func listRows() []row {
	const empty = "empty list"
	list := func(name, path string, status int, code string) row {
		return row{"list leak: " + name, "GET " + path + " by a principal without a role", status, code, func(w *world) outcome {
			return w.arm("GET", w.fill(path), "", w.token(w.one.TenantID, w.nobody.AppID))
		}}
	}
	return []row{
		list("subscriptions", "/subscriptions", 200, empty),
		list("resource groups", "{sub}/resourceGroups", 403, unauthorized),
		list("resources", "{sub}/resources", 403, unauthorized),
		list("disks", "{group}/providers/Microsoft.Compute/disks", 403, unauthorized),
		list("role assignments", "{group}"+authorization+"roleAssignments", 403, unauthorized),
		list("activity log", "{sub}/providers/Microsoft.Insights/eventtypes/management/values", 403, unauthorized),
		{"list leak: what is shared with me", "GET sharedWithMe by a principal without a role", 200, empty, func(w *world) outcome {
			return first(w.send("GET", "https://management.azure.com/providers/Vitrine.Sharing/sharedWithMe?api-version=2026-11-01", "", "Authorization", "Bearer "+w.token(w.one.TenantID, w.nobody.AppID)))
		}},
		{"list leak: another group's name", "who reads one group lists all of the subscription", 200, "not shown", func(w *world) outcome {
			w.put(w.sub()+"/resourceGroups/hidden", `{"location":"eastus"}`, w.token(w.one.TenantID, ""))
			got := w.arm("GET", w.sub()+"/resourceGroups", "", w.token(w.one.TenantID, w.reader.AppID))
			if got.status == 200 && strings.Contains(got.body, `"images"`) && !strings.Contains(got.body, "hidden") {
				got.code = "not shown"
			}
			return got
		}},
		{"operation of another tenant", "fabrikam polls an operation of contoso", 401, "InvalidAuthenticationTokenTenant", func(w *world) outcome {
			got, header := w.send("POST", "https://management.azure.com"+w.disks[0]+"/beginGetAccess?api-version="+client.VersionDisks, `{"access":"Write","durationInSeconds":3600}`,
				"Authorization", "Bearer "+w.token(w.one.TenantID, ""), "Content-Type", "application/json")
			at := header.Get("Azure-AsyncOperation")
			if at == "" {
				at = header.Get("Location")
			}
			if at == "" {
				w.t.Fatalf("no operation: %d %s", got.status, got.body)
			}
			got, _ = w.send("GET", at, "", "Authorization", "Bearer "+w.token(w.two.TenantID, ""))
			w.must(first(w.send("GET", at, "", "Authorization", "Bearer "+w.token(w.one.TenantID, ""))))
			other, _ := w.send("GET", at, "", "Authorization", "Bearer "+w.token(w.one.TenantID, w.nobody.AppID))
			if other.status < 400 {
				return other
			}
			return got
		}},
		{"operation of nobody", "an invented operation", 404, "NotFound", func(w *world) outcome {
			return w.arm("GET", w.sub()+"/providers/Microsoft.Compute/locations/eastus/operations/"+uuid.NewString(), "", w.token(w.one.TenantID, ""))
		}},
	}
}

func first(got outcome, _ any) outcome { return got }
