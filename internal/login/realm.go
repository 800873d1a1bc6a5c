package login

import (
	"net/http"
	"net/url"
	"strings"

	"vitrine/internal/login/aadsts"
)

// realm answers how a name signs in, which az asks before it sends a password. All accounts are managed here, known or not,
// so that the answer tells nothing about who exists.
func (d *door) realm(c call) error {
	segments := strings.FieldsFunc(c.r.URL.EscapedPath(), func(r rune) bool { return r == '/' })
	name, err := url.PathUnescape(segments[len(segments)-1])
	_, domain, ok := strings.Cut(name, "@")
	if err != nil || !ok || !isDomain(domain) {
		return aadsts.Fail(http.StatusBadRequest, "invalid_request", 50020, "The user name '%s' is not of the form name@domain.", aadsts.Clip(name))
	}
	return reply(c, map[string]any{"ver": "1.0", "account_type": "Managed", "domain_name": domain, "cloud_instance_name": "microsoftonline.com",
		"cloud_audience_urn": "urn:federation:MicrosoftOnline"})
}
