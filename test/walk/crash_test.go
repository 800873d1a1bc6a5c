package walk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// crash is a walk that is cut off again and again.
type crash struct {
	*world
	rng    *rand.Rand
	guest  guestAccess
	keeper keeper
	number int // of versions and groups made so far

	importing, deploying time.Duration // how long these take here, undisturbed
}

// TestCrash kills the server, a network's process or a machine's supervisor at seeded random moments of an import, of a
// publication and of a deployment. VITRINE_CRASH_SEED repeats a run.
func TestCrash(t *testing.T) {
	if !full() && os.Getenv("VITRINE_CRASH_SEED") == "" {
		t.Skip("not tested: kills at random moments take minutes (VITRINE_FULL=1, or VITRINE_CRASH_SEED)")
	}
	harness.Need(t, have("qemu-system-x86_64") && have("ssh") && have("ssh-keygen"), "QEMU or ssh is not installed")
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("VITRINE_CRASH_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("VITRINE_CRASH_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("VITRINE_CRASH_SEED=%d", seed)
	c := &crash{world: prepareBy(t, true, (*world).groupByARM), rng: rand.New(rand.NewPCG(seed, 0))}
	c.first()
	rounds := []struct {
		name string
		do   func()
	}{
		{"server during an import", c.cutImport}, {"server during an import", c.cutImport}, {"server during a publication", c.cutPublication},
		{"server during a deployment", c.cutDeployment}, {"server during a deployment", c.cutDeployment}, {"server during a deployment", c.cutDeployment},
		{"network during a deployment", c.cutNetwork}, {"network", c.cutNetwork}, {"supervisor", c.cutSupervisor}, {"supervisor", c.cutSupervisor},
	}
	c.rng.Shuffle(len(rounds), func(i, j int) { rounds[i], rounds[j] = rounds[j], rounds[i] })
	for i, r := range rounds {
		began := time.Now()
		r.do()
		c.quiet()
		c.keeper.check(c)
		if said := c.guest.answers("hostname"); strings.TrimSpace(said) != "first" {
			t.Errorf("round %d, %s: the machine calls itself %q", i+1, r.name, said)
		}
		t.Logf("round %d: %s, %.1f s", i+1, r.name, time.Since(began).Seconds())
		if t.Failed() {
			t.FailNow()
		}
	}
	c.nothing()
}

// groupByARM makes the consumer's group without az.
func (w *world) groupByARM() {
	w.do("fabrikam", http.MethodPut, w.groupID(), "2024-11-01", object{"location": "eastus"}, nil)
}

// moment is a random part of a time.
func (c *crash) moment(most time.Duration) time.Duration {
	return time.Duration(c.rng.Int64N(int64(most)))
}

// first makes the machine that must answer after each crash.
func (c *crash) first() {
	c.sshKey()
	began := time.Now()
	c.publish(harness.Guest(c.t), c.image+"/versions/1.5.0")
	c.importing, began = time.Since(began), time.Now()
	c.deploy(c.groupID(), "first", "start")
	c.deploying = time.Since(began)
	c.t.Logf("an import takes %.1f s, a deployment %.1f s", c.importing.Seconds(), c.deploying.Seconds())
	c.guest = c.access("fabrikam", vmID(c.world, "first"), c.publicIP(c.groupID(), "first"), "azureuser")
	c.guest.answers("hostname")
}

// deploy sends az's deployment with both tokens and waits until it has succeeded.
func (c *crash) deploy(group, name, deployment string) {
	c.t.Helper()
	c.await("the deployment "+deployment, bootLimit, func() bool {
		a := c.sendDeployment(group, name, deployment)
		if a.status/100 != 2 && a.status != http.StatusConflict { // 409: the one that was cut off is still going on
			c.t.Fatalf("deployment: %d %s", a.status, a.body)
		}
		return a.status/100 == 2
	})
	c.awaitEvery(20*time.Millisecond, "the deployment "+deployment+" to end", bootLimit, func() bool {
		var doc struct {
			Properties struct {
				ProvisioningState string
				Error             any
			}
		}
		c.do("fabrikam", http.MethodGet, deploymentID(group, deployment), "2024-11-01", nil, &doc)
		if s := doc.Properties.ProvisioningState; s == "Failed" || s == "Canceled" {
			c.t.Fatalf("the deployment is %s: %s", s, c.text(doc.Properties.Error))
		}
		return doc.Properties.ProvisioningState == "Succeeded"
	})
}

func deploymentID(group, name string) string {
	return group + "/providers/Microsoft.Resources/deployments/" + name
}

func (c *crash) sendDeployment(group, name, deployment string) answer {
	c.t.Helper()
	return c.arm(http.MethodPut, deploymentID(group, deployment), "2024-11-01", c.text(c.vmTemplate(group, name, c.version)),
		c.token("fabrikam", c.app.AppID, ""), c.token("contoso", c.app.AppID, ""))
}

// cut kills the server after a random time while clients write, starts it again, and waits for what it had begun.
func (c *crash) cut(most time.Duration) {
	c.t.Helper()
	stop := c.keeper.write(c)
	timer := time.NewTimer(c.moment(most))
	<-timer.C
	busy := len(c.unfinished())
	c.kill()
	stop()
	c.t.Logf("killed with %d operations under way", busy)
	if freeSSH() { // else the way to the machine leads through the server
		c.guest.answers("true") // while the server is away
	}
	c.run()
}

// beginImport starts vitrine image import of a new version; end ends it, and again runs it anew.
func (c *crash) beginImport(more ...string) (again, end func()) {
	c.number++
	args := append([]string{"--data", c.data, "image", "import", harness.Guest(c.t), "--version-id", c.image + "/versions/2.0." + strconv.Itoa(c.number), "--target-region", "eastus"}, more...)
	ctx, cancel := context.WithCancel(context.Background())
	cut := exec.CommandContext(ctx, c.bin, args...)
	cut.Env = c.environ()
	if err := cut.Start(); err != nil {
		c.t.Fatal(err)
	}
	again = func() {
		c.t.Helper()
		if r := c.exec(nil, c.bin, args...); r.code != 0 {
			c.t.Fatalf("the import that was cut off does not go on: exit %d\n%s", r.code, r.err)
		}
	}
	return again, func() {
		cancel()       // it would try again for a while, where the server was
		_ = cut.Wait() // its failure is what a kill of the server is for
	}
}

func (c *crash) cutImport() {
	again, end := c.beginImport()
	c.cut(c.importing)
	end()
	c.quiet()
	again()
}

// cutPublication kills the server while the version is copied to further regions.
func (c *crash) cutPublication() {
	again, end := c.beginImport("--target-region", "westus", "--target-region", "northeurope")
	version := c.image + "/versions/2.0." + strconv.Itoa(c.number)
	c.await("the publication to begin", bootLimit, func() bool {
		return c.arm(http.MethodGet, version, "2024-03-03", "", c.token("contoso", "", "")).status == http.StatusOK
	})
	c.cut(c.importing / 3)
	end()
	c.quiet()
	again()
	var doc struct {
		Properties struct {
			ReplicationStatus struct{ AggregatedState string }
		}
	}
	c.do("contoso", http.MethodGet, version+"?$expand=ReplicationStatus", "2024-03-03", nil, &doc)
	if s := doc.Properties.ReplicationStatus.AggregatedState; s != "Completed" {
		c.t.Errorf("the replication of %s is %q", version, s)
	}
}

// group makes a resource group of its own for a deployment.
func (c *crash) group() (id, name string) {
	c.number++
	id = "/subscriptions/" + c.t2.SubscriptionID + "/resourceGroups/crash" + strconv.Itoa(c.number)
	c.do("fabrikam", http.MethodPut, id, "2024-11-01", object{"location": "eastus"}, nil)
	c.vitrine(nil, "role", "assign", "Contributor", "--scope", id, "--principal", c.inT2.ObjectID)
	return id, "vm" + strconv.Itoa(c.number)
}

func (c *crash) cutDeployment() {
	group, name := c.group()
	if a := c.sendDeployment(group, name, "cut"); a.status != http.StatusCreated {
		c.t.Fatalf("deployment: %d %s", a.status, a.body)
	}
	c.cut(c.deploying)
	c.quiet()
	c.deploy(group, name, "cut") // it was acknowledged, and so there; sent again it changes nothing
	c.running(group, name)
	c.do("fabrikam", http.MethodDelete, group, "2024-11-01", nil, nil)
}

// running checks that ARM says, and a process shows, that a machine runs.
func (c *crash) running(group, name string) {
	c.t.Helper()
	c.await(name+" to run", bootLimit, func() bool {
		a := c.arm(http.MethodGet, group+"/providers/Microsoft.Compute/virtualMachines/"+name+"?$expand=instanceView", "2024-11-01", "", c.adminToken())
		return a.status == 200 && strings.Contains(a.body, `"PowerState/running"`)
	})
}

// cutNetwork kills the processes of networks while a deployment makes another.
func (c *crash) cutNetwork() {
	group, name := c.group()
	if a := c.sendDeployment(group, name, "cut"); a.status != http.StatusCreated {
		c.t.Fatalf("deployment: %d %s", a.status, a.body)
	}
	timer := time.NewTimer(c.moment(c.deploying))
	<-timer.C
	c.killAll(" netstack ")
	c.quiet()
	c.deploy(group, name, "cut")
	c.running(group, name)
	c.do("fabrikam", http.MethodDelete, group, "2024-11-01", nil, nil)
}

// cutSupervisor kills the machine's supervisor; the server must start the machine again.
func (c *crash) cutSupervisor() {
	timer := time.NewTimer(c.moment(2 * time.Second))
	<-timer.C
	was := c.emulators()
	killed := c.killAll(" supervise ")
	c.await("another supervisor in place of the old one", bootLimit, func() bool {
		others := 0
		for pid, line := range c.machines() {
			switch {
			case slices.Contains(killed, pid):
				return false
			case strings.Contains(line, " supervise "):
				others++
			}
		}
		return others > 0
	})
	c.running(c.groupID(), "first")
	c.await("one QEMU, and no orphan of the old supervisor", bootLimit, func() bool {
		now := c.emulators()
		return len(now) == 1 && !slices.Contains(was, now[0])
	})
}

// emulators are the QEMUs.
func (c *crash) emulators() (pids []int) {
	for pid, line := range c.machines() {
		if strings.Contains(line, "qemu-system") && !strings.Contains(line, " supervise ") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killAll kills the processes of a kind, at least one. One of a group that is being deleted may end by itself meanwhile.
func (c *crash) killAll(kind string) (pids []int) {
	c.t.Helper()
	c.await("a process"+kind+"to kill", bootLimit, func() bool {
		for pid, line := range c.strays() {
			if !strings.Contains(line, kind) {
				continue
			}
			switch err := syscall.Kill(pid, syscall.SIGKILL); {
			case err == nil:
				pids = append(pids, pid)
			case !errors.Is(err, syscall.ESRCH):
				c.t.Fatal(err)
			}
		}
		return len(pids) > 0
	})
	return pids
}

// keeper writes network security groups as fast as it can and remembers those that the server acknowledged.
type keeper struct {
	n     int
	acked []string
}

// write begins to write; the returned function ends it.
func (k *keeper) write(c *crash) (stop func()) {
	token := c.adminToken()
	where, err := client.ReadServer(c.data)
	if err != nil {
		c.t.Fatal(err)
	}
	h, err := where.HTTP()
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			k.n++
			id := fmt.Sprintf("%s/providers/Microsoft.Network/networkSecurityGroups/kept%d", c.groupID(), k.n)
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://management.azure.com"+id+"?api-version=2022-01-01", strings.NewReader(`{"location":"eastus"}`))
			if err != nil {
				return
			}
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", "application/json")
			resp, err := h.Do(req)
			if err != nil {
				return // the server is gone; what it did not acknowledge may be there or not
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusCreated {
				k.acked = append(k.acked, id)
			}
		}
	})
	return func() {
		cancel()
		group.Wait()
		h.CloseIdleConnections()
	}
}

// check reads what was acknowledged in one list.
func (k *keeper) check(c *crash) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	type head struct {
		ID         string
		Properties struct{ ProvisioningState string }
	}
	list, err := client.List[head](ctx, c.admin("fabrikam"), c.groupID()+"/providers/Microsoft.Network/networkSecurityGroups", "2022-01-01")
	if err != nil {
		c.t.Fatal(err)
	}
	there := map[string]string{}
	for _, h := range list {
		there[h.ID] = h.Properties.ProvisioningState
	}
	for _, id := range k.acked {
		if there[id] != "Succeeded" {
			c.t.Errorf("%s was acknowledged and is %q now", id, there[id])
		}
	}
}

// nothing deletes everything and looks for what is left: processes, sockets, files, bytes of images.
func (c *crash) nothing() {
	c.t.Logf("%d writes were acknowledged and kept", len(c.keeper.acked))
	type group struct{ ID string }
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	for tenant, subscription := range map[string]string{"fabrikam": c.t2.SubscriptionID, "contoso": c.t1.SubscriptionID} {
		groups, err := client.List[group](ctx, c.admin(tenant), "/subscriptions/"+subscription+"/resourcegroups", "2024-11-01")
		if err != nil {
			c.t.Fatal(err)
		}
		for _, g := range groups {
			c.do(tenant, http.MethodDelete, g.ID, "2024-11-01", nil, nil)
		}
	}
	c.quiet()
	c.await("all processes to end", bootLimit, func() bool { return len(c.strays()) == 0 })
	var freed client.Collected
	c.vitrine(&freed, "image", "collect", "--grace", "0s")
	c.t.Logf("collected: %+v", freed)
	for _, dir := range []string{"regions", "disks", "machines", "networks", "seeds", "image"} {
		if left := files(c.t, filepath.Join(c.data, dir)); len(left) > 0 {
			c.t.Errorf("%s holds files of nobody: %v", dir, left[:min(len(left), 10)])
		}
	}
	run, err := filepath.EvalSymlinks(filepath.Join(c.data, "run"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range files(c.t, run) {
		if filepath.Base(name) != "operator.sock" {
			c.t.Errorf("a socket of nobody: %s", name)
		}
	}
}

// files lists what is below a folder and no folder.
func files(t *testing.T, root string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
