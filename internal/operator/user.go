package operator

import (
	"context"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/directory"
	"vitrine/internal/store"
)

// createUser makes a person in a tenant. A domain that no tenant has becomes the tenant's, on the operator's word; that of another tenant
// is refused.
func (d *door) createUser(ctx context.Context, in client.UserRequest) (any, error) {
	t, err := d.Directory.FindTenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	local, domain, ok := strings.Cut(in.Name, "@")
	if !ok {
		return nil, arm.Errorf(400, "InvalidParameter", "A user's name has the form name@domain; '%.120s' has not.", in.Name).At("userPrincipalName")
	}
	text := string(in.Password)
	if text == "" {
		text = directory.NewPassword()
	}
	password, err := d.Directory.HashPassword(ctx, text, in.Name)
	if err != nil {
		return nil, err
	}
	if in.DisplayName == "" {
		in.DisplayName = local
	}
	out := client.User{TenantID: t.ID, Password: text, Roles: []string{}}
	err = d.Store.Update(ctx, func(tx store.Tx) error {
		if err := d.Directory.AddDomainIn(tx, t.ID, domain); err != nil {
			return err
		}
		u, err := d.Directory.CreateUserIn(tx, directory.User{TenantID: t.ID, UserPrincipalName: in.Name, AccountEnabled: true, Password: password,
			Profile: directory.Profile{DisplayName: in.DisplayName, MailNickname: local}})
		if err != nil {
			return err
		}
		out.ObjectID, out.Name = u.ObjectID, u.UserPrincipalName
		if !in.Admin {
			return nil
		}
		out.Roles = []string{directory.GlobalAdministrator}
		return d.Directory.SetRoleIn(tx, t.ID, u.ObjectID, directory.GlobalAdministrator, true)
	})
	return out, err
}
