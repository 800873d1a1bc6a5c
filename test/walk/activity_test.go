package walk

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"vitrine/internal/client"
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
	azPath(t)
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
	for range 3 {
		if r := s.az("group", "delete", "-n", "g", "--yes"); !strings.Contains(r.err, "AuthorizationFailed") {
			t.Fatalf("a reader deletes: %+v", r)
		}
	}
	denied := s.activity(tenant.SubscriptionID, " and resourceGroupName eq 'g' and status eq 'Failed'")
	if len(denied.Value) != 1 || denied.Value[0].Caller != reader.ObjectID || denied.Value[0].OperationName.Value != "Microsoft.Resources/subscriptions/resourceGroups/delete" ||
		denied.Value[0].HTTPRequest.Method != "DELETE" || denied.Value[0].SubStatus.Value != "Forbidden" {
		t.Errorf("%+v", denied)
	}
	made := s.activity(tenant.SubscriptionID, " and resourceProvider eq 'Microsoft.Network'")
	if len(made.Value) < 2 || made.Value[0].Caller != tenant.ObjectID || made.Value[len(made.Value)-1].Status.Value != "Started" {
		t.Errorf("%+v", made)
	}
	if some := s.activity(tenant.SubscriptionID, "", "--query", "{value:value[?eventName.value=='EndRequest']}"); len(some.Value) == 0 {
		t.Error("no request ended")
	}
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
