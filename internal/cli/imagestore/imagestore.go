// Package imagestore is the commands about stored image bytes: image usage, image scrub, image collect, and key.
//
// It owns their flags and what they print. How a server is found, and as what a result is printed, its caller says.
//
//	argv ─▶ command ─▶ client.Operator ─▶ Shell.Print
package imagestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

// Shell is what the commands need of the program around them.
type Shell struct {
	Operator func() (*client.Operator, error)
	Print    func(any) error                           // as -o asks
	Printing func(*cobra.Command) *cobra.Command       // adds -o
	JSON     func() bool                               // whether -o asks for JSON
	Tenant   func(message string) cobra.PositionalArgs // exactly one argument, or that message
	Usage    func(error) error                         // marks wrong words
}

const (
	asOperator = "\nActs as the operator, through the socket in the data folder; the act is written to the server's log."
	looks      = "\nActs as the operator, through the socket in the data folder."
)

// ask posts in to a path and reads the answer.
func ask[T any](ctx context.Context, e *Shell, path string, in any) (out T, err error) {
	o, err := e.Operator()
	if err != nil {
		return out, err
	}
	err = o.Do(ctx, path, in, &out)
	return out, err
}

// post is ask and prints the answer.
func post[T any](ctx context.Context, e *Shell, path string, in any) error {
	out, err := ask[T](ctx, e, path, in)
	if err != nil {
		return err
	}
	return e.Print(out)
}

// Collect is image collect.
func (e *Shell) Collect() *cobra.Command {
	grace, dry := time.Hour, false
	c := &cobra.Command{
		Use: "collect", Short: "Free image bytes that nothing names any more",
		Long: `collect does at once what the server does every hour: it deletes the bytes of image versions and disks that are gone, in every
region. What is younger than --grace stays, since an import that is under way may be about to name it; with --grace 0 such an
import has to be repeated. With --dry-run nothing is deleted: it shows what would be, and why.` + asOperator,
		Example: "  vitrine image collect\n  vitrine image collect --grace 0s --dry-run -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace < 0 {
				return e.Usage(errors.New("--grace must not be negative"))
			}
			in := client.CollectRequest{Grace: int(grace / time.Second)}
			if !dry {
				return post[client.Collected](cmd.Context(), e, "/v1/collect", in)
			}
			plan, err := ask[client.CollectPlan](cmd.Context(), e, "/v1/images/plan", in)
			switch {
			case err != nil:
				return err
			case e.JSON():
				return e.Print(plan)
			case len(plan.Freed) == 0:
				return e.Print(plan.Collected)
			}
			return e.Print(plan.Freed)
		},
	}
	c.Flags().DurationVar(&grace, "grace", grace, "how old bytes that nothing names must be")
	c.Flags().BoolVar(&dry, "dry-run", false, "show what would be freed, and why, and free nothing")
	return e.Printing(c)
}

// Bytes is image usage.
func (e *Shell) Bytes() *cobra.Command {
	var in client.TenantQuery
	totals := false
	c := &cobra.Command{
		Use: "usage", Short: "Show how many bytes image versions, disks and tenants use",
		Long: `usage shows for every image version and disk, in each region: logical bytes (its virtual size), allocated ones (what of that is not
zero), stored ones (as they lie on the disk), and of these how many it alone needs (unique), how many others need too (shared), and
how many its deletion frees (reclaimable). With --totals it shows the tenants instead.` + looks,
		Example: "  vitrine image usage\n  vitrine image usage --tenant contoso --totals -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := ask[client.ImageBytes](cmd.Context(), e, "/v1/images/usage", in)
			switch {
			case err != nil:
				return err
			case totals:
				return e.Print(out.Tenants)
			case e.JSON():
				return e.Print(out)
			}
			return e.Print(out.Versions)
		},
	}
	c.Flags().StringVar(&in.Tenant, "tenant", "", "whose bytes, by name or ID (default all)")
	c.Flags().BoolVar(&totals, "totals", false, "a line for each tenant and region instead")
	return e.Printing(c)
}

// Scrub is image scrub.
func (e *Shell) Scrub() *cobra.Command {
	var in client.ScrubRequest
	c := &cobra.Command{
		Use: "scrub", Short: "Verify every stored image byte, and mend what is damaged",
		Long: `scrub does at once what the server does every day: it reads every stored object, verifies it, and puts a sound copy from another
region in place of one that is damaged. What no region has whole is listed with the versions and disks that need it, and
the command ends with exit code 1. It reads no faster than serve's --scrub-rate, and ends when it is interrupted.` + asOperator,
		Example: "  vitrine image scrub\n  vitrine image scrub --status -o json\n  vitrine image scrub --reseal", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := ask[client.Scrubbed](cmd.Context(), e, "/v1/images/scrub", in)
			if err != nil {
				return err
			}
			if err := e.Print(out); err != nil || out.Damaged == 0 {
				return err
			}
			return fmt.Errorf("%d places in image versions or disks are lost; -o json lists them", out.Damaged)
		},
	}
	c.Flags().BoolVar(&in.Status, "status", false, "show the scrub under way, or else the last one")
	c.Flags().BoolVar(&in.Reseal, "reseal", false, "encrypt with the tenants' present keys what is not")
	return e.Printing(c)
}

// Key is the keys of stored image bytes.
func (e *Shell) Key() *cobra.Command {
	group := &cobra.Command{Use: "key", Short: "Keys that stored image bytes are encrypted with"}
	group.AddCommand(e.list(), e.rotate(), e.rewrap(), e.shred())
	return group
}

func (e *Shell) list() *cobra.Command {
	var in client.TenantQuery
	c := &cobra.Command{
		Use: "list", Short: "List the keys of tenants", Long: "list shows which keys tenants have and had, and never a key itself." + looks,
		Example: "  vitrine key list\n  vitrine key list --tenant contoso -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return post[[]client.TenantKey](cmd.Context(), e, "/v1/keys", in)
		},
	}
	c.Flags().StringVar(&in.Tenant, "tenant", "", "whose, by name or ID (default all)")
	return e.Printing(c)
}

func (e *Shell) rotate() *cobra.Command {
	return e.Printing(&cobra.Command{
		Use: "rotate TENANT", Short: "Encrypt what a tenant stores from now on with a new key",
		Long: `rotate makes a new key. What is stored already stays readable, and the daily scrub (or image scrub --reseal) encrypts it with the
new key. Versions from before and after share no bytes.` + asOperator,
		Example: "  vitrine key rotate contoso", Args: e.Tenant("the tenant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return post[[]client.TenantKey](cmd.Context(), e, "/v1/keys/rotate", client.TenantQuery{Tenant: args[0]})
		},
	})
}

func (e *Shell) rewrap() *cobra.Command {
	return e.Printing(&cobra.Command{
		Use: "rewrap", Short: "Seal all tenants' keys under the present master key",
		Long: `rewrap follows a change of the master key: stop the server, rename master.key to master.key.old, start it (which makes a new master
key), and run this. Other secrets are still under the former master key until they are written anew: keep master.key.old.` + asOperator,
		Example: "  vitrine key rewrap", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return post[client.Rewrapped](cmd.Context(), e, "/v1/keys/rewrap", struct{}{})
		},
	})
}

func (e *Shell) shred() *cobra.Command {
	var in client.ShredRequest
	c := &cobra.Command{
		Use: "shred TENANT", Short: "Destroy a tenant's image keys, and with them its images",
		Long: `shred destroys the keys of all that a tenant's images and disks hold, so that no copy of the files can be read any more, and deletes the
files. It refuses while anything needs them, and names what: versions, disks, and the machines that have them, those of other tenants
first. With --force they lose them.` + asOperator,
		Example: "  vitrine key shred contoso\n  vitrine key shred contoso --force -o json", Args: e.Tenant("the tenant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Tenant = args[0]
			return post[client.ShreddedTenant](cmd.Context(), e, "/v1/keys/shred", in)
		},
	}
	c.Flags().BoolVar(&in.Force, "force", false, "though something needs them")
	return e.Printing(c)
}
