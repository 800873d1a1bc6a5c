package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control/paging"
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
	return r.wire(k.authored(p.version))
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

type page struct {
	Value []json.RawMessage `json:"value"`
	Next  string            `json:"nextLink,omitempty"`
}

// list serves a collection: what the caller may read of it.
func (k *kind[T]) list(ctx context.Context, c *Control, p *pass) (*Response, error) {
	var out page
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
		may := func(r *Resource[T]) bool { return whole || grants.Allows(k.Action+"/read", r.ParsedID()) }
		found, more, err := k.find(ctx, p, &Listing{Tx: tx, Caller: p.Caller, Scope: p.id, Query: p.Query, Grants: grants}, may)
		if err != nil {
			return err
		}
		if more {
			out.Next = paging.Next(p.Base, p.Path, p.Query, found[len(found)-1].key())
		}
		for _, r := range found {
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

// find gives one page of what the caller may read, and whether there is more of that: a nextLink, whose token is the key of the last
// that is shown, tells nothing of what is not.
func (k *kind[T]) find(ctx context.Context, p *pass, l *Listing, may func(*Resource[T]) bool) (found []*Resource[T], more bool, err error) {
	cut, err := paging.Of(p.Query, k.Size)
	if err != nil {
		return nil, false, err
	}
	if k.List != nil {
		all, err := k.List(ctx, l)
		if err != nil {
			return nil, false, err
		}
		found, more = paging.Cut(cut, slices.DeleteFunc(all, func(r *Resource[T]) bool { return !may(r) }), (*Resource[T]).key)
		return found, more, nil
	}
	if f := p.Query.Get("$filter"); f != "" { // everything, for who asked for some, would be taken for them
		return nil, false, arm.Errorf(400, "InvalidFilterInQueryString", "Invalid $filter '%.200s' specified in the query string: lists of '%s' are not filtered by this installation.", f, k.Type)
	}
	q := store.Query{Kind: Kind(k.Type), Prefix: strings.TrimSuffix(holder(p.id).Key(), "/") + "/", After: cut.After, Limit: cut.Size + 1}
	if len(p.id.Types) > 0 || p.id.Scope != "" { // a child collection: direct children only
		q.Prefix = p.id.Key() + "/" + strings.ToLower(p.tail) + "/"
	}
	for {
		some, err := Select[T](l.Tx, q)
		if err != nil {
			return nil, false, err
		}
		for _, r := range some {
			q.After = r.key()
			if !may(r) {
				continue
			}
			if len(found) == cut.Size {
				return found, true, nil
			}
			found = append(found, r)
		}
		if len(some) < q.Limit {
			return found, false, nil
		}
	}
}
