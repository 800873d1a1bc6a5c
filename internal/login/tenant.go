package login

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/web"
)

// tenant finds the tenant that a path names, by its ID or by one of its domains.
func (d *door) tenant(ctx context.Context, name string) (directory.Tenant, error) {
	if !web.IsID(name) && !isDomain(name) {
		return directory.Tenant{}, aadsts.Fail(http.StatusBadRequest, "invalid_request", 900023,
			"Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.", aadsts.Clip(name))
	}
	t, err := d.Directory.Tenant(ctx, name)
	if !web.IsID(name) {
		t, err = d.Directory.TenantByDomain(ctx, name)
	}
	if errors.Is(err, directory.ErrTenantNotFound) {
		return directory.Tenant{}, aadsts.Fail(http.StatusBadRequest, "invalid_request", 90002,
			"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. "+
				"Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
			aadsts.Clip(name))
	}
	return t, err
}

// isDomain takes the form of a DNS name of at least two labels.
func isDomain(name string) bool {
	labels := strings.Split(name, ".")
	if len(name) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, notInLabel) {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
}
