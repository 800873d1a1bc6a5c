package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The verdicts of doctor.
const (
	fine    = "ok"
	notice  = "warning" // something works less well, or is not needed for everything
	trouble = "error"   // a machine cannot be run here until it is mended
)

// finding is what doctor says about one thing.
type finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Says    string `json:"says"`
	Remedy  string `json:"remedy,omitempty"`
}

func (e *env) doctor() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Say what works on this host, and how to mend what does not",
		Long: `doctor looks at QEMU, at acceleration (it boots a guest of one sector), at ports, at the data folder, at the running server and
its certificates, and at az. It changes nothing. The exit code is 0 when everything that is required works, else 1.
Acts as you: it reads files and processes, and asks the operator's socket whether the server is there.`,
		Example: "  vitrine doctor\n  vitrine doctor -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := e.examine(cmd.Context())
			if err := e.report(findings); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Verdict == trouble {
					return ExitCode(1)
				}
			}
			return nil
		},
	}
	return e.printing(c)
}

func (e *env) examine(ctx context.Context) []finding {
	var all []finding
	for _, check := range []func(context.Context) []finding{
		e.checkQEMU, e.checkAccel, e.checkFirmware, e.checkPorts, e.checkLoopback, e.checkData, e.checkServer, e.checkAz, e.checkVariables,
	} {
		all = append(all, check(ctx)...)
	}
	return all
}

// report prints the findings; as text the remedy stands below what it mends.
func (e *env) report(findings []finding) error {
	if e.format == "json" {
		return e.print(findings)
	}
	for _, f := range findings {
		fmt.Fprintf(e.out, "%-8s %-20s %s\n", f.Verdict, f.Check, f.Says)
		if f.Remedy != "" {
			fmt.Fprintf(e.out, "%-29s → %s\n", "", strings.ReplaceAll(f.Remedy, "\n", "\n"+strings.Repeat(" ", 32)))
		}
	}
	return nil
}

func good(check, says string, args ...any) finding {
	return finding{Check: check, Verdict: fine, Says: fmt.Sprintf(says, args...)}
}
