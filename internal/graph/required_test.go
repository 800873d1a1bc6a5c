package graph_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// What a new object must have is neither null nor empty, and nothing is made of a body that says so.
func TestRequiredMembers(t *testing.T) {
	w := newWorld(t)
	for path, whole := range map[string]map[string]any{
		"users": {"accountEnabled": true, "displayName": "new", "mailNickname": "new", "userPrincipalName": "new@contoso.onmicrosoft.com",
			"passwordProfile": map[string]any{"password": "Correct-Horse7!"}},
		"groups":       {"displayName": "new", "mailNickname": "new", "mailEnabled": false, "securityEnabled": true},
		"applications": {"displayName": "new"},
	} {
		for _, name := range slices.Sorted(maps.Keys(whole)) {
			for _, empty := range []any{nil, "", "left out"} {
				body := maps.Clone(whole)
				if name == "passwordProfile" && empty == "" {
					continue // no object
				}
				if body[name] = empty; empty == "left out" {
					delete(body, name)
				}
				r := w.as("admin", "POST", "/v1.0/"+path, text(t, body))
				if r.status != 400 || r.code() != "Request_BadRequest" || !strings.Contains(r.text, "A value is required for property '"+name+"'") {
					t.Errorf("%s with %s %#v: %d %s", path, name, empty, r.status, r.text)
				}
			}
		}
		if r := w.must("admin", "GET", "/v1.0/"+path+"?$filter=displayName%20eq%20'new'", "", 200); len(r.body["value"].([]any)) != 0 {
			t.Errorf("something was made: %s", r.text)
		}
		w.must("admin", "POST", "/v1.0/"+path, text(t, whole), 201)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// What a change asks for is done or refused by name; what a client sends back as it read it may pass.
func TestChangesAreDoneOrRefused(t *testing.T) {
	w := newWorld(t)
	guest := w.must("admin", "POST", "/v1.0/invitations", `{"invitedUserEmailAddress":"x@fabrikam.onmicrosoft.com","inviteRedirectUrl":"https://x.example"}`, 201)
	w.id["guest"] = str(guest.body["invitedUser"].(map[string]any)["id"])
	if to := str(guest.body["inviteRedeemUrl"]); !strings.HasSuffix(to, "/redeem?login_hint=x%40fabrikam.onmicrosoft.com") {
		t.Errorf("inviteRedeemUrl %q", to)
	}
	w.id["group"] = str(w.must("admin", "POST", "/v1.0/groups", `{"displayName":"g","mailEnabled":false,"mailNickname":"g","securityEnabled":true}`, 201).body["id"])
	w.id["app"] = str(w.must("admin", "POST", "/v1.0/applications", `{"displayName":"a"}`, 201).body["id"])
	for _, tc := range []struct {
		path, body string
		status     int
	}{
		{"users/{guest}", `{"userType":"Member"}`, 501},
		{"users/{guest}", `{"userType":"Guest"}`, 204},
		{"users/{bob}", `{"userType":"Guest"}`, 501},
		{"users/{bob}", `{"userType":null}`, 501},
		{"users/{bob}", `{"userType":"Member","jobTitle":"x"}`, 204},
		{"users/{bob}", `{"userPrincipalName":null}`, 400},
		{"users/{bob}", `{"userPrincipalName":""}`, 400},
		{"users/{bob}", `{"displayName":null}`, 400},
		{"users/{bob}", `{"accountEnabled":null}`, 400},
		{"users/{bob}", `{"passwordProfile":{"password":""}}`, 400},
		{"users/{bob}", `{"id":"{member}"}`, 400},
		{"users/{bob}", `{"createdDateTime":"2020-01-01T00:00:00Z"}`, 400},
		{"users/{bob}", `{"manager@odata.bind":"x"}`, 400},
		{"groups/{group}", `{"visibility":"Private"}`, 501},
		{"groups/{group}", `{"visibility":null,"mailEnabled":false,"groupTypes":[]}`, 204},
		{"groups/{group}", `{"members@odata.bind":["https://graph.microsoft.com/v1.0/directoryObjects/{bob}"]}`, 400},
		{"groups/{group}", `{"membershipRule":"x"}`, 400},
		{"applications/{app}", `{"parentalControlSettings":{"countriesBlockedForMinors":["DE"],"legalAgeGroupRule":"Allow"}}`, 501},
		{"applications/{app}", `{"parentalControlSettings":{"legalAgeGroupRule":"BlockMinors"}}`, 501},
		{"applications/{app}", `{"parentalControlSettings":{"countriesBlockedForMinors":[],"legalAgeGroupRule":"Allow"}}`, 204},
		{"applications/{app}", `{"web":{"redirectUriSettings":[{"uri":"https://x.example/cb","index":1}]}}`, 501},
		{"applications/{app}", `{"web":{"redirectUris":["https://x.example/cb"],"redirectUriSettings":[]}}`, 204},
		{"applications/{app}", `{"passwordCredentials":[]}`, 400},
		{"servicePrincipals/{none}", `{"accountEnabled":null}`, 400},
		{"servicePrincipals/{none}", `{"displayName":"other"}`, 400},
		{"servicePrincipals/{none}", `{"servicePrincipalNames":["x"]}`, 400},
		{"servicePrincipals/{none}", `{"accountEnabled":true}`, 204},
	} {
		if r := w.as("admin", "PATCH", "/v1.0/"+w.fill(tc.path), tc.body); r.status != tc.status {
			t.Errorf("%s %s: %d %s; want %d", tc.path, tc.body, r.status, r.text, tc.status)
		}
	}
}
