package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/store"
)

// get serves GET and HEAD of one resource. The right is checked before anything tells whether the resource exists.
func (k *kind[T]) get(ctx context.Context, c *Control, p *pass) (*Response, error) {
	var answer *Response
	err := c.view(ctx, p, func(tx store.Tx) error {
		r, err := k.fetch(c, tx, p)
		if p.Method == http.MethodHead {
			answer = &Response{Status: http.StatusNoContent}
			if missing, ok := errors.AsType[*arm.Error](err); ok && missing.Status == http.StatusNotFound {
				answer.Status, err = http.StatusNotFound, nil
			}
			return err
		}
		if err != nil {
			return err
		}
		body, err := k.show(ctx, tx, p, r)
		answer = &Response{Status: http.StatusOK, Header: r.tagged(http.Header{}), Body: body}
		return err
	})
	return answer, err
}

func (k *kind[T]) fetch(c *Control, tx store.Tx, p *pass) (*Resource[T], error) {
	if err := c.may(tx, p, k.Action+"/read"); err != nil {
		return nil, err
	}
	if err := placed(tx, p.id, false); err != nil {
		return nil, err
	}
	r, err := k.read(tx, p.id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, k.Missing(p.id)
	}
	return r, err
}

func (k *kind[T]) show(ctx context.Context, tx store.Tx, p *pass, r *Resource[T]) (json.RawMessage, error) {
	if k.View != nil {
		read := &Read[T]{Tx: tx, Caller: p.Caller, Resource: r, Query: p.Query, Version: p.version, Base: p.Base}
		if p.Method == http.MethodPut || p.Method == http.MethodPatch {
			read.Written = &p.id
		}
		if err := k.View(ctx, read); err != nil {
			return nil, err
		}
	}
	if k.Dialect != nil {
		k.Dialect(r, p.version)
	}
	return armjson.Wire(r)
}

// part serves GET …/resource/part[/name].
func (k *kind[T]) part(ctx context.Context, c *Control, p *pass, part, name string) (*Response, error) {
	for known, f := range k.Parts {
		if !strings.EqualFold(known, part) {
			continue
		}
		var body []byte
		err := c.view(ctx, p, func(tx store.Tx) error {
			r, err := k.fetch(c, tx, p)
			if err != nil {
				return err
			}
			value, err := f(ctx, &Read[T]{Tx: tx, Caller: p.Caller, Resource: r, Query: p.Query, Version: p.version, Base: p.Base}, name)
			if err != nil {
				return err
			}
			body, err = armjson.Wire(value)
			return err
		})
		return &Response{Status: http.StatusOK, Header: http.Header{"Retry-After": {"1"}}, Body: body}, err
	}
	return nil, c.unknownType(p.id, k.Type+"/"+part, p.version)
}

const pageSize = 500

type page struct {
	Value []json.RawMessage `json:"value"`
	Next  string            `json:"nextLink,omitempty"`
}

// list serves a collection: what the caller may read of it.
func (k *kind[T]) list(ctx context.Context, c *Control, p *pass) (*Response, error) {
	out := page{Value: []json.RawMessage{}}
	err := c.view(ctx, p, func(tx store.Tx) error {
		out = page{Value: []json.RawMessage{}}
		if err := c.owned(tx, p); err != nil {
			return err
		}
		grants, err := c.rbac.Grants(tx, p.Caller.Primary)
		if err != nil {
			return err
		}
		whole := grants.Allows(k.Action+"/read", p.id)
		if !whole && !grants.Within(holder(p.id)) {
			return c.rbac.Check(tx, p.Caller.Primary, k.Action+"/read", p.id)
		}
		if err := k.container(tx, p); err != nil {
			return err
		}
		found, err := k.find(ctx, tx, p, &Listing{Tx: tx, Caller: p.Caller, Scope: p.id, Query: p.Query, Grants: grants})
		if err != nil {
			return err
		}
		if len(found) > pageSize {
			found = found[:pageSize]
			out.Next = nextLink(p, found[pageSize-1].ParsedID().Key())
		}
		for _, r := range found {
			if !whole && !grants.Allows(k.Action+"/read", r.ParsedID()) {
				continue
			}
			raw, err := k.show(ctx, tx, p, r)
			if err != nil {
				return err
			}
			out.Value = append(out.Value, raw)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(out)
	return &Response{Status: http.StatusOK, Body: body}, err
}

// container checks that what is listed below exists.
func (k *kind[T]) container(tx store.Tx, p *pass) error {
	if p.id.ResourceGroup == "" || k.Level == Extension {
		return nil
	}
	for _, outer := range []arm.ID{p.id.Group(), holder(p.id)} {
		if _, err := tx.Get(outer.Key()); errors.Is(err, store.ErrNotFound) {
			return notFound(outer)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// holder is what a collection stands in: a path …/providers/Microsoft.Compute/disks names no resource by itself.
func holder(id arm.ID) arm.ID {
	if len(id.Types) == 0 && id.Namespace != "" {
		return id.Parent()
	}
	return id
}

func (k *kind[T]) find(ctx context.Context, tx store.Tx, p *pass, l *Listing) ([]*Resource[T], error) {
	after := p.Query.Get("$skiptoken")
	if after != "" && !store.Storable(after) {
		return nil, arm.Errorf(400, "InvalidQueryParameterValue", "The value of the query parameter '$skiptoken' is not one that a nextLink gave.")
	}
	if k.List != nil {
		all, err := k.List(ctx, l)
		return onward(all, after), err
	}
	if f := p.Query.Get("$filter"); f != "" { // everything, for who asked for some, would be taken for them
		return nil, arm.Errorf(400, "InvalidFilterInQueryString", "Invalid $filter '%.200s' specified in the query string: lists of '%s' are not filtered by this installation.", f, k.Type)
	}
	prefix := strings.TrimSuffix(holder(p.id).Key(), "/") + "/"
	if len(p.id.Types) > 0 || p.id.Scope != "" { // a child collection: direct children only
		prefix = p.id.Key() + "/" + strings.ToLower(p.tail) + "/"
	}
	return Select[T](tx, store.Query{Kind: Kind(k.Type), Prefix: prefix, After: after, Limit: pageSize + 1})
}

// onward gives a list that has more than one page the order of its pages, and leaves out what they showed already.
func onward[T any](all []*Resource[T], after string) []*Resource[T] {
	if len(all) <= pageSize && after == "" {
		return all
	}
	key := func(r *Resource[T]) string { return r.ParsedID().Key() }
	slices.SortFunc(all, func(a, b *Resource[T]) int { return strings.Compare(key(a), key(b)) })
	return slices.DeleteFunc(all, func(r *Resource[T]) bool { return key(r) <= after })
}

func nextLink(p *pass, after string) string {
	q := url.Values{}
	for name, values := range p.Query {
		q[name] = values
	}
	q.Set("$skiptoken", after)
	return p.Base + escaped(p.Path) + "?" + q.Encode()
}
