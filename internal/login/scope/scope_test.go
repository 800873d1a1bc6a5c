package scope_test

import (
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/login/scope"
)

func TestParse(t *testing.T) {
	const arm = "https://management.azure.com"
	for _, tc := range []struct {
		name             string
		version          int
		resource, scopes string
		of, words        string
		openid, offline  bool
		whole            bool
	}{
		{"version 1", 1, arm + "/", "", arm + "/", arm + "//.default", true, true, true},
		{"version 1 without a resource", 1, "", "", scope.Graph, scope.Graph + "/.default", true, true, true},
		{"az", 2, "", "https://management.core.windows.net//.default offline_access openid profile", "https://management.core.windows.net/", "https://management.core.windows.net//.default offline_access openid profile", true, true, true},
		{"one of Graph's", 2, "", "User.Read", scope.Graph, "User.Read", false, false, false},
		{"OpenID alone, in capitals", 2, "", "OPENID", scope.Graph, scope.Graph + "/.default openid", true, false, true},
		{"two of one resource", 2, "", arm + "/a HTTPS://management.azure.com/b", "HTTPS://management.azure.com", arm + "/a HTTPS://management.azure.com/b", false, false, false},
	} {
		a, err := scope.Parse(tc.version, tc.resource, tc.scopes)
		if err != nil || a.Resource != tc.of || a.OpenID != tc.openid || a.Offline != tc.offline || a.Whole() != tc.whole || a.Words() != tc.words {
			t.Errorf("%s: %+v, words %q, whole %v, %v", tc.name, a, a.Words(), a.Whole(), err)
		}
	}
	if _, err := scope.Parse(2, "", arm+"/.default User.Read"); err == nil {
		t.Error("scopes of two resources")
	}
}

func TestGrantedRepeatsWhatWasAsked(t *testing.T) {
	a, err := scope.Parse(2, "", "https://management.azure.com/.default openid offline_access")
	if err != nil {
		t.Fatal(err)
	}
	want := "https://management.azure.com/user_impersonation https://management.azure.com/.default openid"
	if got := a.Granted("user_impersonation"); got != want {
		t.Errorf("%q", got)
	}
	if got := a.Rights(directory.Application{AppID: directory.AzureCLI}); len(got) != 1 || got[0] != scope.Impersonation {
		t.Error(got)
	}
}
