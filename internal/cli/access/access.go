// Package access is the commands that ask about rights: why, who-can, shared-with-me, and the operator's deny assignments.
//
// It owns their flags and what they print. How a server is found, and as what a result is printed, its caller says.
//
//	argv ─▶ command ─▶ client.Operator or client.ARM, by way of Shell ─▶ Shell.Print
package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

// Shell is what the commands need of the program around them.
type Shell struct {
	Server   func() (client.Server, error)
	Print    func(any) error // as -o asks
	JSON     func() bool     // whether that is JSON
	Out      io.Writer
	Printing func(*cobra.Command) *cobra.Command // adds -o
	Usage    func(error) error                   // marks a wrong call
	Refused  error                               // ends the program with exit code 1, its message being printed already
}

const asOperator = "\nActs as the operator, through the socket in the data folder; the act is written to the server's log."

func (e *Shell) operator() (*client.Operator, error) {
	s, err := e.Server()
	if err != nil {
		return nil, err
	}
	return client.NewOperator(s.Operator), nil
}

// post sends an operator's act and prints what came of it.
func post[T any](ctx context.Context, e *Shell, path string, in any) error {
	o, err := e.operator()
	if err != nil {
		return err
	}
	var out T
	if err := o.Do(ctx, path, in, &out); err != nil {
		return err
	}
	return e.Print(out)
}

func must(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // a flag that was not defined: a slip in this file
		}
	}
}

// Why is the command of that name.
func (e *Shell) Why() *cobra.Command {
	var in client.WhyRequest
	c := &cobra.Command{
		Use: "why", Short: "Explain why a principal may, or may not, do an action at a scope",
		Long: `why shows the role and deny assignments that apply at a scope, its own and those inherited, of the principal and of the
groups it is in, which one decides, and the locks in the way. It exits with 1 when the principal may not.` + asOperator,
		Example: `  vitrine why --principal OBJECT_OR_CLIENT_ID --action Microsoft.Compute/galleries/images/versions/read --scope /subscriptions/S/resourceGroups/g
  vitrine why --principal ID --action Microsoft.Compute/virtualMachines/write --scope /subscriptions/S -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := e.operator()
			if err != nil {
				return err
			}
			var out client.Why
			if err := o.Do(cmd.Context(), "/v1/why", in, &out); err != nil {
				return err
			}
			if err := e.printWhy(out); err != nil {
				return err
			}
			if !out.Allowed {
				return e.Refused
			}
			return nil
		},
	}
	c.Flags().StringVar(&in.Principal, "principal", "", "object ID of a user, group or service principal, or a client ID")
	e.question(c, &in.Action, &in.Scope, &in.Tenant)
	must(c, "principal")
	return e.Printing(c)
}

// question adds the flags that every question about rights has.
func (e *Shell) question(c *cobra.Command, action, scope, tenant *string) {
	c.Flags().StringVar(action, "action", "", "action or data action, such as Microsoft.Compute/disks/read")
	c.Flags().StringVar(scope, "scope", "", "ID of a subscription, group, resource or management group, or /")
	c.Flags().StringVar(tenant, "tenant", "", "the tenant, for a scope that is in no subscription")
	must(c, "action", "scope")
}

func (e *Shell) printWhy(w client.Why) error {
	if e.JSON() {
		return e.Print(w)
	}
	verdict := "may not"
	if w.Allowed {
		verdict = "may"
	}
	fmt.Fprintf(e.Out, "Principal %s of tenant %s %s %s at %s.\n", w.Principal, w.Tenant, verdict, w.Action, w.Scope)
	if d := w.Decided; d != nil {
		via := ""
		if d.Via != "" {
			via = " via group " + d.Via
		}
		fmt.Fprintf(e.Out, "Decided by: %s, %s at %s%s (%s)\n", d.Result, d.Role, d.Scope, via, d.Assignment)
	}
	for _, l := range w.Locks {
		fmt.Fprintf(e.Out, "Locked all the same by a lock on: %s\n", l)
	}
	if w.Command != "" {
		fmt.Fprintf(e.Out, "To allow it: %s\n", w.Command)
	}
	if len(w.Chain) == 0 {
		_, err := fmt.Fprintln(e.Out, "No role assignment applies at this scope.")
		return err
	}
	fmt.Fprintln(e.Out)
	return e.Print(w.Chain)
}

// WhoCan is the command who-can.
func (e *Shell) WhoCan() *cobra.Command {
	var in client.WhoCanRequest
	c := &cobra.Command{
		Use: "who-can", Short: "List who may do an action at a scope, and by which assignment",
		Long:    "who-can lists the principals whose roles give an action at a scope, members of groups one by one. Who is not allowed all the same is told by what: a condition, a deny assignment, a lock." + asOperator,
		Example: "  vitrine who-can --action Microsoft.Authorization/roleAssignments/write --scope /subscriptions/S -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return post[[]client.Holder](cmd.Context(), e, "/v1/whocan", in)
		},
	}
	e.question(c, &in.Action, &in.Scope, &in.Tenant)
	return e.Printing(c)
}

// Deny is the command role deny.
func (e *Shell) Deny() *cobra.Command {
	var in client.DenyRequest
	c := &cobra.Command{
		Use: "deny NAME", Short: "Create a deny assignment, which wins over every role",
		Long:    "deny takes actions away at a scope and below it, from everyone or from the principals that are named. No other door can make or remove one, as in Azure." + asOperator,
		Example: "  vitrine role deny no-deletes --scope /subscriptions/S/resourceGroups/g --action '*/delete' --except OBJECT_ID -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			return post[client.Denied](cmd.Context(), e, "/v1/denyassignments", in)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Scope, "scope", "", "where it holds")
	f.StringVar(&in.Tenant, "tenant", "", "the tenant, for a scope that is in no subscription")
	f.StringArrayVar(&in.Actions, "action", nil, "action or pattern to deny; may be repeated")
	f.StringArrayVar(&in.NotActions, "not-action", nil, "action or pattern to leave out; may be repeated")
	f.StringArrayVar(&in.Principals, "principal", nil, "object or client ID it is for; may be repeated (default everyone)")
	f.StringArrayVar(&in.Except, "except", nil, "object or client ID it is not for; may be repeated")
	f.BoolVar(&in.Exact, "exact", false, "only at the scope itself, not below it")
	must(c, "scope", "action")
	return e.Printing(c)
}

// Undeny is the command role undeny.
func (e *Shell) Undeny() *cobra.Command {
	var in client.DenyRequest
	c := &cobra.Command{
		Use: "undeny ID", Short: "Remove a deny assignment", Long: "undeny removes a deny assignment by its ID." + asOperator,
		Example: "  vitrine role undeny /subscriptions/S/providers/Microsoft.Authorization/denyAssignments/GUID",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Scope = args[0]
			return post[client.Denied](cmd.Context(), e, "/v1/denyassignments/remove", in)
		},
	}
	c.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant, for a scope that is in no subscription")
	return e.Printing(c)
}

// sharedRow is one line of the table.
type sharedRow struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Tenant string `json:"tenantId"`
	Means  string `json:"means"`
	Role   string `json:"role"`
	Scope  string `json:"sharedAt"`
}

// sharedSpec is what shared-with-me was asked for.
type sharedSpec struct {
	who  client.Credentials
	also []string
}

// SharedWithMe is the command shared-with-me.
func (e *Shell) SharedWithMe() *cobra.Command {
	var s sharedSpec
	c := &cobra.Command{
		Use: "shared-with-me", Short: "List the galleries, images and versions that a principal may use, in every tenant",
		Long: `shared-with-me lists what the principal may read of galleries, and by which role assignment. It signs in as the service
principal of AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET when they are set; without a secret it takes, by the
operator's socket, the tokens of --client-id in --tenant. --also-tenant asks in further tenants where the application is known.`,
		Example: "  vitrine shared-with-me -o json\n  vitrine shared-with-me --tenant contoso --client-id APP_ID --also-tenant fabrikam",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := e.shared(cmd.Context(), s)
			if err != nil {
				return err
			}
			if e.JSON() {
				return e.Print(items)
			}
			rows := make([]sharedRow, len(items))
			for i, one := range items {
				rows[i] = sharedRow{one.Type, one.ID, one.Tenant, one.Means, one.By.Role, one.By.Scope}
			}
			return e.Print(rows)
		},
	}
	s.who.Secret = os.Getenv("AZURE_CLIENT_SECRET")
	c.Flags().StringVar(&s.who.Tenant, "tenant", os.Getenv("AZURE_TENANT_ID"), "tenant to sign in to")
	c.Flags().StringVar(&s.who.AppID, "client-id", os.Getenv("AZURE_CLIENT_ID"), "client ID to ask as (default the tenant's first principal)")
	c.Flags().Lookup("tenant").DefValue, c.Flags().Lookup("client-id").DefValue = "$AZURE_TENANT_ID", "$AZURE_CLIENT_ID"
	c.Flags().StringArrayVar(&s.also, "also-tenant", nil, "further tenant to ask in; may be repeated")
	return e.Printing(c)
}

func (e *Shell) shared(ctx context.Context, s sharedSpec) ([]client.SharedItem, error) {
	if s.who.Tenant == "" {
		return nil, e.Usage(errors.New("shared-with-me needs a tenant: set AZURE_TENANT_ID or give --tenant"))
	}
	server, err := e.Server()
	if err != nil {
		return nil, err
	}
	all := []client.SharedItem{}
	for _, tenant := range append([]string{s.who.Tenant}, s.also...) {
		tokens := client.NewOperator(server.Operator).TokensOf(tenant, s.who.AppID)
		if s.who.Secret != "" && s.who.AppID != "" {
			as := s.who
			as.Tenant = tenant
			if tokens, err = as.Tokens(server); err != nil {
				return nil, err
			}
		}
		a, err := client.NewARM(server, tokens)
		if err != nil {
			return nil, err
		}
		some, err := client.List[client.SharedItem](ctx, a, "/providers/Vitrine.Sharing/sharedWithMe", client.SharingVersion)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b client.SharedItem) int { return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
	return slices.CompactFunc(all, func(a, b client.SharedItem) bool { return strings.EqualFold(a.ID, b.ID) }), nil
}
