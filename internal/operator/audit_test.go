package operator_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"vitrine/internal/audit"
	"vitrine/internal/client"
	"vitrine/internal/operator"
	"vitrine/internal/seal"
)

func TestActsAreInTheActivityLog(t *testing.T) {
	w := newWorld(t, func(c *operator.Config) {
		sealer, err := seal.New(make([]byte, seal.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		c.Audit = audit.New(audit.Config{Store: c.Store, Sealer: sealer, Owner: "test"})
	})
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "a"})
	app := do[client.App](w, "/v1/applications", client.AppRequest{Name: "x", Tenant: "a"})
	w.refused(404, "TenantNotFound", "/v1/applications", client.AppRequest{Name: "x", Tenant: "none"})
	var lines []string
	for _, e := range do[[]client.AuditEvent](w, "/v1/audit/list", client.AuditQuery{Tenant: "installation"}) {
		lines = append(lines, strings.TrimSpace(e.Action+" "+e.Status+" "+e.Code))
	}
	want := []string{"Vitrine.Operator/app/create/action Failed TenantNotFound", "Vitrine.Operator/app/create/action Started",
		"Vitrine.Operator/app/create/action Succeeded", "Vitrine.Operator/app/create/action Started",
		"Vitrine.Operator/tenant/create/action Succeeded", "Vitrine.Operator/tenant/create/action Started"}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
	own := do[[]client.AuditEvent](w, "/v1/audit/list", client.AuditQuery{Tenant: "a", Limit: 1})
	if len(own) != 1 || own[0].Resource != app.ObjectID || !strings.HasPrefix(own[0].Caller, "uid:") {
		t.Errorf("the tenant's own log: %+v", own)
	}
	var out bytes.Buffer
	if err := w.client.AuditExport(t.Context(), &out, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 9 { // the export is told before it is made
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	for _, secret := range []string{a.Password, app.Password} {
		if strings.Contains(out.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
	reports := do[[]client.AuditReport](w, "/v1/audit/verify", client.AuditVerify{})
	if len(reports) != 2 || reports[0].Broken+reports[1].Broken != "" || reports[0].Unsealed+reports[1].Unsealed != 9 {
		t.Errorf("%+v", reports)
	}
	w.refused(400, "InvalidParameter", "/v1/audit/verify", client.AuditVerify{Sequence: 1, Hash: "00"})
	w.refused(404, "TenantNotFound", "/v1/audit/list", client.AuditQuery{Tenant: "none"})
}
