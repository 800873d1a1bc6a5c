package walk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// world is what the how-to has prepared before its commands begin.
type world struct {
	*server
	t1, t2  client.Tenant // publisher and consumer
	app     client.App    // multi-tenant, registered in t1
	inT2    client.App    // its service principal in t2
	gallery string        // ID
	image   string        // ID of the definition
	version string        // ID of the version
}

const consumerGroup = "myResourceGroup"

func (w *world) groupID() string {
	return "/subscriptions/" + w.t2.SubscriptionID + "/resourceGroups/" + consumerGroup
}

// prepare makes tenants, application, gallery, version, consumer's group and roles.
func prepare(t *testing.T, roles bool) *world {
	t.Helper()
	return prepareBy(t, roles, (*world).makeGroup)
}

// prepareBy makes the consumer's group in a way of the caller's; args are of the server.
func prepareBy(t *testing.T, roles bool, makeGroup func(*world), args ...string) *world {
	t.Helper()
	image := harness.Guest(t)
	harness.Need(t, have("qemu-img"), "qemu-img is not installed")
	w := &world{server: start(t, args...)}
	w.vitrine(&w.t1, "tenant", "create", "contoso")
	w.vitrine(&w.t2, "tenant", "create", "fabrikam")
	w.vitrine(&w.app, "app", "create", "imageConsumer", "--tenant", "contoso", "--multi-tenant")
	w.vitrine(&w.inT2, "app", "consent", w.app.AppID, "--tenant", "fabrikam")
	w.gallery = "/subscriptions/" + w.t1.SubscriptionID + "/resourceGroups/images/providers/Microsoft.Compute/galleries/myGallery"
	w.image = w.gallery + "/images/tiny"
	w.version = w.image + "/versions/1.0.0"
	w.publish(image, w.version)
	makeGroup(w)
	if roles {
		w.vitrine(nil, "role", "assign", "Reader", "--scope", w.gallery, "--principal", w.app.ObjectID)
		w.vitrine(nil, "role", "assign", "Contributor", "--scope", w.groupID(), "--principal", w.inT2.ObjectID)
	}
	return w
}

func (w *world) publish(file, version string, more ...string) {
	w.t.Helper()
	w.vitrine(nil, append([]string{"image", "import", file, "--version-id", version, "--create", "--location", "eastus",
		"--publisher", "contoso", "--offer", "linux", "--sku", "tiny", "--os-type", "Linux", "--os-state", "Generalized", "--generation", "V1",
		"--target-region", "eastus"}, more...)...)
}

// makeGroup makes the consumer's resource group as its tenant's first principal, in an az of its own.
func (w *world) makeGroup() {
	w.t.Helper()
	own := []string{"AZURE_CONFIG_DIR=" + filepath.Join(w.home, ".azure-admin")}
	for _, args := range [][]string{
		{"login", "--service-principal", "-u", w.t2.AppID, "-p", w.t2.Password, "--tenant", w.t2.TenantID},
		{"group", "create", "-n", consumerGroup, "-l", "eastus"},
	} {
		if r := w.exec(own, harness.Az(w.t), args...); r.code != 0 {
			w.t.Fatalf("az %s: exit %d\n%s", args[0], r.code, r.err)
		}
	}
}

// login signs the application in to a tenant, in the published form.
func (w *world) login(tenant string) {
	w.t.Helper()
	w.azOK(nil, "login", "--service-principal", "-u", w.app.AppID, "-p", w.app.Password, "--tenant", tenant)
	w.azOK(nil, "account", "get-access-token")
}

// token gets an access token of an application in a tenant from the operator.
func (w *world) token(tenant, app, lifetime string) string {
	w.t.Helper()
	args := []string{"token", "--tenant", tenant}
	if app != "" {
		args = append(args, "--app", app)
	}
	if lifetime != "" {
		args = append(args, "--lifetime", lifetime)
	}
	var token client.Token
	w.vitrine(&token, args...)
	return token.AccessToken
}

// createVM is the published command.
func (w *world) createVM(name, image string) result {
	w.t.Helper()
	return w.az("vm", "create", "--resource-group", consumerGroup, "--name", name, "--image", image,
		"--admin-username", "azureuser", "--generate-ssh-keys")
}

// nothingLeft checks that a refused walk left no machine, disk, overlay or process.
func (w *world) nothingLeft(after string) {
	w.t.Helper()
	for _, typ := range []string{"virtualMachines", "disks"} {
		r := w.arm("GET", w.groupID()+"/providers/Microsoft.Compute/"+typ, "2024-03-02", "", w.adminToken())
		if r.status != 200 || !strings.Contains(r.body, `"value":[]`) {
			w.t.Errorf("after %s: %s are left: %d %.300s", after, typ, r.status, r.body)
		}
	}
	if left := w.machines(); len(left) > 0 {
		w.t.Errorf("after %s: processes are left: %v", after, left)
	}
	for _, dir := range []string{"disks", "machines", "seeds"} {
		if left, err := filepath.Glob(filepath.Join(w.data, dir, "*")); err != nil || len(left) > 0 {
			w.t.Errorf("after %s: files are left: %v %v", after, left, err)
		}
	}
}

// machines lists the processes of machines: supervisors and QEMU. A network that is there may have its process, and so may bases.
func (s *server) machines() map[int]string { return s.without(" netstack ", " nbd ") }

// hosted lists the processes of machines and networks. The one of bases stays while a machine may still come to what it was given, for three
// minutes; that it ends with a server that leaves no machine is shown by test/guide.
func (s *server) hosted() map[int]string { return s.without(" nbd ") }

func (s *server) without(kinds ...string) map[int]string {
	found := s.strays()
	for pid, line := range found {
		if slices.ContainsFunc(kinds, func(kind string) bool { return strings.Contains(line, kind) }) {
			delete(found, pid)
		}
	}
	return found
}

// forwards lists the listeners on public addresses, 127.64.0.0/10, that belong to this server's processes.
func (s *server) forwards() []string {
	s.t.Helper()
	sockets := map[string]string{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/udp"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			var a, b, c, d uint8
			if len(f) < 10 || f[3] != "0A" && f[3] != "07" { // listening, or a UDP socket
				continue
			}
			if n, err := fmt.Sscanf(f[1], "%2x%2x%2x%2x", &d, &c, &b, &a); err == nil && n == 4 && a == 127 && b >= 64 && b < 128 {
				sockets["socket:["+f[9]+"]"] = fmt.Sprintf("%d.%d.%d.%d (%s)", a, b, c, d, f[1])
			}
		}
	}
	var found []string
	pids := s.strays()
	pids[s.cmd.Process.Pid] = "serve"
	for pid := range pids {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, l := range links {
			if target, err := os.Readlink(l); err == nil && sockets[target] != "" {
				found = append(found, sockets[target])
			}
		}
	}
	return found
}

func (w *world) adminToken() string { return w.token("fabrikam", "", "") }

func vmID(w *world, name string) string {
	return fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachines/%s", w.groupID(), name)
}
