package imagestore

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

// Quota is tenant quota.
func (e *Shell) Quota() *cobra.Command {
	var limit string
	c := &cobra.Command{
		Use: "quota [TENANT]", Short: "Show or set how many bytes tenants may hold",
		Long: `quota shows how many bytes a tenant, or every one, holds and may hold. It counts sizes, not what is written so far: of disks and snapshots
their size, of managed images and image versions the sizes of their disks, once for each region, of storage accounts their blobs,
page blobs with all their pages. With --limit it sets one tenant's quota: a number of bytes, or of KiB, MiB, GiB or TiB; "none" for
any number; "default" for what serve's --tenant-quota says. What would need more is refused with QuotaExceeded before its first
byte is taken; what a tenant holds already stays.` + asOperator,
		Example: "  vitrine tenant quota\n  vitrine tenant quota contoso --limit 500GiB\n  vitrine tenant quota contoso --limit none -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("limit") {
				path := "/v1/tenants/quotas"
				if len(args) == 1 {
					path += "?" + url.Values{"tenant": args}.Encode()
				}
				list, err := ask[[]client.TenantQuota](cmd.Context(), e, path, nil)
				if err != nil {
					return err
				}
				if len(args) == 1 && len(list) == 1 {
					return e.Print(list[0])
				}
				return e.Print(list)
			}
			if len(args) == 0 {
				return e.Usage(errors.New("tenant quota --limit needs the tenant, by name or ID"))
			}
			in, err := quotaRequest(args[0], limit)
			if err != nil {
				return e.Usage(err)
			}
			out, err := ask[client.TenantQuota](cmd.Context(), e, "/v1/tenants/quota", in)
			if err != nil {
				return err
			}
			return e.Print(out)
		},
	}
	c.Flags().StringVar(&limit, "limit", "", `the tenant's quota, such as 500GiB; "none" or "default"`)
	return e.Printing(c)
}

func quotaRequest(tenant, limit string) (client.QuotaRequest, error) {
	in := client.QuotaRequest{Tenant: tenant}
	if limit == "default" {
		return in, nil
	}
	var err error
	in.Limit, err = ParseQuota(limit)
	in.Unlimited = in.Limit == nil
	return in, err
}

// ParseQuota reads a number of bytes, also in KiB, MiB, GiB or TiB; nil for "none".
func ParseQuota(text string) (*int64, error) {
	if text == "none" {
		return nil, nil
	}
	number, unit := text, int64(1)
	for i, name := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(text, name); ok {
			number, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return nil, fmt.Errorf("a quota is a number of bytes such as 1000000, 500GiB or 2TiB, or none, not %q", text)
	}
	n *= unit
	return &n, nil
}
