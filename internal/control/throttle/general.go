package throttle

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
)

// Resource Manager's buckets per principal and subscription, and their fifteen-fold per principal alone (gallery.md 18).
const (
	readTokens, readsPerSecond   = 250, 25
	writeTokens, writesPerSecond = 200, 10
	globalTokens                 = 15
)

// General counts a request against Resource Manager's own limits, tells by set what is left, and refuses what is too much.
func (m *Meter) General(set func(header, value string), method string, p authn.Principal, subscription string) error {
	kind, size, rate := "writes", writeTokens, writesPerSecond
	switch method {
	case "GET", "HEAD":
		kind, size, rate = "reads", readTokens, readsPerSecond
	case "DELETE":
		kind = "deletes"
	}
	who := strings.ToLower(p.TenantID + "/" + p.ObjectID + "/" + kind)
	scope := "tenant"
	all, wait := m.Draw(who, size*globalTokens, rate*globalTokens)
	if subscription != "" {
		scope = "subscription"
		left, waitHere := m.Draw(who+"/"+strings.ToLower(subscription), size, rate)
		set("x-ms-ratelimit-remaining-subscription-"+kind, strconv.Itoa(left))
		set("x-ms-ratelimit-remaining-subscription-global-"+kind, strconv.Itoa(all))
		wait = max(wait, waitHere)
	} else {
		set("x-ms-ratelimit-remaining-tenant-"+kind, strconv.Itoa(all))
	}
	if wait == 0 {
		return nil
	}
	return after(arm.Errorf(429, "SubscriptionRequestsThrottled", "Number of '%s' requests of the client '%s' for %s '%s' exceeded the limit. Please try again later.",
		kind, p.Client(), scope, cmp.Or(subscription, p.TenantID)), wait)
}

// Resource counts a request against a provider's own windows. By tenant too: who names another's subscription uses up nothing of
// that one's.
func (m *Meter) Resource(set func(header, value string), p authn.Principal, subscription, namespace string, l Limit) error {
	key := strings.ToLower(p.TenantID + "/" + subscription + "/" + namespace + "/" + l.Name)
	short, long, wait, window := m.Take(key, l)
	set("x-ms-ratelimit-remaining-resource", fmt.Sprintf("%[1]s/%[2]s3Min;%[3]d,%[1]s/%[2]s30Min;%[4]d", namespace, l.Name, short, long))
	if wait == 0 {
		return nil
	}
	e := after(arm.Errorf(429, "OperationNotAllowed", "The server rejected the request because too many requests have been received for this subscription."), wait)
	e.Details = []*arm.Error{arm.Errorf(429, "TooManyRequests", "The limit '%s' of subscription '%s' is used up. Retry after %s seconds.",
		window, subscription, e.Header["Retry-After"]).At(window)}
	return e
}

func after(e *arm.Error, wait time.Duration) *arm.Error {
	e.Header = map[string]string{"Retry-After": strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))}
	return e
}
