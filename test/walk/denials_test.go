package walk

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// denials is the table: sign-in, tokens, rights, images, requests.
func denials() []denial {
	rows := signIn()
	for _, more := range [][]denial{missingTokens(), badTokens(), rights(), images(), requests()} {
		rows = append(rows, more...)
	}
	return rows
}

const nobody = "11111111-1111-1111-1111-111111111111"

func signIn() []denial {
	return []denial{
		{name: "wrong secret", as: "new", exit: 1,
			ask: func(d *denied) []string { return loginArgs(d.app.AppID, "wrong", d.t2.TenantID) },
			says: func(d *denied) []string {
				return []string{"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + d.app.AppID + "'."}
			}},
		{name: "unknown application", as: "new", exit: 1,
			ask: func(d *denied) []string { return loginArgs(nobody, "wrong", d.t2.TenantID) },
			says: func(d *denied) []string {
				return []string{"AADSTS700016: Application with identifier '" + nobody + "' was not found in the directory '" + d.t2.TenantID + "'."}
			}},
		// az shows a traceback of its own; the server's AADSTS90002 does not reach the user (az-cli-flows.md 6).
		{name: "unknown tenant", as: "new", exit: 1,
			ask:  func(d *denied) []string { return loginArgs(d.app.AppID, d.app.Password, nobody) },
			says: says("Unable to get authority configuration for https://login.microsoftonline.com/" + nobody)},
		{name: "expired secret", as: "new", exit: 1,
			ask: func(d *denied) []string { return loginArgs(d.expired.AppID, d.expired.Password, d.t1.TenantID) },
			says: func(d *denied) []string {
				return []string{"AADSTS7000222: The provided client secret keys for app '" + d.expired.AppID + "' are expired."}
			}},
	}
}

func missingTokens() []denial {
	return []denial{
		{name: "no login to tenant 1", as: "half", exit: 1,
			ask: func(d *denied) []string { return create("refused", d.version) },
			says: func(d *denied) []string {
				return []string{"Subscription '" + d.t1.SubscriptionID + "' not found. Check the spelling and casing and try again."}
			}},
		{name: "no auxiliary token, machine", as: "full", exit: 1,
			ask:  func(d *denied) []string { return d.put("eastus", d.version, "") },
			says: func(d *denied) []string { return append(wordingA(d, "refused"), "Forbidden") }},
		{name: "no auxiliary token, deployment", as: "full", exit: 0,
			ask: func(d *denied) []string {
				return d.rest("put", d.groupID()+"/providers/Microsoft.Resources/deployments/noAuxiliary?api-version=2024-11-01", d.vmTemplate(d.groupID(), "lost", d.version), "")
			},
			says: says(`"name": "noAuxiliary"`),
			then: failsLater},
		{name: "auxiliary token of a third tenant only", as: "full", exit: 1,
			ask:  func(d *denied) []string { return d.put("eastus", d.version, d.third) },
			says: func(d *denied) []string { return append(wordingA(d, "refused"), "Forbidden") }},
	}
}

// failsLater checks the deployment that az sent, and the same one on the wire: 201 first, the refusal in its status.
func failsLater(t *testing.T, d *denied) {
	a := d.arm(http.MethodPut, deploymentID(d.groupID(), "onTheWire"), "2024-11-01", d.text(d.vmTemplate(d.groupID(), "lost", d.version)), d.token("fabrikam", d.app.AppID, ""))
	status, err := url.Parse(a.header.Get("Azure-AsyncOperation"))
	if a.status != http.StatusCreated || err != nil || status.Host != "management.azure.com" {
		t.Fatalf("deployment: %d %q %s", a.status, a.header.Get("Azure-AsyncOperation"), a.body)
	}
	d.quiet()
	s := d.arm(http.MethodGet, status.Path, status.Query().Get("api-version"), "", d.token("fabrikam", d.app.AppID, ""))
	state, code, details := d.status(t, "noAuxiliary")
	for _, piece := range append(wordingA(d, "lost"), `"status":"Failed"`, `"code":"DeploymentFailed"`) {
		if s.status != http.StatusOK || !strings.Contains(s.body, piece) {
			t.Errorf("the status lacks\n\t%s\n\t%d %s", piece, s.status, s.body)
		}
	}
	for _, piece := range wordingA(d, "lost") {
		if !strings.Contains(details, piece) {
			t.Errorf("details lack\n\t%s\n\t%s", piece, details)
		}
	}
	if state != "Failed" || code != "DeploymentFailed" {
		t.Errorf("the deployment is %s with %s", state, code)
	}
	d.stay(t, "lost")
}

// stay checks that what a deployment had made before its failure is there, as in Azure.
func (d *denied) stay(t *testing.T, name string) {
	t.Helper()
	for _, id := range []string{"virtualNetworks/" + name + "VNET", "networkSecurityGroups/" + name + "NSG", "publicIPAddresses/" + name + "PublicIP", "networkInterfaces/" + name + "VMNic"} {
		if a := d.arm(http.MethodGet, d.groupID()+"/providers/Microsoft.Network/"+id, "2022-01-01", "", d.adminToken()); a.status != 200 {
			t.Errorf("%s did not stay: %d %s", id, a.status, a.body)
		}
	}
}

func badTokens() []denial {
	put := func(pick func(*denied) string) func(*denied) []string {
		return func(d *denied) []string { return d.put("eastus", d.version, pick(d)) }
	}
	which := func(d *denied, app string) string {
		return fmt.Sprintf("It is auxiliary token 1 of the header 'x-ms-authorization-auxiliary', of client '%s' and tenant '%s'.", app, d.t1.TenantID)
	}
	return []denial{
		{name: "auxiliary token expired", as: "full", exit: 1, ask: put(func(d *denied) string { return d.stale }),
			says: func(d *denied) []string {
				return []string{`"code":"ExpiredAuthenticationToken"`, "The access token expiry UTC time '", "is earlier than current UTC time '", which(d, d.app.AppID)}
			}},
		{name: "auxiliary token forged", as: "full", exit: 1, ask: put(func(d *denied) string { return d.forged }),
			says: func(d *denied) []string {
				return []string{`"code":"InvalidAuthenticationToken"`, "The access token is invalid: ", "signature", which(d, d.app.AppID)}
			}},
		{name: "auxiliary token of another application", as: "full", exit: 1, ask: put(func(d *denied) string { return d.strange }),
			says: func(d *denied) []string {
				return []string{`"code":"InvalidAuthenticationToken"`, fmt.Sprintf("The access token is of client '%s' and tenant '%s', but the request was authenticated as client '%s' of tenant '%s'; all access tokens of a request must be of one application.",
					d.stranger.AppID, d.t1.TenantID, d.app.AppID, d.t2.TenantID)}
			}},
	}
}

func rights() []denial {
	return []denial{
		// The lookup is az's own, with tenant 1's token: it names what the gallery's owner has to grant.
		{name: "no Reader on the gallery, az vm create", as: "noReader", exit: 2,
			ask: func(d *denied) []string { return create("refused", d.version) },
			says: func(d *denied) []string {
				return []string{"(AuthorizationFailed) The client '" + d.noReader.AppID + "' with object id '" + d.noReader.ObjectID +
					"' does not have authorization to perform action 'Microsoft.Compute/galleries/images/read' over scope '" + d.image +
					"' or the scope is invalid. If access was recently granted, please refresh your credentials."}
			}},
		{name: "no Reader on the gallery, machine", as: "noReader", exit: 1,
			ask:  func(d *denied) []string { return d.put("eastus", d.version, d.token("contoso", d.noReader.AppID, "")) },
			says: func(d *denied) []string { return append(wordingB(d), "Forbidden") }},
		{name: "Reader but no Contributor in tenant 2", as: "noContributor", exit: 1,
			ask: func(d *denied) []string { return create("refused", d.version) },
			says: func(d *denied) []string {
				return []string{"AuthorizationFailed", "The client '" + d.noContributor.AppID + "' with object id '" + d.objects[d.noContributor.AppID] +
					"' does not have authorization to perform action 'Microsoft.Resources/deployments/write' over scope '" + d.groupID() + "/providers/Microsoft.Resources/deployments/"}
			}},
	}
}

func images() []denial {
	drop := func(name string) func(object) { return func(p object) { delete(p, name) } }
	return []denial{
		{name: "not replicated to the region, az vm create", as: "full", exit: 1,
			ask: func(d *denied) []string { return create("far", d.version, "--location", "westus") },
			says: func(d *denied) []string {
				return []string{"DeploymentFailed", "GalleryImageNotFound", "The gallery image " + d.version + " is not available in westus region. Please contact image owner to replicate to this region, or change your requested region."}
			},
			then: func(t *testing.T, d *denied) { // az found a network in that region and used it; the rest stays
				for _, id := range []string{"networkSecurityGroups/farNSG", "publicIPAddresses/farPublicIP", "networkInterfaces/farVMNic"} {
					if a := d.arm(http.MethodGet, d.groupID()+"/providers/Microsoft.Network/"+id, "2022-01-01", "", d.adminToken()); a.status != 200 {
						t.Errorf("%s did not stay: %d %s", id, a.status, a.body)
					}
				}
			}},
		{name: "not replicated to the region, machine", as: "full", exit: 1,
			ask: func(d *denied) []string { return d.put("westus", d.version, d.publisher) },
			says: func(d *denied) []string {
				return []string{`"code":"GalleryImageNotFound"`, "The gallery image " + d.version + " is not available in westus region.", `"target":"imageReference"`}
			}},
		{name: "unknown version, az vm create", as: "full", exit: 2, // az's own lookup of the version
			ask:  func(d *denied) []string { return create("refused", d.image+"/versions/9.9.9") },
			says: says("(ResourceNotFound) The Resource 'Microsoft.Compute/galleries/myGallery/images/tiny/versions/9.9.9' under resource group 'images' was not found.")},
		{name: "unknown version, machine", as: "full", exit: 1,
			ask: func(d *denied) []string { return d.put("eastus", d.image+"/versions/9.9.9", d.publisher) },
			says: func(d *denied) []string {
				return []string{`"code":"GalleryImageNotFound"`, "The gallery image " + d.image + "/versions/9.9.9 is not available in eastus region."}
			}},
		{name: "generalized without osProfile", as: "full", exit: 1,
			ask:  func(d *denied) []string { return d.put("eastus", d.version, d.publisher, drop("osProfile")) },
			says: says(`"code":"InvalidParameter"`, `"target":"osProfile"`, "Required parameter 'osProfile' is missing (null).")},
		{name: "specialized with osProfile", as: "full", exit: 1,
			ask:  func(d *denied) []string { return d.put("eastus", d.special, d.publisher) },
			says: says(`"code":"InvalidParameter"`, `"target":"osProfile"`, "Parameter 'osProfile' is not allowed")},
	}
}

func requests() []denial {
	target := func(d *denied) string { return vmID(d.world, "refused") }
	return []denial{
		{name: "name taken in another location", as: "full", exit: 1,
			ask: func(d *denied) []string {
				body := d.text(d.vmBody("refused", "eastus", d.version, d.nic))
				if a := d.arm(http.MethodPut, target(d), "2024-11-01", body, d.token("fabrikam", d.app.AppID, ""), d.publisher); a.status != 201 {
					d.t.Fatalf("a machine to stand in the way: %d %s", a.status, a.body)
				}
				d.quiet()
				return d.put("westus", d.version, d.publisher)
			},
			says: says(`"code":"InvalidResourceLocation"`, "The resource 'refused' already exists in location 'eastus' in resource group 'myResourceGroup'. A resource with the same name cannot be created in location 'westus'. Please select a new resource name."),
			then: func(t *testing.T, d *denied) { d.removeMachine(t, "refused") }},
		{name: "missing api-version", as: "full", exit: 1,
			ask:  func(d *denied) []string { return d.rest("put", target(d), object{"location": "eastus"}, "") },
			says: says(`"code":"MissingApiVersionParameter"`, "The api-version query parameter (?api-version=) is required for all requests.")},
		{name: "malformed JSON", as: "full", exit: 1,
			ask: func(d *denied) []string {
				return d.rest("put", target(d)+"?api-version=2024-11-01", `{"location":`, "")
			},
			says: says(`"code":"InvalidRequestContent"`, "The request content was invalid and could not be deserialized: 'unexpected end of JSON input, position 12.'.")},
		{name: "unknown template function", as: "full", exit: 1,
			ask: func(d *denied) []string {
				nsg := object{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2022-01-01", "location": "eastus", "name": "[nonsense('a')]"}
				return d.rest("put", d.groupID()+"/providers/Microsoft.Resources/deployments/bad?api-version=2024-11-01", template(nsg), "")
			},
			says: says(`"code":"InvalidTemplate"`, "Deployment template validation failed: ", "The template function 'nonsense' is not valid.")},
	}
}

// removeMachine takes away what a row had to put in the way.
func (d *denied) removeMachine(t *testing.T, name string) {
	t.Helper()
	var doc struct {
		Properties struct {
			StorageProfile struct {
				OSDisk struct{ ManagedDisk struct{ ID string } }
			}
		}
	}
	d.do("fabrikam", http.MethodGet, vmID(d.world, name), "2024-11-01", nil, &doc)
	d.do("fabrikam", http.MethodDelete, vmID(d.world, name), "2024-11-01", nil, nil)
	d.do("fabrikam", http.MethodDelete, doc.Properties.StorageProfile.OSDisk.ManagedDisk.ID, "2024-03-02", nil, nil)
	d.await("the machine's processes to end", bootLimit, func() bool { return len(d.machines()) == 0 })
}
