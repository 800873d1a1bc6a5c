package insights_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/insights"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/store/sqlstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant  = "11111111-0000-4000-8000-000000000001"
	other   = "22222222-0000-4000-8000-000000000002"
	sub     = "aaaaaaaa-0000-4000-8000-00000000000a"
	group   = "/subscriptions/" + sub + "/resourceGroups/g"
	widgets = group + "/providers/Vitrine.Test/widgets"
	engines = group + "/providers/Vitrine.Test/engines"
	log     = "/providers/Microsoft.Insights/eventtypes/management/values"
	secret  = "correct-horse-battery"
)

type widget struct {
	Secret  string          `json:"secret" arm:"secret"`
	Unknown armjson.Unknown `json:"-"`
}

type engine struct {
	arm.Provisioning
	Fail    bool            `json:"fail"`
	Unknown armjson.Unknown `json:"-"`
}

type world struct {
	testing.TB
	store   *store.Store
	audit   *audit.Log
	control *control.Control
	now     func() time.Time
}

func newWorld(t testing.TB, d store.Driver, recording bool) *world {
	t.Helper()
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, store: store.New(d), now: time.Now}
	w.audit = audit.New(audit.Config{Store: w.store, Sealer: sealer, Owner: "test"})
	c := control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: func() time.Time { return w.now() }, Log: slog.New(slog.DiscardHandler)}
	if recording {
		c.Audit = w.audit
	}
	w.control = control.New(c)
	control.Register(w.control, control.Spec[widget]{Type: "Vitrine.Test/widgets", Versions: []arm.Version{"2022-01-01"},
		Put:    func(context.Context, *control.Write[widget]) error { return nil },
		Delete: func(context.Context, *control.Write[widget]) error { return nil },
		Actions: []control.Action[widget]{{Name: "shine", Do: func(context.Context, *control.Act[widget]) error { return nil }},
			{Name: "break", Do: func(context.Context, *control.Act[widget]) error {
				return arm.Errorf(409, "Broken", "It says %s.", secret)
			}}}})
	control.Register(w.control, control.Spec[engine]{Type: "Vitrine.Test/engines", Versions: []arm.Version{"2022-01-01"},
		Put: func(_ context.Context, x *control.Write[engine]) error {
			return x.Begin("engine", x.New.Properties.Fail)
		}})
	insights.Register(w.control)
	t.Cleanup(func() { _ = w.store.Close() })
	err = w.store.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: strings.ToLower(group), Kind: control.GroupKind, Body: []byte(`{"properties":{"provisioningState":"Succeeded"}}`)})
		return errors.Join(err, control.WriteSubscription(tx, control.Subscription{ID: sub, Tenant: tenant, State: "Enabled"}),
			grant(tx, "owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"), grant(tx, "reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func grant(tx store.Tx, principal, role string) error {
	scope := "/subscriptions/" + sub
	a := rbac.Assignment{Principal: principal, Scope: scope}
	raw := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, role, principal, scope)
	_, err := tx.Put(store.Document{Key: scope + "/providers/microsoft.authorization/roleassignments/" + principal, Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: []byte(raw)})
	return err
}

func (w *world) do(who, method, path string, q url.Values, body string) (*control.Response, error) {
	if q == nil {
		q = url.Values{}
	}
	q.Set("api-version", "2022-01-01")
	of := tenant
	if who == "stranger" {
		of = other
	}
	return w.control.Do(w.Context(), control.Request{Method: method, Path: path, Query: q, Body: []byte(body), Peer: "192.0.2.7:4711", Base: "https://management.azure.com",
		Header: http.Header{"X-Ms-Client-Request-Id": {"client-" + who}, "X-Ms-Correlation-Request-Id": {"correlation-" + method}, "Authorization": {"Bearer " + secret}},
		Caller: authn.Caller{Primary: authn.Principal{TenantID: of, ObjectID: who, AppID: "app-" + who, Name: who, Kind: authn.ServicePrincipal}}})
}

func (w *world) must(who, method, path, body string) {
	w.Helper()
	if _, err := w.do(who, method, path, nil, body); err != nil {
		w.Fatal(err)
	}
}

type page struct {
	Value []map[string]any
	Next  string `json:"nextLink"`
}

func (w *world) page(q url.Values) page {
	w.Helper()
	answer, err := w.do("reader", "GET", "/subscriptions/"+sub+log, q, "")
	if err != nil {
		w.Fatal(err)
	}
	var p page
	if err := json.Unmarshal(answer.Body, &p); err != nil {
		w.Fatal(err)
	}
	return p
}

const since = "eventTimestamp ge '2026-10-01T00:00:00Z'"

// lines are the events that a filter selects, in short: "operation status subStatus", newest first.
func (w *world) lines(filter string) (lines []string) {
	w.Helper()
	from := "eventTimestamp ge '" + w.now().Add(-time.Hour).UTC().Format(time.RFC3339) + "'"
	for _, v := range w.page(url.Values{"$filter": {from + filter}}).Value {
		value := func(name string) string { s, _ := v[name].(map[string]any)["value"].(string); return s }
		lines = append(lines, strings.TrimSpace(value("operationName")+" "+value("status")+" "+value("subStatus")))
	}
	return lines
}

func (w *world) want(filter string, want ...string) {
	w.Helper()
	if got := w.lines(filter); strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.Errorf("%s:\n%s\nwant\n%s", filter, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t, memstore.Open(), true)
	w.must("owner", "PUT", widgets+"/w", `{"properties":{"secret":"`+secret+`"}}`)
	w.must("owner", "POST", widgets+"/w/shine", "")
	if _, err := w.do("owner", "POST", widgets+"/w/break", nil, ""); err == nil {
		t.Error("not broken")
	}
	if _, err := w.do("owner", "PUT", widgets+"/bad", nil, `{"properties":{"secret":`+secret); err == nil {
		t.Error("not refused")
	}
	for range 50 {
		if _, err := w.do("reader", "PUT", widgets+"/w", url.Values{"sig": {secret}}, "{}"); err == nil {
			t.Error("a reader writes")
		}
		if _, err := w.do("nobody", "GET", widgets+"/w", nil, ""); err == nil {
			t.Error("nobody reads")
		}
	}
	if _, err := w.do("stranger", "DELETE", widgets+"/w", nil, ""); err == nil {
		t.Error("a stranger deletes")
	}
	w.must("owner", "DELETE", widgets+"/w", "")
	w.want("",
		"Vitrine.Test/widgets/delete Succeeded OK", "Vitrine.Test/widgets/delete Started",
		"Vitrine.Test/widgets/read Failed Forbidden",
		"Vitrine.Test/widgets/write Failed Forbidden",
		"Vitrine.Test/widgets/write Failed BadRequest", "Vitrine.Test/widgets/write Started",
		"Vitrine.Test/widgets/break/action Failed Conflict", "Vitrine.Test/widgets/break/action Started",
		"Vitrine.Test/widgets/shine/action Succeeded OK", "Vitrine.Test/widgets/shine/action Started",
		"Vitrine.Test/widgets/write Succeeded Created", "Vitrine.Test/widgets/write Started")
	w.want(" and caller eq 'nobody'", "Vitrine.Test/widgets/read Failed Forbidden")
	w.want(" and status eq 'Succeeded' and resourceUri eq '"+strings.ToUpper(widgets)+"/w' and correlationId eq 'correlation-POST'", "Vitrine.Test/widgets/shine/action Succeeded OK")
	w.want(" and resourceGroupName eq 'other'")
	w.want(" and resourceProvider eq vitrine.test and correlationId eq 'correlation-DELETE' and eventChannels eq 'Admin, Operation'",
		"Vitrine.Test/widgets/delete Succeeded OK", "Vitrine.Test/widgets/delete Started")
	var out bytes.Buffer
	for _, of := range []string{tenant, other} {
		if err := w.audit.Export(t.Context(), &out, of, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(out.String(), secret) {
		t.Errorf("a secret is in the log: %s", out.String())
	}
	if !strings.Contains(out.String(), `"tenant":"`+other+`"`) {
		t.Error("the stranger is not in the log of its own tenant")
	}
}

func TestForm(t *testing.T) {
	w := newWorld(t, memstore.Open(), true)
	w.must("owner", "PUT", widgets+"/w", `{}`)
	v := w.page(url.Values{"$filter": {since}}).Value[0]
	raw, _ := json.Marshal(v)
	for _, want := range []string{`"authorization":{"action":"Vitrine.Test/widgets/write","scope":"` + widgets + `/w"}`, `"caller":"owner"`, `"channels":"Operation"`,
		`"appid":"app-owner"`, `"correlationId":"correlation-PUT"`, `"eventName":{"localizedValue":"End request","value":"EndRequest"}`,
		`"category":{"localizedValue":"Administrative","value":"Administrative"}`, `"clientIpAddress":"192.0.2.7"`, `"clientRequestId":"client-owner"`, `"method":"PUT"`,
		`"uri":"https://management.azure.com` + widgets + `/w?api-version=2022-01-01"`, `"level":"Informational"`, `"resourceGroupName":"g"`,
		`"resourceProviderName":{"localizedValue":"Vitrine.Test","value":"Vitrine.Test"}`, `"subscriptionId":"` + sub + `"`, `"tenantId":"` + tenant + `"`, `/ticks/`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s\nis not in %s", want, raw)
		}
	}
	chosen := w.page(url.Values{"$filter": {since}, "$select": {"eventName, Status"}}).Value[0]
	if len(chosen) != 2 || chosen["eventName"] == nil || chosen["status"] == nil {
		t.Errorf("%v", chosen)
	}
}

func TestLongRunning(t *testing.T) {
	w := newWorld(t, memstore.Open(), true)
	runner := operation.New(w.store, "test", map[string]operation.Work{"engine": {
		Steps: func(_ context.Context, r *operation.Run) []operation.Step {
			return []operation.Step{{Name: "one", Do: func() error {
				if string(r.Input) == "true" {
					return arm.Errorf(409, "Stuck", "It is stuck.")
				}
				return nil
			}}}
		}}}, slog.New(slog.DiscardHandler))
	runner.Ended = w.control.Ended
	for _, body := range []string{`{}`, `{"properties":{"fail":true}}`} {
		name := "/e" + fmt.Sprint(len(body))
		w.must("owner", "PUT", engines+name, body)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); runner.Run(ctx, 1) }()
		revision := int64(0)
		for len(w.lines(" and resourceUri eq '"+engines+name+"'")) < 3 {
			if err := w.store.View(ctx, func(tx store.Tx) (err error) { revision, err = tx.Revision(); return err }); err != nil {
				t.Fatal(err)
			}
			wait, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			_ = w.store.Wait(wait, revision)
			stop()
		}
		cancel()
		<-done
	}
	w.want(" and correlationId eq 'correlation-PUT'",
		"Vitrine.Test/engines/write Failed", "Vitrine.Test/engines/write Accepted Created", "Vitrine.Test/engines/write Started",
		"Vitrine.Test/engines/write Succeeded", "Vitrine.Test/engines/write Accepted Created", "Vitrine.Test/engines/write Started")
}

func TestPages(t *testing.T) {
	w := newWorld(t, memstore.Open(), true)
	for n := range 450 {
		w.must("owner", "PUT", fmt.Sprintf("%s/w%d", widgets, n), `{}`)
	}
	q, seen, pages := url.Values{"$filter": {since}}, map[any]bool{}, 0
	for {
		p := w.page(q)
		pages++
		for _, v := range p.Value {
			seen[v["eventDataId"]] = true
		}
		if p.Next == "" {
			break
		}
		next, err := url.Parse(p.Next)
		if err != nil || next.Path != "/subscriptions/"+sub+log {
			t.Fatalf("%s: %v", p.Next, err)
		}
		q = next.Query()
	}
	if len(seen) != 900 || pages != 3 {
		t.Errorf("%d lines on %d pages", len(seen), pages)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, memstore.Open(), true)
	for name, c := range map[string]struct {
		who, path, filter, token string
		status                   int
		code                     string
	}{
		"no filter":            {"reader", "", "", "", 400, "BadRequest"},
		"no beginning":         {"reader", "", "status eq 'Failed'", "", 400, "BadRequest"},
		"no time":              {"reader", "", "eventTimestamp ge 'yesterday'", "", 400, "BadRequest"},
		"backwards":            {"reader", "", since + " and eventTimestamp le '2025-01-01T00:00:00Z'", "", 400, "BadRequest"},
		"too far back":         {"reader", "", "eventTimestamp ge '2020-01-01T00:00:00Z'", "", 400, "BadRequest"},
		"unknown member":       {"reader", "", since + " and colour eq 'red'", "", 400, "BadRequest"},
		"or":                   {"reader", "", since + " or status eq 'Failed'", "", 400, "BadRequest"},
		"dangling and":         {"reader", "", since + " and ", "", 400, "BadRequest"},
		"twice":                {"reader", "", since + " and " + since, "", 400, "BadRequest"},
		"a made up token":      {"reader", "", since, "YXVkaXQva2V5", 400, "BadRequest"},
		"no right":             {"nobody", "", since, "", 403, "AuthorizationFailed"},
		"no right at the root": {"owner", "tenant", since, "", 403, "AuthorizationFailed"},
		"another tenant":       {"stranger", "", since, "", 401, "InvalidAuthenticationTokenTenant"},
	} {
		t.Run(name, func(t *testing.T) {
			path := "/subscriptions/" + sub + log
			if c.path != "" {
				path = log
			}
			_, err := w.do(c.who, "GET", path, url.Values{"$filter": {c.filter}, "$skipToken": {c.token}}, "")
			if e, ok := errors.AsType[*arm.Error](err); !ok || e.Status != c.status || e.Code != c.code {
				t.Errorf("%v; want %d %s", err, c.status, c.code)
			}
		})
	}
}

// BenchmarkPut is what recording costs a write: compare with/recorded and without.
func BenchmarkPut(b *testing.B) {
	for _, recording := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "recorded"}[recording], func(b *testing.B) {
			d, err := sqlstore.OpenSQLite(filepath.Join(b.TempDir(), "db"))
			if err != nil {
				b.Fatal(err)
			}
			w := newWorld(b, d, recording)
			n := 0
			for b.Loop() {
				n++
				w.must("owner", "PUT", fmt.Sprintf("%s/w%d", widgets, n), `{"properties":{"secret":"s"}}`)
			}
		})
	}
}
