// Package audit measures what the activity log costs a write.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
)

const (
	tenant = "11111111-0000-4000-8000-000000000001"
	sub    = "aaaaaaaa-0000-4000-8000-00000000000a"
	group  = "/subscriptions/" + sub + "/resourceGroups/g"
	owner  = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

	rounds = 7
	puts   = 400 // in a round
)

type widget struct {
	Note string `json:"note"`
}

// server is a control plane on SQLite, with the log or without.
func server(b *testing.B, dir string, recording bool) func(n int) {
	d, err := sqlstore.OpenSQLite(filepath.Join(dir, "db"))
	if err != nil {
		b.Fatal(err)
	}
	s := store.New(d)
	b.Cleanup(func() { _ = s.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	cfg := control.Config{Store: s, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if recording {
		cfg.Audit = audit.New(audit.Config{Store: s, Sealer: sealer, Owner: "bench"})
	}
	c := control.New(cfg)
	control.Register(c, control.Spec[widget]{Type: "Vitrine.Test/widgets", Put: func(context.Context, *control.Write[widget]) error { return nil }})
	populate(b, s)
	caller := authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: "33333333-0000-4000-8000-000000000003",
		AppID: "44444444-0000-4000-8000-000000000004", Name: "bench", Kind: authn.ServicePrincipal, TokenID: "uti"}}
	return func(n int) {
		_, err := c.Do(b.Context(), control.Request{Method: http.MethodPut, Path: fmt.Sprintf("%s/providers/Vitrine.Test/widgets/w%d", group, n),
			Query: url.Values{"api-version": {"2022-01-01"}}, Header: http.Header{}, Body: []byte(`{"properties":{"note":"n"}}`), Caller: caller,
			Peer: "192.0.2.7:4711", Base: "https://management.azure.com"})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func populate(b *testing.B, s *store.Store) {
	scope := "/subscriptions/" + sub
	a := rbac.Assignment{Principal: "33333333-0000-4000-8000-000000000003", Scope: scope, Definition: owner}
	err := s.Update(b.Context(), func(tx store.Tx) error {
		if err := control.WriteSubscription(tx, control.Subscription{ID: sub, Tenant: tenant, State: "Enabled"}); err != nil {
			return err
		}
		for _, d := range []store.Document{
			{Key: arm.ID{Subscription: sub, ResourceGroup: "g"}.Key(), Kind: control.GroupKind, Body: []byte(`{"properties":{"provisioningState":"Succeeded"}}`)},
			{Key: scope + "/providers/microsoft.authorization/roleassignments/1", Kind: rbac.AssignmentKind, Terms: a.Terms(),
				Body: fmt.Appendf(nil, `{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, owner, a.Principal, scope)},
		} {
			if _, err := tx.Put(d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRecording compares a PUT with and without the log: rounds of both take turns, so that a busy machine slows both; the ratio
// is the median of the rounds' ratios.
func BenchmarkRecording(b *testing.B) {
	for name, dir := range map[string]string{"disk": b.TempDir(), "ram": ram(b)} {
		b.Run(name, func(b *testing.B) {
			if dir == "" {
				b.Skip("there is no RAM disk at /dev/shm")
			}
			var doers [2]func(int)
			for i := range doers {
				sub := filepath.Join(dir, fmt.Sprint(i, b.N))
				if err := os.MkdirAll(sub, 0o700); err != nil {
					b.Fatal(err)
				}
				doers[i] = server(b, sub, i == 1)
			}
			var ratios, without, with []float64
			for r := range rounds {
				var took [2]time.Duration
				for n := range puts { // one of each by turns
					for i, do := range doers {
						began := time.Now()
						do(r*puts + n)
						took[i] += time.Since(began)
					}
				}
				without, with = append(without, us(took[0])), append(with, us(took[1]))
				ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(without), "us/PUT-without")
			b.ReportMetric(median(with), "us/PUT-recorded")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

func us(d time.Duration) float64 { return d.Seconds() * 1e6 / puts }

func median(of []float64) float64 { s := slices.Sorted(slices.Values(of)); return s[len(s)/2] }

func ram(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "vitrine-bench-")
	if err != nil {
		return ""
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
