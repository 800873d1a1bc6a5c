package walk

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// values is what az rest prints of the activity log.
type values struct {
	Value []struct {
		Caller, CorrelationID, EventTimestamp, ResourceGroupName string
		OperationName, Status, SubStatus, EventName              struct{ Value string }
		HTTPRequest                                              struct{ Method, ClientIPAddress string } `json:"httpRequest"`
	}
	NextLink string
}

// activity reads the log with the real az, whose module monitor Debian's builds cannot load.
func (s *server) activity(subscription, filter string, more ...string) values {
	s.t.Helper()
	var v values
	from := "eventTimestamp ge '" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + "'"
	s.azOK(&v, append([]string{"rest", "--method", "get", "--url", "/subscriptions/" + subscription +
		"/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=" + strings.ReplaceAll(url.QueryEscape(from+filter), "+", "%20")}, more...)...)
	return v
}

// TestActivityLog has az write, be denied and read both back; then proves the chain, breaks nothing by a kill, and looks for secrets.
func TestActivityLog(t *testing.T) {
	harness.Az(t)
	s := start(t)
	var tenant client.Tenant
	s.vitrine(&tenant, "tenant", "create", "contoso")
	var reader client.App
	s.vitrine(&reader, "app", "create", "reader", "--tenant", "contoso")
	s.vitrine(nil, "role", "assign", "Reader", "--scope", "/subscriptions/"+tenant.SubscriptionID, "--principal", reader.ObjectID)
	s.azOK(nil, "login", "--service-principal", "-u", tenant.AppID, "-p", tenant.Password, "--tenant", tenant.TenantID)
	s.azOK(nil, "group", "create", "-n", "g", "-l", "eastus")
	s.azOK(nil, "network", "nsg", "create", "-g", "g", "-n", "n")
	s.azOK(nil, "login", "--service-principal", "-u", reader.AppID, "-p", reader.Password, "--tenant", tenant.TenantID)
	var token client.Token
	s.vitrine(&token, "token", "--tenant", "contoso", "--app", reader.AppID)
	if r := s.az("group", "delete", "-n", "g", "--yes"); !strings.Contains(r.err, "AuthorizationFailed") {
		t.Fatalf("a reader deletes: %+v", r)
	}
	for range 20 {
		if a := s.arm(http.MethodDelete, "/subscriptions/"+tenant.SubscriptionID+"/resourcegroups/g", "2024-11-01", "", token.AccessToken); a.status != http.StatusForbidden {
			t.Fatalf("a reader deletes: %d %s", a.status, a.body)
		}
	}
	// What repeats within a minute is one line, and one more with the count when that is over: az may take so long to ask.
	denied := s.activity(tenant.SubscriptionID, " and resourceGroupName eq 'g' and status eq 'Failed'")
	if n := len(denied.Value); n == 0 || n > 4 {
		t.Errorf("%d lines of 21 refusals: %+v", n, denied)
	}
	for _, d := range denied.Value {
		if d.Caller != reader.ObjectID || d.OperationName.Value != "Microsoft.Resources/subscriptions/resourceGroups/delete" || d.HTTPRequest.Method != "DELETE" || d.SubStatus.Value != "Forbidden" {
			t.Errorf("%+v", d)
		}
	}
	made := s.activity(tenant.SubscriptionID, " and resourceProvider eq 'Microsoft.Network'")
	if len(made.Value) < 2 || made.Value[0].Caller != tenant.ObjectID || made.Value[len(made.Value)-1].Status.Value != "Started" {
		t.Errorf("%+v", made)
	}
	if some := s.activity(tenant.SubscriptionID, "", "--query", "{value:value[?eventName.value=='EndRequest']}"); len(some.Value) == 0 {
		t.Error("no request ended")
	}
	s.deploymentInTheLog(tenant)
	s.proved(3)
	s.kill()
	s.run()
	s.proved(3)
	for _, secret := range []string{tenant.Password, reader.Password} {
		if log := s.exec(nil, s.bin, "--data", s.data, "audit", "export"); log.code != 0 || strings.Contains(log.out, secret) {
			t.Error("the export failed, or a secret is in it")
		}
	}
	if raw, err := os.ReadFile(s.log.Name()); err != nil || strings.Contains(string(raw), "activity log:") {
		t.Errorf("the server complains of its log: %v", err)
	}
}

// deploymentInTheLog finds what a deployment and the deletion of its group did by their correlation IDs, and narrows it down.
func (s *server) deploymentInTheLog(tenant client.Tenant) {
	s.t.Helper()
	s.azOK(nil, "login", "--service-principal", "-u", tenant.AppID, "-p", tenant.Password, "--tenant", tenant.TenantID)
	file := filepath.Join(s.t.TempDir(), "template.json")
	template := `{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[` +
		`{"type":"Microsoft.Network/networkSecurityGroups","apiVersion":"2021-02-01","name":"by-template","location":"eastus"}]}`
	if err := os.WriteFile(file, []byte(template), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var d struct {
		Properties struct{ CorrelationID string }
	}
	s.azOK(&d, "deployment", "group", "create", "-g", "g", "-n", "d", "--template-file", file)
	nsg := "/subscriptions/" + tenant.SubscriptionID + "/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/by-template"
	of := " and correlationId eq '" + d.Properties.CorrelationID + "'"
	s.counts(tenant.SubscriptionID, map[string][]string{
		of:                                      {"Microsoft.Resources/deployments/write", "Microsoft.Network/networkSecurityGroups/write"},
		of + " and status eq 'Succeeded'":       {"Microsoft.Resources/deployments/write", "Microsoft.Network/networkSecurityGroups/write"},
		of + " and resourceId eq '" + nsg + "'": {"Microsoft.Network/networkSecurityGroups/write"},
		of + " and resourceGroupName eq 'g' and status eq 'Failed'": nil,
		of + " and resourceGroupName eq 'elsewhere'":                nil,
		of + " and caller eq '" + tenant.ObjectID + "'":             {"Microsoft.Resources/deployments/write", "Microsoft.Network/networkSecurityGroups/write"},
		of + " and caller eq 'somebody'":                            nil,
	})
	s.azOK(nil, "group", "delete", "-n", "g", "--yes")
	gone := s.activity(tenant.SubscriptionID, " and resourceId eq '"+nsg+"'")
	if len(gone.Value) == 0 || gone.Value[0].OperationName.Value != "Microsoft.Network/networkSecurityGroups/delete" {
		s.t.Fatalf("%+v", gone)
	}
	s.counts(tenant.SubscriptionID, map[string][]string{" and correlationId eq '" + gone.Value[0].CorrelationID + "' and status eq 'Succeeded'": {
		"Microsoft.Resources/subscriptions/resourceGroups/delete", "Microsoft.Network/networkSecurityGroups/delete", "Microsoft.Resources/deployments/delete"}})
}

// counts wants the lines of each filter to be of these operations.
func (s *server) counts(subscription string, filters map[string][]string) {
	s.t.Helper()
	for filter, want := range filters {
		seen := map[string]bool{}
		for _, v := range s.activity(subscription, filter).Value {
			seen[v.OperationName.Value] = true
		}
		if len(seen) != len(want) {
			s.t.Errorf("%s: %v, want %v", filter, seen, want)
		}
		for _, name := range want {
			if !seen[name] {
				s.t.Errorf("%s: %v, want %v", filter, seen, want)
			}
		}
	}
}

// proved waits until everything is sealed, and verifies that there is at least so much.
func (s *server) proved(events int64) {
	s.t.Helper()
	s.await("every event to be sealed", time.Minute, func() bool {
		var all []client.AuditReport
		if err := s.operator().Do(context.Background(), "/v1/audit/verify", client.AuditVerify{}, &all); err != nil {
			s.t.Fatal(err)
		}
		unsealed, sealed := int64(0), int64(0)
		for _, r := range all {
			if r.Broken != "" {
				s.t.Fatal(r.Broken)
			}
			unsealed, sealed = unsealed+r.Unsealed, sealed+r.Events
		}
		return unsealed == 0 && sealed >= events
	})
}
