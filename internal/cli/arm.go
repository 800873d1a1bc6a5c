package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

const asPrincipal = `
Acts through Azure Resource Manager: as the service principal of AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET when
they are set (or given as flags), else, by the operator's socket, as the first principal of the tenant that owns the subscription.`

// credentialFlags adds what chooses the principal. The secret is no flag: command lines are seen by others.
func credentialFlags(c *cobra.Command, who *client.Credentials) {
	who.Secret = os.Getenv("AZURE_CLIENT_SECRET")
	c.Flags().StringVar(&who.Tenant, "tenant", os.Getenv("AZURE_TENANT_ID"), "tenant to sign in to, with AZURE_CLIENT_SECRET")
	c.Flags().StringVar(&who.AppID, "client-id", os.Getenv("AZURE_CLIENT_ID"), "client ID to sign in as, with AZURE_CLIENT_SECRET")
	c.Flags().Lookup("tenant").DefValue, c.Flags().Lookup("client-id").DefValue = "$AZURE_TENANT_ID", "$AZURE_CLIENT_ID"
}

// arm is Azure Resource Manager as the principal, or as the first one of the subscription's tenant.
func (e *env) arm(ctx context.Context, p client.Credentials, subscription string) (*client.ARM, error) {
	s, err := e.server()
	if err != nil {
		return nil, err
	}
	if p.Complete() {
		tokens, err := p.Tokens(s)
		if err != nil {
			return nil, err
		}
		return client.NewARM(s, tokens)
	}
	o := client.NewOperator(s.Operator)
	t, err := o.TenantOf(ctx, subscription)
	if err != nil {
		return nil, err
	}
	return client.NewARM(s, o.Tokens(t.TenantID))
}
