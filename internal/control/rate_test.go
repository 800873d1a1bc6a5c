package control_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"vitrine/internal/control"
	"vitrine/internal/control/throttle"
)

// What is left is told with each answer; what is too much is refused with Azure's words, before the body is read.
func TestRates(t *testing.T) {
	h, w, raw := door(t)
	control.Register(w.control, control.Spec[part]{Type: "Vitrine.Test/rated", Put: func(context.Context, *control.Write[part]) error { return nil },
		Rates: map[string]throttle.Limit{"write": {Name: "PutRated", Short: 2, Long: 9}, "list": {Name: "ListRated", Short: 9, Long: 90}}})
	rated := strings.TrimSuffix(widgets, "widgets") + "rated"
	for _, left := range []string{"Vitrine.Test/PutRated3Min;1,Vitrine.Test/PutRated30Min;8", "Vitrine.Test/PutRated3Min;0,Vitrine.Test/PutRated30Min;7"} {
		rec := send(t, h, "PUT", rated+"/r"+version, raw, strings.NewReader("{}"))
		if got := rec.Header().Get("x-ms-ratelimit-remaining-resource"); rec.Code > 201 || got != left {
			t.Errorf("%d %q, want %q: %s", rec.Code, got, left, rec.Body)
		}
	}
	rec := send(t, h, "PUT", rated+"/r"+version, raw, strings.NewReader("{}"))
	if rec.Code != 429 || code(t, rec) != "OperationNotAllowed" || !strings.Contains(rec.Body.String(), "too many requests have been received for this subscription") ||
		!strings.Contains(rec.Body.String(), `"target":"PutRated3Min"`) || rec.Header().Get("Retry-After") != "180" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	rec = send(t, h, "GET", rated+version, raw, nil)
	if got := rec.Header().Get("x-ms-ratelimit-remaining-resource"); rec.Code != 200 || got != "Vitrine.Test/ListRated3Min;8,Vitrine.Test/ListRated30Min;89" {
		t.Errorf("%d %q", rec.Code, got)
	}
	for name, want := range map[string]string{"x-ms-ratelimit-remaining-subscription-reads": "249", "x-ms-ratelimit-remaining-subscription-global-reads": "3749"} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	rec = send(t, h, "GET", "/subscriptions/"+subA+"/providers/Vitrine.Test/locations/eastus/operations/none"+version, raw, nil)
	if got := rec.Header().Get("x-ms-ratelimit-remaining-resource"); got != "Vitrine.Test/GetOperationStatus3Min;4999,Vitrine.Test/GetOperationStatus30Min;14999" {
		t.Error(got)
	}
	for range 1000 { // 10 come back each second
		if rec = send(t, h, "DELETE", widgets+"/none"+version, raw, nil); rec.Code == http.StatusTooManyRequests {
			break
		}
	}
	if rec.Code != 429 || code(t, rec) != "SubscriptionRequestsThrottled" || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	if rec = send(t, h, "GET", widgets+version, raw, nil); rec.Code != 200 {
		t.Errorf("a read after too many deletions: %d", rec.Code)
	}
}
