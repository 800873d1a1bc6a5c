package walk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/test/harness"
)

// created is what az vm create prints.
type created struct {
	ID         string `json:"id"`
	PublicIP   string `json:"publicIpAddress"`
	PrivateIP  string `json:"privateIpAddress"`
	PowerState string `json:"powerState"`
	Group      string `json:"resourceGroup"`
}

// TestWalk runs the published commands and then lives with the machine as an az user does.
func TestWalk(t *testing.T) {
	harness.Az(t)
	t.Parallel()
	w := prepare(t, true)
	vm := w.published(t)
	if vm.PowerState != "VM running" || vm.Group != consumerGroup || vm.PrivateIP == "" || !strings.HasPrefix(vm.PublicIP, "127.") {
		t.Fatalf("az vm create printed %+v", vm)
	}
	guest := w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser")
	said := guest.answers(question)
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "Linux myVM ") || !strings.Contains(lines[1], "(azureuser)") || lines[2] != "myVM" {
		t.Fatalf("the guest answered %q to %q", said, question)
	}
	t.Run("life", func(t *testing.T) { defer w.reportTo(t)(); w.life(t, guest) })
	t.Run("latest", func(t *testing.T) { defer w.reportTo(t)(); w.latest(t) })
	t.Run("end", func(t *testing.T) { defer w.reportTo(t)(); w.farewell(t) })
}

// published runs the commands of "Share gallery VM images across Azure tenants", byte for byte once the placeholders are
// filled in, by a shell that finds az on its path (learn.microsoft.com/azure/virtual-machines/share-images-across-tenants).
func (w *world) published(t *testing.T) (vm created) {
	w.shell(nil, "az account clear")
	for _, tenant := range []string{w.t1.TenantID, w.t2.TenantID} {
		var profile []struct{ TenantID string }
		w.shell(&profile, fmt.Sprintf("az login --service-principal -u '%s' -p '%s' --tenant '%s'", w.app.AppID, w.app.Password, tenant))
		if len(profile) == 0 {
			t.Fatalf("az login to %s printed no subscription", tenant)
		}
		var token struct{ AccessToken, Tenant string }
		w.shell(&token, "az account get-access-token")
		if token.Tenant != tenant || strings.Count(token.AccessToken, ".") != 2 {
			t.Fatalf("az account get-access-token gave a token of tenant %q, not %q", token.Tenant, tenant)
		}
	}
	w.shell(&vm, fmt.Sprintf(`az vm create \
  --resource-group myResourceGroup \
  --name myVM \
  --image "%s" \
  --admin-username azureuser \
  --generate-ssh-keys`, w.version))
	return vm
}

// shell runs a command line and decodes what it prints.
func (w *world) shell(out any, command string) {
	w.t.Helper()
	bin := filepath.Join(w.home, "bin")
	az, err := exec.LookPath(harness.Az(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	if az, err = filepath.Abs(az); err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(bin, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(az, filepath.Join(bin, "az")); err != nil && !os.IsExist(err) {
		w.t.Fatal(err)
	}
	r := w.exec([]string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "sh", "-c", command)
	if r.code != 0 {
		w.t.Fatalf("$ %s\nexit %d\n%s", command, r.code, r.err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(r.out), out); err != nil {
		w.t.Fatalf("$ %s: %v\n%s", command, err, r.out)
	}
}

// powerState asks az for the state of myVM.
func (w *world) powerState(t *testing.T) string {
	t.Helper()
	var state string
	w.azOK(&state, "vm", "show", "-d", "-g", consumerGroup, "-n", "myVM", "--query", "powerState")
	return state
}

func (w *world) life(t *testing.T, guest guestAccess) {
	vm := func(args ...string) []string { return append([]string{"vm"}, append(args, "-g", consumerGroup)...) }
	var list []struct{ Name, PowerState, PublicIps string }
	w.azOK(&list, "vm", "list", "-d")
	if len(list) != 1 || list[0].Name != "myVM" || list[0].PowerState != "VM running" || list[0].PublicIps != guest.ip {
		t.Errorf("az vm list -d: %+v", list)
	}
	var view struct {
		InstanceView struct{ Statuses []struct{ Code string } }
	}
	w.azOK(&view, vm("get-instance-view", "-n", "myVM")...)
	if codes := w.text(view); !strings.Contains(codes, "PowerState/running") || !strings.Contains(codes, "ProvisioningState/succeeded") {
		t.Errorf("az vm get-instance-view: %s", codes)
	}
	var addresses []string
	w.azOK(&addresses, "vm", "list-ip-addresses", "-n", "myVM", "--query", "[].virtualMachine.network.publicIpAddresses[].ipAddress")
	if len(addresses) != 1 || addresses[0] != guest.ip {
		t.Errorf("az vm list-ip-addresses: %v", addresses)
	}
	w.azOK(nil, vm("open-port", "-n", "myVM", "--port", "8080")...)
	w.portOpens(t, guest)

	for _, step := range []struct{ verb, state string }{{"stop", "VM stopped"}, {"start", "VM running"}, {"restart", "VM running"}} {
		w.azOK(nil, vm(step.verb, "-n", "myVM")...)
		if got := w.powerState(t); got != step.state {
			t.Errorf("after az vm %s the machine is in state %q, not %q", step.verb, got, step.state)
		}
		if r := guest.run("true"); step.verb == "stop" && r.code == 0 {
			t.Error("a stopped machine answers")
		}
	}
	if said := guest.answers("hostname"); strings.TrimSpace(said) != "myVM" { // with the same host key: the disk is the same
		t.Errorf("after a restart the guest calls itself %q", said)
	}
}

// portOpens serves something in the guest on the port that az opened, and reads it from outside.
func (w *world) portOpens(t *testing.T, guest guestAccess) {
	t.Helper()
	guest.answers("(while :; do echo hello | nc -l -p 8080; done) >/dev/null 2>&1 </dev/null &")
	w.await("port 8080 of the guest", bootLimit, func() bool {
		c, err := net.DialTimeout("tcp", guest.ip+":8080", 30*time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		said, _ := bufio.NewReader(c).ReadString('\n') // nothing: nobody listens in the guest yet
		return said == "hello\n"
	})
}

// latest makes machines of the definition and of versions/latest, as az writes both.
func (w *world) latest(t *testing.T) {
	for name, image := range map[string]string{"byDefinition": w.image, "byLatest": w.image + "/versions/latest"} {
		if r := w.createVM(name, image); r.code != 0 {
			t.Errorf("az vm create --image %s: exit %d\n%s", image, r.code, r.err)
			continue
		}
		var exact string
		w.azOK(&exact, "vm", "show", "-g", consumerGroup, "-n", name, "--query", "storageProfile.imageReference.exactVersion")
		if exact != "1.0.0" {
			t.Errorf("%s: the machine runs version %q", name, exact)
		}
		w.do("fabrikam", http.MethodDelete, vmID(w, name), "2024-11-01", nil, nil)
	}
}

func (w *world) farewell(t *testing.T) {
	w.azOK(nil, "vm", "delete", "-g", consumerGroup, "-n", "myVM", "--yes")
	var left []struct{ Name, DiskState string }
	w.azOK(&left, "disk", "list", "-g", consumerGroup, "--query", "[].{name:name,diskState:diskState}")
	found := false
	for _, d := range left {
		found = found || strings.HasPrefix(d.Name, "myVM_") && d.DiskState == "Unattached"
	}
	if !found {
		t.Errorf("az disk list after az vm delete: %v; Azure keeps the disk, unattached", left)
	}
	// The application is Contributor of the group, and so may delete it.
	w.azOK(nil, "group", "delete", "-n", consumerGroup, "--yes")
	// Its right went with the group, so that az now gets 403; whoever owns the subscription sees that the group is gone.
	if a := w.arm(http.MethodGet, w.groupID(), "2024-11-01", "", w.adminToken()); a.status != http.StatusNotFound || !strings.Contains(a.body, "ResourceGroupNotFound") {
		t.Errorf("the group is still there: %d %s", a.status, a.body)
	}
	if r := w.az("group", "show", "-n", consumerGroup); r.code != 1 || !strings.Contains(r.err, "(AuthorizationFailed)") {
		t.Errorf("az group show, of a group that is gone with its role assignment: exit %d %s", r.code, r.err)
	}
	w.await("the processes of machines and networks to end", bootLimit, func() bool { return len(w.hosted()) == 0 })
	for _, dir := range []string{"disks", "machines", "seeds"} {
		if files, err := filepath.Glob(filepath.Join(w.data, dir, "*")); err != nil || len(files) > 0 {
			t.Errorf("files are left: %v %v", files, err)
		}
	}
}
