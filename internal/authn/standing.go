package authn

import (
	"context"
	"errors"
	"fmt"

	"vitrine/internal/directory"
)

// Standing gives the principal of an object ID as it is now, without a token: for who proved itself earlier and left a
// delegation. ok is false when it is gone or disabled.
func (a *Authenticator) Standing(ctx context.Context, tenant, object string) (p Principal, ok bool, err error) {
	sp, err := a.cfg.Directory.PrincipalByObject(ctx, tenant, object)
	switch {
	case err == nil:
		return Principal{TenantID: sp.TenantID, ObjectID: sp.ObjectID, AppID: sp.AppID, Name: sp.DisplayName, Kind: ServicePrincipal,
			HomeTenant: sp.HomeTenant}, sp.AccountEnabled, nil
	case !errors.Is(err, directory.ErrPrincipalNotFound) && !directory.IsMissing(err):
		return Principal{}, false, fmt.Errorf("authn: look up principal: %w", err)
	}
	u, home, err := a.cfg.Directory.ActiveUser(ctx, tenant, object)
	if errors.Is(err, directory.ErrUserNotFound) || errors.Is(err, directory.ErrDisabled) {
		return Principal{}, false, nil
	}
	if err != nil {
		return Principal{}, false, fmt.Errorf("authn: look up user: %w", err)
	}
	return Principal{TenantID: u.TenantID, ObjectID: u.ObjectID, Name: home.UserPrincipalName, Kind: User,
		HomeTenant: home.TenantID, HomeObject: home.ObjectID}, true, nil
}
