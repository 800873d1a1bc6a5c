package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/store"
)

// get serves GET and HEAD of one resource. The right is checked before anything tells whether the resource exists.
func (k *kind[T]) get(ctx context.Context, c *Control, p *pass) (*Response, error) {
	var answer *Response
	err := c.store.View(ctx, func(tx store.Tx) error {
		r, err := k.fetch(c, tx, p)
		if p.Method == http.MethodHead {
			answer = &Response{Status: http.StatusNoContent}
			var missing *arm.Error
			if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
				answer.Status, err = http.StatusNotFound, nil
			}
			return err
		}
		if err != nil {
			return err
		}
		body, err := k.show(ctx, tx, p, r)
		answer = &Response{Status: http.StatusOK, Body: body}
		return err
	})
	return answer, err
}

func (k *kind[T]) fetch(c *Control, tx store.Tx, p *pass) (*Resource[T], error) {
	if err := c.may(tx, p, k.Action+"/read", p.id); err != nil {
		return nil, err
	}
	if err := placed(tx, p.id, false); err != nil {
		return nil, err
	}
	r, err := k.read(tx, p.id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(p.id)
	}
	return r, err
}

func (k *kind[T]) show(ctx context.Context, tx store.Tx, p *pass, r *Resource[T]) (json.RawMessage, error) {
	if k.View != nil {
		if err := k.View(ctx, &Read[T]{Tx: tx, Caller: p.Caller, Resource: r, Query: p.Query, Version: p.version, Base: p.Base}); err != nil {
			return nil, err
		}
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
		err := c.store.View(ctx, func(tx store.Tx) error {
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
	err := c.store.View(ctx, func(tx store.Tx) error {
		out = page{Value: []json.RawMessage{}}
		if err := c.owned(tx, p); err != nil {
			return err
		}
		grants, err := c.rbac.Grants(tx, p.Caller.Primary)
		if err != nil {
			return err
		}
		whole := grants.Allows(k.Action+"/read", p.id)
		if !whole && !grants.Within(p.id) {
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
	if _, err := tx.Get(p.id.Key()); errors.Is(err, store.ErrNotFound) {
		return notFound(p.id)
	} else if err != nil {
		return err
	}
	return nil
}

func (k *kind[T]) find(ctx context.Context, tx store.Tx, p *pass, l *Listing) ([]*Resource[T], error) {
	if k.List != nil {
		return k.List(ctx, l)
	}
	prefix := p.id.Key() + "/"
	if p.id.Namespace != "" { // a child collection: direct children only
		prefix += strings.ToLower(p.tail) + "/"
	}
	return Select[T](tx, store.Query{Kind: Kind(k.Type), Prefix: prefix, After: p.Query.Get("$skiptoken"), Limit: pageSize + 1})
}

func nextLink(p *pass, after string) string {
	q := url.Values{}
	for name, values := range p.Query {
		q[name] = values
	}
	q.Set("$skiptoken", after)
	return p.Base + p.Path + "?" + q.Encode()
}
