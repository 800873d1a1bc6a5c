package control

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control/throttle"
)

// Resource Manager's buckets per principal and subscription, and their fifteen-fold per principal alone (gallery.md 18).
const (
	readTokens, readsPerSecond   = 250, 25
	writeTokens, writesPerSecond = 200, 10
	globalTokens                 = 15
)

// polls is the limit of the status of operations, whichever provider's.
var polls = throttle.Limit{Name: "GetOperationStatus", Short: 5000, Long: 15000}

// meter counts a request, tells in the answer's headers what is left, and refuses what is too much. Only requests from outside are
// counted: what an operation asks for was allowed with it.
func (c *Control) meter(h http.Header, r Request) error {
	if c.throttle == nil {
		return nil
	}
	path, err := arm.ParsePath(r.Path)
	if err != nil {
		return nil // Do says what is wrong
	}
	if err := c.general(h, r, path); err != nil {
		return err
	}
	ns, limit := c.limit(r.Method, path)
	if limit.Name == "" {
		return nil
	}
	// by tenant too: who names another's subscription uses up nothing of that one's
	key := strings.ToLower(r.Caller.Primary.TenantID + "/" + path.ID.Subscription + "/" + ns + "/" + limit.Name)
	short, long, wait, window := c.throttle.Take(key, limit)
	h.Set("x-ms-ratelimit-remaining-resource", fmt.Sprintf("%[1]s/%[2]s3Min;%[3]d,%[1]s/%[2]s30Min;%[4]d", ns, limit.Name, short, long))
	if wait == 0 {
		return nil
	}
	e := tooMany(arm.Errorf(429, "OperationNotAllowed", "The server rejected the request because too many requests have been received for this subscription."), wait)
	detail := arm.Errorf(429, "TooManyRequests", "The limit '%s' of subscription '%s' is used up. Retry after %s seconds.", window, path.ID.Subscription, e.Header["Retry-After"]).At(window)
	e.Details = []*arm.Error{detail}
	return e
}

// general is Resource Manager's own limit.
func (c *Control) general(h http.Header, r Request, path arm.Path) error {
	kind, size, rate := "writes", writeTokens, writesPerSecond
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		kind, size, rate = "reads", readTokens, readsPerSecond
	case http.MethodDelete:
		kind = "deletes"
	}
	who := strings.ToLower(r.Caller.Primary.TenantID + "/" + r.Caller.Primary.ObjectID + "/" + kind)
	scope := "tenant"
	all, wait := c.throttle.Draw(who, size*globalTokens, rate*globalTokens)
	if path.ID.Subscription != "" {
		scope = "subscription"
		left, waitHere := c.throttle.Draw(who+"/"+strings.ToLower(path.ID.Subscription), size, rate)
		h.Set("x-ms-ratelimit-remaining-subscription-"+kind, strconv.Itoa(left))
		h.Set("x-ms-ratelimit-remaining-subscription-global-"+kind, strconv.Itoa(all))
		wait = max(wait, waitHere)
	} else {
		h.Set("x-ms-ratelimit-remaining-tenant-"+kind, strconv.Itoa(all))
	}
	if wait == 0 {
		return nil
	}
	return tooMany(arm.Errorf(429, "SubscriptionRequestsThrottled", "Number of '%s' requests of the client '%s' for %s '%s' exceeded the limit. Please try again later.",
		kind, r.Caller.Primary.Client(), scope, cmp.Or(path.ID.Subscription, r.Caller.Primary.TenantID)), wait)
}

func tooMany(e *arm.Error, wait time.Duration) *arm.Error {
	e.Header = map[string]string{"Retry-After": strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))}
	return e
}

// limit finds the provider's limit for what a request asks.
func (c *Control) limit(method string, path arm.Path) (namespace string, l throttle.Limit) {
	id, tail := path.ID, path.Tail
	if n := len(id.Types); n > 1 && strings.EqualFold(id.Types[0], "locations") {
		for _, family := range families {
			if strings.EqualFold(id.Types[1], family) {
				return id.Namespace, polls
			}
		}
	}
	verb, typ := "", id.Type()
	switch {
	case method == http.MethodGet && tail != "":
		verb, typ = "list", typ+"/"+tail
	case method == http.MethodPost:
		verb = strings.ToLower(tail)
	case method == http.MethodGet || method == http.MethodHead:
		verb = "read"
	case method == http.MethodDelete:
		verb = "delete"
	default:
		verb = "write"
	}
	k, ok := c.types[Kind(typ)]
	if !ok {
		return "", l
	}
	a := k.about()
	namespace, _, _ = strings.Cut(a.Type, "/")
	return namespace, a.Rates[verb]
}
