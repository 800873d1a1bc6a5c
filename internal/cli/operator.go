package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

const asOperator = "\nActs as the operator, through the socket in the data folder; the act is written to the server's log."

func (e *env) tenant() *cobra.Command {
	group := &cobra.Command{Use: "tenant", Short: "Tenants: the directories of organisations"}
	var in client.TenantRequest
	create := &cobra.Command{
		Use: "create NAME", Short: "Create a tenant with a subscription and a first service principal",
		Long: `create makes a tenant, one subscription of it, and a first service principal that is Owner of the subscription and may
do everything in the directory. The password is shown this once.` + asOperator,
		Example: "  vitrine tenant create contoso -o json\n  vitrine tenant create fabrikam --id 11111111-2222-3333-4444-555555555555",
		Args:    exactly(1, "the tenant's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			return post[client.Tenant](cmd.Context(), e, "/v1/tenants", in)
		},
	}
	create.Flags().StringVar(&in.ID, "id", "", "GUID of the tenant (default a new one)")
	create.Flags().StringVar(&in.Subscription, "subscription", "", "GUID of the subscription (default a new one)")
	list := &cobra.Command{
		Use: "list", Short: "List the tenants and their subscriptions", Long: "list shows every tenant of the installation." + asOperator,
		Example: "  vitrine tenant list -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return post[[]client.TenantInfo](cmd.Context(), e, "/v1/tenants", nil)
		},
	}
	group.AddCommand(e.printing(create), e.printing(list), e.imagestore().Quota())
	return group
}

func (e *env) subscription() *cobra.Command {
	group := &cobra.Command{Use: "subscription", Short: "Subscriptions of tenants"}
	var in client.SubscriptionRequest
	create := &cobra.Command{
		Use: "create NAME", Short: "Create a further subscription of a tenant",
		Long:    "create makes a subscription whose Owner is the tenant's first service principal." + asOperator,
		Example: "  vitrine subscription create production --tenant contoso -o json",
		Args:    exactly(1, "the subscription's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			return post[client.SubscriptionInfo](cmd.Context(), e, "/v1/subscriptions", in)
		},
	}
	create.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant, by name or ID")
	create.Flags().StringVar(&in.ID, "id", "", "GUID of the subscription (default a new one)")
	must(create, "tenant")
	group.AddCommand(e.printing(create))
	return group
}

func (e *env) app() *cobra.Command {
	group := &cobra.Command{Use: "app", Short: "Applications and their service principals"}
	var in client.AppRequest
	var expires time.Duration
	create := &cobra.Command{
		Use: "create NAME", Short: "Register an application with a secret and its service principal",
		Long:    "create registers an application in its home tenant. The password is shown this once." + asOperator,
		Example: "  vitrine app create imageBuilder --tenant contoso --multi-tenant -o json\n  vitrine app create short-lived --tenant contoso --secret-expires-in 1h",
		Args:    exactly(1, "the application's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			if cmd.Flags().Changed("secret-expires-in") {
				in.SecretEnd = time.Now().Add(expires)
			}
			return post[client.App](cmd.Context(), e, "/v1/applications", in)
		},
	}
	create.Flags().StringVar(&in.Tenant, "tenant", "", "the home tenant, by name or ID")
	create.Flags().BoolVar(&in.MultiTenant, "multi-tenant", false, "other tenants may consent to it")
	create.Flags().DurationVar(&expires, "secret-expires-in", 0, "how long the secret is good for (default a year)")
	must(create, "tenant")
	var ask client.ConsentRequest
	consent := &cobra.Command{
		Use: "consent APPID", Short: "Make an application's service principal in another tenant",
		Long:    "consent does what an administrator's consent does: it makes the application known in a tenant. Doing it again changes nothing." + asOperator,
		Example: "  vitrine app consent 00000000-0000-0000-0000-000000000000 --tenant fabrikam -o json",
		Args:    exactly(1, "the application's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask.AppID = args[0]
			return post[client.App](cmd.Context(), e, "/v1/consents", ask)
		},
	}
	consent.Flags().StringVar(&ask.Tenant, "tenant", "", "the tenant that consents, by name or ID")
	must(consent, "tenant")
	group.AddCommand(e.printing(create), e.printing(consent))
	return group
}

func (e *env) role() *cobra.Command {
	group := &cobra.Command{Use: "role", Short: "Role assignments"}
	var in client.RoleRequest
	assign := &cobra.Command{
		Use: "assign ROLE", Short: "Assign a role to a principal at a scope",
		Long: `assign gives a principal a built-in role, by name or GUID, at the ID of a subscription, group or resource. It acts through
Azure Resource Manager as the first service principal of the tenant that owns the scope. Doing it again changes nothing.` + asOperator,
		Example: `  vitrine role assign Reader --scope /subscriptions/S/resourceGroups/g --principal OBJECT_ID -o json
  vitrine role assign "Compute Gallery Image Reader" --scope /subscriptions/S/…/galleries/g --principal OBJECT_ID`,
		Args: exactly(1, "the role's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Role = args[0]
			return post[client.Role](cmd.Context(), e, "/v1/roleassignments", in)
		},
	}
	assign.Flags().StringVar(&in.Scope, "scope", "", "resource ID of what the role is for")
	assign.Flags().StringVar(&in.Principal, "principal", "", "object ID of the service principal in the tenant that owns the scope")
	must(assign, "scope", "principal")
	group.AddCommand(e.printing(assign), e.access().Deny(), e.access().Undeny())
	return group
}

func (e *env) token() *cobra.Command {
	var in client.TokenRequest
	var lifetime time.Duration
	c := &cobra.Command{
		Use: "token", Short: "Issue an access token, for tests and scripts",
		Long: `token issues an access token for a service principal, the tenant's first one unless --app names another. A short
lifetime shows how a client behaves when a token expires.` + asOperator,
		Example: "  vitrine token --tenant contoso -o json\n  vitrine token --tenant contoso --app APP_ID --lifetime 5s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Lifetime = int(lifetime / time.Second)
			return post[client.Token](cmd.Context(), e, "/v1/tokens", in)
		},
	}
	c.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant, by name or ID")
	c.Flags().StringVar(&in.AppID, "app", "", "client ID of the application")
	c.Flags().StringVar(&in.Resource, "resource", "", "what the token is for (default Azure Resource Manager)")
	c.Flags().DurationVar(&lifetime, "lifetime", 0, "how long it is good for, at least 1s (default an hour)")
	must(c, "tenant")
	return e.printing(c)
}

func (e *env) ca() *cobra.Command {
	group := &cobra.Command{Use: "ca", Short: "The private certificate authority"}
	renew := &cobra.Command{
		Use: "renew", Short: "Make a new certificate authority for the present list of hosts",
		Long:    "renew replaces the certificate authority of the running server, as is needed after --domain changed. Clients need the new bundle: run 'vitrine env' again." + asOperator,
		Example: "  vitrine ca renew", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := e.operator()
			if err != nil {
				return err
			}
			if err := o.Do(cmd.Context(), "/v1/ca/renew", struct{}{}, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, "The certificate authority is new; its certificate is in the bundle that 'vitrine env' names.")
			return err
		},
	}
	group.AddCommand(renew)
	return group
}

// exactly is cobra.ExactArgs with a message that says what is missing.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usageError{fmt.Errorf("%s needs %s; see %s --help", cmd.CommandPath(), what, cmd.CommandPath())}
	}
}

func must(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // a flag that was not defined: a slip in this file
		}
	}
}
