package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control/status"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// follow adds the headers by which a client follows an operation. Retry-After is always 1: newer clients of Azure take 0
// for absent and then wait 30 seconds.
func (k *kind[T]) follow(p *pass, answer *Response, w *Write[T], location bool) {
	answer.Header.Set("Retry-After", "1")
	if k.Async.Family == "" { // resource groups: Location only
		answer.Header.Set("Location", p.Base+"/subscriptions/"+p.id.Subscription+"/operationresults/"+w.op.ID+"?api-version="+string(p.version))
		return
	}
	region := w.Location
	for _, r := range []*Resource[T]{w.New, w.Old} {
		if region == "" && r != nil {
			region = cmp.Or(r.Written, r.Location)
		}
	}
	target := p.Base + "/subscriptions/" + p.id.Subscription + "/providers/" + p.id.Namespace + "/locations/" + escaped(region) + "/" + k.Async.Family + "/" + w.op.ID + "?"
	if k.Async.Family == DeploymentFamily {
		target = p.Base + escaped(p.id.String()) + "/" + DeploymentFamily + "/" + w.op.ID + "?"
	} else if k.Async.Partition {
		target += "p=" + w.op.ID + "&"
	}
	answer.Header.Set("Azure-AsyncOperation", target+"api-version="+string(p.version))
	if location {
		answer.Header.Set("Location", target+"monitor=true&api-version="+string(p.version))
	}
}

// DeploymentFamily is the one family whose URLs stand below the resource itself.
const DeploymentFamily = "operationStatuses"

// status serves the URLs that follow made. It answers nil when the path is not one of them.
func (c *Control) status(ctx context.Context, p *pass) (*Response, error) {
	id, monitor, ok := status.Asked(p.id, p.tail, p.Query)
	if !ok {
		return nil, nil
	}
	if p.Method != http.MethodGet {
		return nil, c.noVerb(p)
	}
	var o *operation.Operation
	err := c.view(ctx, p, func(tx store.Tx) error {
		if err := c.owned(tx, p); err != nil {
			return err
		}
		found, err := operation.Get(tx, id)
		if err == nil {
			err = c.shown(tx, p, found)
		}
		if errors.Is(err, store.ErrNotFound) {
			return arm.Errorf(404, "NotFound", "The operation '%s' was not found.", id)
		}
		o = found
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := c.unseal(o); err != nil {
		return nil, err
	}
	answer := &Response{Status: http.StatusOK}
	if monitor {
		answer.Status, answer.Header, answer.Body, err = status.Monitored(p.Base+escaped(p.Path)+"?"+p.Query.Encode(), o)
	} else {
		answer.Header, answer.Body, err = status.Told(o, c.brief(o))
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// brief tells whether an operation is of a type whose status URL gives no times.
func (c *Control) brief(o *operation.Operation) bool {
	id, err := arm.ParseKey(o.Resource)
	k, ok := c.types[Kind(id.Type())]
	return err == nil && ok && k.about().Brief
}

// unseal makes a result readable that lies sealed in the store, such as a signed URL.
func (c *Control) unseal(o *operation.Operation) error {
	if !o.Sealed {
		return nil
	}
	var text string
	if err := json.Unmarshal(o.Output, &text); err != nil {
		return err
	}
	plain, err := c.open(text, o.Resource)
	o.Output = plain
	return err
}

// shown tells with store.ErrNotFound that the caller may not see an operation: it is for who began it, and for who may read
// the resource. The result of an action, such as a signed URL, is for who may do the action.
func (c *Control) shown(tx store.Tx, p *pass, o *operation.Operation) error {
	resource, err := arm.ParseKey(o.Resource)
	if err != nil || o.Tenant != p.Caller.Primary.TenantID || !strings.EqualFold(resource.Subscription, p.id.Subscription) {
		return store.ErrNotFound
	}
	if o.Principal != "" && strings.EqualFold(o.Principal, p.Caller.Primary.ObjectID) {
		return nil
	}
	action := o.Action
	if typ, verb := path.Split(action); verb == "write" || verb == "delete" {
		action = typ + "read"
	}
	grants, err := c.rbac.Grants(tx, p.Caller.Primary) // not Check: a lock stops no looking
	if err == nil && !grants.Allows(action, resource) {
		return store.ErrNotFound
	}
	return err
}

// escaped is a path as it stands in a URL; names may hold any letter.
func escaped(path string) string { return (&url.URL{Path: path}).EscapedPath() }
