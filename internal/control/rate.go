package control

import (
	"net/http"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control/status"
	"vitrine/internal/control/throttle"
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
	if err := c.throttle.General(h.Set, r.Method, r.Caller.Primary, path.ID.Subscription); err != nil {
		return err
	}
	ns, limit := c.limit(r.Method, path)
	if limit.Name == "" {
		return nil
	}
	return c.throttle.Resource(h.Set, r.Caller.Primary, path.ID.Subscription, ns, limit)
}

// limit finds the provider's limit for what a request asks.
func (c *Control) limit(method string, path arm.Path) (namespace string, l throttle.Limit) {
	id, tail := path.ID, path.Tail
	if n := len(id.Types); n > 1 && strings.EqualFold(id.Types[0], "locations") {
		if status.Family(id.Types[1]) {
			return id.Namespace, polls
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
