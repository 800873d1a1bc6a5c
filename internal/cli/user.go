package cli

import (
	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

func (e *env) user() *cobra.Command {
	group := &cobra.Command{Use: "user", Short: "People who sign in with a password"}
	var in client.UserRequest
	var password string
	create := &cobra.Command{
		Use: "create UPN", Short: "Create a user of a tenant",
		Long: `create makes a person who can sign in to a tenant, in a browser or with a device code. The name's domain becomes the tenant's
unless another tenant has it; <tenant>.onmicrosoft.com is there from the beginning. Without --password one is drawn; it is shown
this once.` + asOperator,
		Example: "  vitrine user create alice@contoso.onmicrosoft.com --tenant contoso --admin -o json",
		Args:    exactly(1, "the user's name, such as alice@contoso.onmicrosoft.com"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Password = args[0], client.Hidden(password)
			return post[client.User](cmd.Context(), e, "/v1/users", in)
		},
	}
	create.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant, by name or ID")
	create.Flags().StringVar(&in.DisplayName, "display-name", "", "the name shown (default the part before the @)")
	create.Flags().StringVar(&password, "password", "", "the password (default one that is drawn)")
	create.Flags().BoolVar(&in.Admin, "admin", false, "make the user Global Administrator of the tenant")
	must(create, "tenant")
	group.AddCommand(e.printing(create))
	return group
}
