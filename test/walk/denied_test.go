package walk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// denial is one step of the walk that is missing, or one bad request: who asks what, and what az and the server say.
type denial struct {
	name string
	as   string                    // whose configuration of az
	ask  func(*denied) []string    // az's arguments
	exit int                       // az's
	says func(*denied) []string    // pieces of what az prints, each of which must be there
	then func(*testing.T, *denied) // what else must be so
}

// denied is a world in which everything is right for one application and something is missing for each of the others.
type denied struct {
	*world
	noReader, noContributor, expired, stranger client.App
	t3                                         client.Tenant
	nic, westNIC, special                      string // IDs; special is a specialized image version
	publisher, third, strange, stale, forged   string // auxiliary tokens
	objects                                    map[string]string
}

// TestDeniedWalk asks for what must be refused, by the real az, and looks what is left after each.
func TestDeniedWalk(t *testing.T) {
	harness.Az(t)
	t.Parallel()
	d := prepareDenied(t)
	for _, row := range denials() {
		t.Run(row.name, func(t *testing.T) {
			defer d.reportTo(t)()
			args := row.ask(d)
			r := d.azAs(row.as, args...)
			if r.code != row.exit {
				t.Errorf("az %s: exit %d, not %d\n%s%s", args[0], r.code, row.exit, r.out, r.err)
			}
			for _, piece := range row.says(d) {
				if !strings.Contains(r.err+r.out, piece) {
					t.Errorf("az does not say\n\t%s\nbut\n\t%s", piece, strings.TrimSpace(r.err+r.out))
				}
			}
			if row.then != nil {
				row.then(t, d)
			}
			d.quiet()
			d.clean(t)
		})
	}
}

// azAs runs az with the configuration of one actor.
func (d *denied) azAs(who string, args ...string) result {
	d.t.Helper()
	return d.exec([]string{"AZURE_CONFIG_DIR=" + filepath.Join(d.home, "az-"+who)}, harness.Az(d.t), args...)
}

// rest is az rest with a machine's body and, if given, an auxiliary token.
func (d *denied) rest(method, url string, body any, auxiliary string) []string {
	args := []string{"rest", "--method", method, "--url", url}
	if auxiliary != "" {
		args = append(args, "--headers", "x-ms-authorization-auxiliary=Bearer "+auxiliary)
	}
	switch b := body.(type) {
	case nil:
	case string:
		args = append(args, "--body", b)
	default:
		args = append(args, "--body", d.text(b))
	}
	return args
}

// put asks for the machine "refused" by a direct PUT.
func (d *denied) put(location, image, auxiliary string, change ...func(object)) []string {
	nic := d.nic
	if location != "eastus" {
		nic = d.westNIC
	}
	body := d.vmBody("refused", location, image, nic)
	for _, f := range change {
		f(body["properties"].(object))
	}
	return d.rest("put", vmID(d.world, "refused")+"?api-version=2024-11-01", body, auxiliary)
}

func create(name, image string, more ...string) []string {
	return append([]string{"vm", "create", "--resource-group", consumerGroup, "--name", name, "--image", image,
		"--admin-username", "azureuser", "--generate-ssh-keys"}, more...)
}

func loginArgs(app, secret, tenant string) []string {
	return []string{"login", "--service-principal", "-u", app, "-p", secret, "--tenant", tenant}
}

func prepareDenied(t *testing.T) *denied {
	t.Helper()
	d := &denied{world: prepare(t, true)}
	w := d.world
	special := strings.Replace(w.gallery, "myGallery", "special", 1)
	d.special = special + "/images/whole/versions/1.0.0"
	w.vitrine(nil, "image", "import", harness.Guest(t), "--version-id", d.special, "--create", "--location", "eastus", "--os-type", "Linux",
		"--os-state", "Specialized", "--generation", "V1", "--target-region", "eastus")
	w.vitrine(nil, "role", "assign", "Reader", "--scope", special, "--principal", w.app.ObjectID)
	d.objects = map[string]string{}
	d.noReader = d.application("noReader", special, "Contributor")
	d.noContributor = d.application("noContributor", w.gallery, "Reader")
	w.vitrine(&d.expired, "app", "create", "expired", "--tenant", "contoso", "--secret-expires-in", "1s")
	w.vitrine(&d.stranger, "app", "create", "stranger", "--tenant", "contoso")
	w.vitrine(&d.t3, "tenant", "create", "northwind")
	w.vitrine(nil, "app", "consent", w.app.AppID, "--tenant", "northwind")
	d.network()
	d.tokens()
	for who, app := range map[string]client.App{"full": w.app, "noReader": d.noReader, "noContributor": d.noContributor} {
		for _, tenant := range []string{w.t1.TenantID, w.t2.TenantID} {
			if r := d.azAs(who, loginArgs(app.AppID, app.Password, tenant)...); r.code != 0 {
				t.Fatalf("%s: az login: exit %d\n%s", who, r.code, r.err)
			}
		}
	}
	if r := d.azAs("half", loginArgs(w.app.AppID, w.app.Password, w.t2.TenantID)...); r.code != 0 {
		t.Fatalf("half: az login: exit %d\n%s", r.code, r.err)
	}
	return d
}

// application makes one that both tenants know, with Reader at a scope of the first and a role on the group of the second.
func (d *denied) application(name, scope, role string) client.App {
	d.t.Helper()
	var app, in2 client.App
	d.vitrine(&app, "app", "create", name, "--tenant", "contoso", "--multi-tenant")
	d.vitrine(&in2, "app", "consent", app.AppID, "--tenant", "fabrikam")
	d.vitrine(nil, "role", "assign", "Reader", "--scope", scope, "--principal", app.ObjectID)
	d.vitrine(nil, "role", "assign", role, "--scope", d.groupID(), "--principal", in2.ObjectID)
	d.objects[app.AppID] = in2.ObjectID
	return app
}

// network makes an interface in two regions, for machines that are asked for directly.
func (d *denied) network() {
	d.t.Helper()
	for _, region := range []string{"eastus", "westus"} {
		base := d.groupID() + "/providers/Microsoft.Network/"
		d.do("fabrikam", http.MethodPut, base+"virtualNetworks/"+region, "2022-01-01", object{"location": region, "properties": object{
			"addressSpace": object{"addressPrefixes": []string{"10.5.0.0/16"}},
			"subnets":      []object{{"name": "s", "properties": object{"addressPrefix": "10.5.0.0/24"}}}}}, nil)
		d.do("fabrikam", http.MethodPut, base+"networkInterfaces/"+region, "2022-01-01", object{"location": region, "properties": object{
			"ipConfigurations": []object{{"name": "c", "properties": object{"subnet": object{"id": base + "virtualNetworks/" + region + "/subnets/s"}}}}}}, nil)
	}
	base := d.groupID() + "/providers/Microsoft.Network/networkInterfaces/"
	d.nic, d.westNIC = base+"eastus", base+"westus"
}

func (d *denied) tokens() {
	d.publisher, d.third = d.token("contoso", d.app.AppID, ""), d.token("northwind", d.app.AppID, "")
	d.strange, d.stale = d.token("contoso", d.stranger.AppID, ""), d.token("contoso", d.app.AppID, "1s")
	d.forged = d.publisher[:strings.LastIndexByte(d.publisher, '.')+1] + strings.Repeat("A", 342)
	own := d.token("fabrikam", d.app.AppID, "")
	d.await("the auxiliary token to expire", bootLimit, func() bool {
		return d.arm(http.MethodGet, d.nic, "2022-01-01", "", own, d.stale).status == http.StatusUnauthorized
	})
}

// clean looks for what a refusal must not leave: machines, disks, overlays, processes (hence forwards), open operations.
func (d *denied) clean(t *testing.T) {
	t.Helper()
	d.nothingLeft(t.Name())
	if open := d.unfinished(); len(open) > 0 {
		t.Errorf("operations are open: %+v", open)
	}
	if l := d.forwards(); len(l) > 0 {
		t.Errorf("forwards are left: %v", l)
	}
}

// wordingA is the refusal for want of a token of the image's tenant; it names the scope that is written, not the image's.
func wordingA(d *denied, name string) []string {
	return []string{fmt.Sprintf("The client has permission to perform action 'Microsoft.Compute/galleries/images/versions/read' on scope '%s', however the current tenant '%s' is not authorized to access linked subscription '%s'.",
		vmID(d.world, name), d.t2.TenantID, d.t1.SubscriptionID), `"code":"LinkedAuthorizationFailed"`}
}

func wordingB(d *denied) []string {
	return []string{fmt.Sprintf("The client '%s' with object id '%s' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope '%s'; however, it does not have permission to perform action(s) 'Microsoft.Compute/galleries/images/versions/read' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		d.noReader.AppID, d.objects[d.noReader.AppID], vmID(d.world, "refused"), d.version), `"code":"LinkedAuthorizationFailed"`}
}

func says(pieces ...string) func(*denied) []string {
	return func(*denied) []string { return pieces }
}

// status reads how a deployment ended.
func (d *denied) status(t *testing.T, name string) (state, code string, details string) {
	t.Helper()
	var doc struct {
		Properties struct {
			ProvisioningState string
			Error             struct {
				Code    string
				Details json.RawMessage
			}
		}
	}
	d.do("fabrikam", http.MethodGet, d.groupID()+"/providers/Microsoft.Resources/deployments/"+name, "2024-11-01", nil, &doc)
	return doc.Properties.ProvisioningState, doc.Properties.Error.Code, string(doc.Properties.Error.Details)
}
