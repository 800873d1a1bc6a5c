package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"vitrine/internal/client"
	"vitrine/internal/proc"
)

const (
	demoRegion = "eastus"
	readyFile  = "ready.json"
)

// created is what az prints about a machine it made.
type created struct {
	ID       string `json:"id"`
	PublicIP string `json:"publicIpAddress"`
}

// walk is the whole of it, in order. What is printed as a command is what is run.
func (d *demo) walk(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"start the server", d.startServer},
		{"tenants and application", d.organisations},
		{"image version", d.image},
		{"roles and resource group", d.rights},
	} {
		if err := d.timed(step.name, func() error { return step.do(ctx) }); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if err := d.published(ctx); err != nil {
		return err
	}
	return d.enter(ctx)
}

// startServer starts this very program as a server on free ports, in a session of its own: an interruption of the
// walk must find it alive, to clean up.
func (d *demo) startServer(ctx context.Context) error {
	for _, dir := range []string{"home", "bin", "tmp", "share/vitrine/azure"} {
		if err := os.MkdirAll(d.at(dir), 0o700); err != nil {
			return err
		}
	}
	err := errors.Join(os.Symlink(d.az, d.at("bin/az")), os.Symlink(d.self, d.at("bin/vitrine")))
	if err != nil {
		return err
	}
	d.environ = d.privateEnv()
	ready := d.at(readyFile)
	fmt.Fprintf(d.say, "# a private server in %s\n", d.dir)
	d.id, err = proc.Start(proc.Detached{Path: d.self, Dir: d.dir, Env: d.environ, Output: d.at("server.log"),
		Args: []string{"serve", "--listen", "127.0.0.1:0", "--data", d.dataDir(), "--ready-file", ready}})
	if err != nil {
		return err
	}
	err = until(ctx, time.Minute, 50*time.Millisecond, func() (bool, error) {
		if !proc.Alive(d.id) {
			return false, errors.New("the server ended at once")
		}
		return proc.ReadState(ready, &d.server) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	d.environ = d.privateEnv()
	return nil
}

// organisations makes two tenants, an application of the first, and its service principal in the second.
func (d *demo) organisations(ctx context.Context) error {
	fmt.Fprintln(d.say, "\n# Two organisations, and an application that both know.")
	var elsewhere client.App
	for _, act := range []struct {
		command string
		out     any
	}{
		{"vitrine tenant create contoso -o json", &d.one},
		{"vitrine tenant create fabrikam -o json", &d.two},
		{"vitrine app create gallery-reader --tenant contoso --multi-tenant -o json", &d.app},
	} {
		if err := d.shellJSON(ctx, act.command, act.out); err != nil {
			return err
		}
	}
	return d.shellJSON(ctx, "vitrine app consent "+d.app.AppID+" --tenant fabrikam -o json", &elsewhere)
}

func (d *demo) gallery() string {
	return "/subscriptions/" + d.one.SubscriptionID + "/resourceGroups/myGalleryGroup/providers/Microsoft.Compute/galleries/myGallery"
}

func (d *demo) version() string { return d.gallery() + "/images/myImage/versions/1.0.0" }

// image publishes the guest, while az is looked at.
func (d *demo) image(ctx context.Context) error {
	fmt.Fprintln(d.say, "\n# contoso publishes a real disk as an image version.")
	health := make(chan error, 1)
	go func() { health <- d.checkAz(ctx) }()
	_, err := d.shell(ctx, "vitrine image import "+quote(d.guest)+" --create --location "+demoRegion+" --version-id "+quote(d.version())+" -o json")
	return errors.Join(err, <-health)
}

// rights gives the application Reader on the gallery and Contributor on a resource group of the second tenant.
func (d *demo) rights(ctx context.Context) error {
	fmt.Fprintln(d.say, "\n# contoso lets the application read its gallery; fabrikam lets it work in one resource group.")
	var elsewhere client.App
	if err := client.NewOperator(d.server.Operator).Do(ctx, "/v1/consents", client.ConsentRequest{AppID: d.app.AppID, Tenant: d.two.TenantID}, &elsewhere); err != nil {
		return err
	}
	if _, err := d.shell(ctx, "vitrine role assign Reader --scope "+quote(d.gallery())+" --principal "+d.app.ObjectID+" -o json"); err != nil {
		return err
	}
	a, err := d.second()
	if err != nil {
		return err
	}
	fmt.Fprintf(d.say, "# PUT %s {\"location\":%q} as %s, fabrikam's first principal\n", d.group(), demoRegion, d.two.AppID)
	if err := a.Do(ctx, http.MethodPut, d.group(), client.VersionGroups, map[string]string{"location": demoRegion}, nil); err != nil {
		return err
	}
	_, err = d.shell(ctx, "vitrine role assign Contributor --scope "+d.group()+" --principal "+elsewhere.ObjectID+" -o json")
	return err
}

func (d *demo) group() string {
	return "/subscriptions/" + d.two.SubscriptionID + "/resourceGroups/myResourceGroup"
}

// second is Azure Resource Manager as the second tenant's first principal.
func (d *demo) second() (*client.ARM, error) {
	return client.NewARM(d.server, client.NewOperator(d.server.Operator).Tokens(d.two.TenantID))
}

// published runs the commands of "Share gallery VM images across Azure tenants" byte for byte
// (learn.microsoft.com/azure/virtual-machines/share-images-across-tenants).
func (d *demo) published(ctx context.Context) error {
	fmt.Fprintln(d.say, "\n# From here on: the published commands, and an az that knows nothing of us.")
	login := func(tenant string) string {
		return fmt.Sprintf("az login --service-principal -u '%s' -p '%s' --tenant '%s'", d.app.AppID, d.app.Password, tenant)
	}
	for _, c := range []struct{ name, command string }{
		{"az account clear", "az account clear"},
		{"az login, tenant 1", login(d.one.TenantID)},
		{"az account get-access-token, tenant 1", "az account get-access-token"},
		{"az login, tenant 2", login(d.two.TenantID)},
		{"az account get-access-token, tenant 2", "az account get-access-token"},
	} {
		err := d.timed(c.name, func() error { _, err := d.shell(ctx, c.command); return err })
		if err != nil {
			return err
		}
	}
	create := strings.Join([]string{"az vm create", "--resource-group myResourceGroup", "--name myVM", `--image "` + d.version() + `"`,
		"--admin-username azureuser", "--generate-ssh-keys"}, " \\\n  ")
	err := d.timed("az vm create", func() error { return d.shellJSON(ctx, create, &d.machine) })
	if err == nil && d.machine.PublicIP == "" {
		err = errors.New("az printed no publicIpAddress")
	}
	return err
}

// shellJSON runs a command and reads what it prints.
func (d *demo) shellJSON(ctx context.Context, command string, out any) error {
	raw, err := d.shell(ctx, command)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("what the command printed is not JSON: %w", err)
	}
	return nil
}

// until asks again and again whether something is so.
func until(ctx context.Context, limit, every time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
