package operator_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"vitrine/internal/client"
	"vitrine/internal/operator"
)

// keeper is an image store that only says what it was asked.
type keeper struct {
	operator.Images
	asked string
}

func (k *keeper) Usage(_ context.Context, tenant string) (client.ImageBytes, error) {
	k.asked = tenant
	return client.ImageBytes{}, nil
}

func (k *keeper) Shred(_ context.Context, tenant string, force bool) (client.ShreddedTenant, error) {
	k.asked = fmt.Sprint(tenant, force)
	return client.ShreddedTenant{TenantID: tenant}, nil
}

func (k *keeper) Metrics(context.Context) ([]operator.Metric, error) {
	return []operator.Metric{{Name: "a_total", Help: "Counted.", Counter: true, Value: 12345678901}, {Name: "b", Help: "Now.", Value: 0.5}}, nil
}

// Monitoring reads numbers in Prometheus' form, through the socket.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.refused(501, "NotImplemented", "/v1/metrics", nil)
	w = newWorld(t, func(c *operator.Config) { c.Images = &keeper{} })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}
	h := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := h.Get("http://operator/v1/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	const want = "# HELP a_total Counted.\n# TYPE a_total counter\na_total 12345678901\n# HELP b Now.\n# TYPE b gauge\nb 0.5\n"
	if err != nil || string(raw) != want || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%v\n%s", err, raw)
	}
}

func TestTenantsOfImages(t *testing.T) {
	k := &keeper{}
	w := newWorld(t, func(c *operator.Config) { c.Images = k })
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "contoso"})
	for _, path := range []string{"/v1/images/usage", "/v1/keys", "/v1/keys/rotate", "/v1/keys/shred"} {
		w.refused(404, "TenantNotFound", path, client.TenantQuery{Tenant: "nobody"})
	}
	w.refused(404, "TenantNotFound", "/v1/keys/shred", client.ShredRequest{})
	w.refused(400, "InvalidParameter", "/v1/images/plan", client.CollectRequest{Grace: -1})
	do[client.ImageBytes](w, "/v1/images/usage", client.TenantQuery{Tenant: "contoso"})
	if k.asked != a.TenantID {
		t.Errorf("asked for %q", k.asked)
	}
	do[client.ShreddedTenant](w, "/v1/keys/shred", client.ShredRequest{Tenant: "contoso", Force: true})
	if k.asked != a.TenantID+"true" || !strings.Contains(w.log.String(), "key shred") {
		t.Errorf("asked for %q", k.asked)
	}
}
