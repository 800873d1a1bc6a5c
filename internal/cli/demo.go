package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
	"vitrine/internal/proc"
)

// demoSpec is what demo was asked for.
type demoSpec struct {
	guest, az string
	keep      bool
	end       string        // folder of a walk that was kept
	limit     time.Duration // for the guest to answer
}

func (e *env) demo() *cobra.Command {
	var s demoSpec
	c := &cobra.Command{
		Use: "demo", Short: "The whole walk on a private server: two tenants, one shared image, a real machine, SSH",
		Long: `demo starts a private server in a temporary folder, makes two tenants, a multi-tenant application and a gallery with an image
version, and then runs the commands that Microsoft publishes for sharing an image across tenants, with an unmodified az, and at
last ssh into the machine. Nothing of yours is touched: HOME, az's configuration and known_hosts are private. At the end, also
after an interruption, no process and no file is left.
Acts as whoever each printed command says; tenants and roles are made by the private server's operator.`,
		Example: "  vitrine demo\n  vitrine demo --keep\n  vitrine demo --guest debian.qcow2 --az /opt/az/bin/az",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.end != "" {
				return e.endDemo(cmd.Context(), s.end)
			}
			return e.runDemo(cmd.Context(), s)
		},
	}
	f := c.Flags()
	f.StringVar(&s.guest, "guest", cmpOr(os.Getenv("VITRINE_GUEST"), filepath.Join("build", "guest", "tiny.qcow2")), "disk image of the guest (default also by $VITRINE_GUEST)")
	f.StringVar(&s.az, "az", os.Getenv("VITRINE_AZ"), "the az to run (default $VITRINE_AZ, then the one on PATH)")
	f.BoolVar(&s.keep, "keep", false, "leave the server and the machine running, and say how to use and end them")
	f.StringVar(&s.end, "end", "", "end what an earlier --keep left in this folder, and remove it")
	f.DurationVar(&s.limit, "boot-limit", 4*time.Minute, "how long the guest may take to answer by SSH")
	f.Lookup("az").DefValue = ""
	return e.printing(c)
}

func cmpOr(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// demo is one walk.
type demo struct {
	demoSpec
	*env
	say     io.Writer // what is told to whoever watches
	dir     string
	self    string
	id      proc.Identity // of the server
	server  client.Server
	environ []string
	steps   []timing

	one, two client.Tenant
	app      client.App // with its password
	machine  created
	direct   bool   // SSH went to the public address itself
	answer   string // of the command inside the machine
	serial   string // what the machine wrote to its serial port
}

// timing is one line of the table.
type timing struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
}

// demoResult is what demo prints with -o json.
type demoResult struct {
	PublicIP string   `json:"publicIpAddress"`
	Direct   bool     `json:"sshToAddress"`
	Answer   string   `json:"answer"`
	Steps    []timing `json:"steps"`
	Seconds  float64  `json:"seconds"`
}

func (e *env) runDemo(ctx context.Context, s demoSpec) (err error) {
	d := &demo{demoSpec: s, env: e, say: e.out}
	if e.format == "json" {
		d.say = e.err
	}
	if err := d.require(); err != nil {
		return err
	}
	began := time.Now()
	if d.dir, err = os.MkdirTemp("", "vitrine-demo-"); err != nil {
		return err
	}
	err = d.walk(ctx)
	if err != nil {
		d.explain(ctx, err)
	}
	if err == nil && s.keep {
		err = d.keepOn()
	} else {
		err = errors.Join(err, d.timed("clean up", func() error { return d.cleanUp(context.WithoutCancel(ctx)) }))
	}
	if ctx.Err() != nil {
		return ExitCode(130)
	}
	if err != nil {
		return err
	}
	return d.result(time.Since(began))
}

// require finds what is missing before anything is begun.
func (d *demo) require() error {
	var lacks []string
	if _, err := os.Stat(d.guest); err != nil {
		lacks = append(lacks, fmt.Sprintf("a guest image: %s is not there (make guest builds one, --guest names another)", d.guest))
	}
	az, err := proc.LookPath(cmpOr(d.az, "az"))
	if err != nil {
		lacks = append(lacks, "az, the Azure CLI (Debian: package azure-cli; --az names one that is not on PATH)")
	}
	for _, tool := range []struct{ name, of string }{{"qemu-system-x86_64", "qemu-system-x86"}, {"qemu-img", "qemu-utils"}, {"ssh", "openssh-client"}} {
		if _, err := proc.LookPath(tool.name); err != nil {
			lacks = append(lacks, fmt.Sprintf("%s (Debian: package %s)", tool.name, tool.of))
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("demo needs what is missing here:\n  %s", strings.Join(lacks, "\n  "))
	}
	if d.az, err = filepath.Abs(az); err != nil {
		return err
	}
	if d.guest, err = filepath.Abs(d.guest); err != nil {
		return err
	}
	d.self, err = os.Executable()
	return err
}

// timed notes how long a step took.
func (d *demo) timed(step string, f func() error) error {
	began := time.Now()
	err := f()
	d.steps = append(d.steps, timing{step, tenths(time.Since(began))})
	return err
}

// tenths are the seconds of a duration, as exact as a single run is.
func tenths(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

func (d *demo) result(total time.Duration) error {
	if d.format == "json" {
		return d.print(demoResult{PublicIP: d.machine.PublicIP, Direct: d.direct, Answer: d.answer, Steps: d.steps, Seconds: tenths(total)})
	}
	w := tabwriter.NewWriter(d.say, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(d.say)
	for _, s := range append(d.steps, timing{"total", tenths(total)}) {
		fmt.Fprintf(w, "%s\t%.1f s\t\n", s.Step, s.Seconds)
	}
	return w.Flush()
}

// explain shows the end of the server's log: what went wrong may stand there.
func (d *demo) explain(ctx context.Context, err error) {
	if ctx.Err() != nil {
		fmt.Fprintln(d.say, "\n# interrupted; cleaning up")
		return
	}
	fmt.Fprintf(d.say, "\n# the walk failed: %v\n", err)
	raw, readErr := os.ReadFile(d.at("server.log"))
	if readErr != nil {
		return
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	fmt.Fprintln(d.say, "# the end of the server's log:")
	for _, line := range lines[max(0, len(lines)-20):] {
		fmt.Fprintf(d.say, "#   %.240s\n", line)
	}
}

// kept is what the end of a walk that was kept needs to know.
type kept struct {
	Server proc.Identity `json:"server"`
	Two    client.Tenant `json:"tenant2"`
}

const keptFile = "demo.json"

// keepOn says how to use what runs, and how to end it.
func (d *demo) keepOn() error {
	k := kept{Server: d.id, Two: d.two}
	k.Two.Password = ""
	data, self := quote(d.dataDir()), quote(d.self)
	fmt.Fprintf(d.say, `
# The server (pid %d) and the machine go on. To use them:
eval "$(%s env --data %s)"
%s account list -o table
%s vm ssh myVM --data %s --identity %s
# To end them, and to remove everything:
%s demo --end %s
`, d.id.PID, self, data, quote(d.az), self, data, quote(d.at("home/.ssh/id_rsa")), self, quote(d.dir))
	return proc.WriteState(d.at(keptFile), k)
}

// at is a path in the private folder; dataDir is the server's data folder in it.
func (d *demo) at(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) dataDir() string { return d.at("share/vitrine") }
