// Package activity is the commands of the activity log: audit list, audit verify, audit export.
//
// It owns their flags and what they print. How a server is found, and as what a result is printed, its caller says.
//
//	argv ─▶ command ─▶ client.Operator ─▶ Shell.Print, or lines of JSON to Shell.Out
package activity

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

// Shell is what the commands need of the program around them.
type Shell struct {
	Operator func() (*client.Operator, error)
	Print    func(any) error // as -o asks
	Out      io.Writer
	Printing func(*cobra.Command) *cobra.Command // adds -o
}

const asOperator = "\nActs as the operator, through the socket in the data folder."

// Command is the activity log in the operator's hands.
func (e *Shell) Command() *cobra.Command {
	group := &cobra.Command{Use: "audit", Short: "The activity log: read it, prove it, take it away"}
	group.AddCommand(e.auditList(), e.auditVerify(), e.auditExport())
	return group
}

func (e *Shell) auditList() *cobra.Command {
	var in client.AuditQuery
	var since time.Duration
	c := &cobra.Command{
		Use: "list", Short: "List events, newest first",
		Long: `list shows who did what, when, from where and with which result: writes, actions, denials, sign-ins and operator's
acts. Repeats within a minute are one line with a count.` + asOperator,
		Example: "  vitrine audit list\n  vitrine audit list --tenant contoso --since 1h -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since > 0 {
				in.Since = time.Now().Add(-since)
			}
			o, err := e.Operator()
			if err != nil {
				return err
			}
			var events []client.AuditEvent
			if err := o.Do(cmd.Context(), "/v1/audit/list", in, &events); err != nil {
				return err
			}
			return e.Print(events)
		},
	}
	c.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant, by name or ID; installation for what is in none (default all)")
	c.Flags().DurationVar(&since, "since", 0, "how far back (default all that is kept)")
	c.Flags().IntVar(&in.Limit, "limit", 50, "events at most, up to 1000")
	return e.Printing(c)
}

func (e *Shell) auditVerify() *cobra.Command {
	var in client.AuditVerify
	c := &cobra.Command{
		Use: "verify", Short: "Prove that nothing was changed in the activity log",
		Long: `verify reads the whole log and proves each event by the hash chain of its tenant. It names the first thing that was
changed, removed, moved or put in, and ends with exit code 1. Keep the sequence and hash that it prints in another place: with
--sequence and --hash it also proves later that the chain of that time was not replaced or cut.` + asOperator,
		Example: "  vitrine audit verify\n  vitrine audit verify --tenant contoso --sequence 17 --hash 9f86d0…",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := e.Operator()
			if err != nil {
				return err
			}
			var reports []client.AuditReport
			if err := o.Do(cmd.Context(), "/v1/audit/verify", in, &reports); err != nil {
				return err
			}
			if err := e.Print(reports); err != nil {
				return err
			}
			for _, r := range reports {
				if r.Broken != "" {
					return fmt.Errorf("the activity log of %s is broken: %s", r.Tenant, r.Broken)
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant, by name or ID; installation for what is in none (default all)")
	c.Flags().Int64Var(&in.Sequence, "sequence", 0, "of a seal that was noted before")
	c.Flags().StringVar(&in.Hash, "hash", "", "of that seal")
	c.MarkFlagsRequiredTogether("sequence", "hash")
	return e.Printing(c)
}

func (e *Shell) auditExport() *cobra.Command {
	var tenant, file string
	var since time.Duration
	c := &cobra.Command{
		Use: "export", Short: "Write the activity log as lines of JSON",
		Long:    "export writes each event as one line of JSON, byte for byte as it was sealed. It holds no secrets. The export is an event itself." + asOperator,
		Example: "  vitrine audit export --since 24h > events.jsonl\n  vitrine audit export --tenant contoso --file events.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			o, err := e.Operator()
			if err != nil {
				return err
			}
			var from time.Time
			if since > 0 {
				from = time.Now().Add(-since)
			}
			if file == "" {
				return o.AuditExport(cmd.Context(), e.Out, tenant, from)
			}
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			if err := o.AuditExport(cmd.Context(), f, tenant, from); err != nil {
				_ = f.Close()
				return err
			}
			return f.Close()
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "the tenant, by name or ID; installation for what is in none (default all)")
	c.Flags().StringVar(&file, "file", "", "a new file to write (default the output)")
	c.Flags().DurationVar(&since, "since", 0, "how far back (default all that is kept)")
	return c
}
