package control

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// route serves the paths that are not resources. It answers nil when none matches.
func (c *Control) route(ctx context.Context, p *pass) (*Response, error) {
	segments := strings.FieldsFunc(p.Path, func(r rune) bool { return r == '/' })
	for _, r := range c.routes {
		names, ok := arm.Match(r.Pattern, segments)
		if !ok || r.Method != p.Method {
			continue
		}
		reading := r.Reads || r.Method == http.MethodGet || r.Method == http.MethodHead
		call := &Call{Request: p.Request, Names: names, Control: c, Reply: http.Header{}, Correlation: correlation(ctx, p.Header)}
		var body []byte
		f := func(tx store.Tx) error {
			if err := c.entitled(tx, p, r, names); err != nil {
				return err
			}
			call.Tx, call.Status = tx, http.StatusOK
			value, err := r.Do(ctx, call)
			if err == nil && !reading {
				err = rbac.Unlocked(tx, p.id, p.permission()) // also of a handler that asks for no right: nothing is kept if it is locked
			}
			if err != nil {
				return err
			}
			body, err = render(value)
			return err
		}
		answer := &Response{}
		if r.Alone {
			return c.alone(ctx, p, r, call)
		}
		run := func(ctx context.Context, f func(store.Tx) error) error {
			return c.update(ctx, p, &answer, func(tx store.Tx) error { err := f(tx); answer.Status = call.Status; return err })
		}
		if reading {
			run = func(ctx context.Context, f func(store.Tx) error) error { return c.view(ctx, p, f) }
		}
		if err := run(ctx, f); err != nil {
			return nil, err
		}
		c.stir(p)
		return &Response{Status: call.Status, Header: call.Reply, Body: body}, nil
	}
	return nil, nil
}

// entitled checks whose subscription it is, and the right that a route asks for.
func (c *Control) entitled(tx store.Tx, p *pass, r Route, names map[string]string) error {
	if err := c.owned(tx, p); err != nil || r.Right == "" {
		return err
	}
	return c.rbac.Check(tx, p.Caller.Primary, r.Right, arm.ID{Subscription: names["subscription"], ResourceGroup: names["group"]})
}

// alone serves a route that does its work outside of a transaction. Its event is kept like any other's.
func (c *Control) alone(ctx context.Context, p *pass, r Route, call *Call) (*Response, error) {
	err := c.view(ctx, p, func(tx store.Tx) error {
		if err := c.entitled(tx, p, r, call.Names); err != nil {
			return err
		}
		return rbac.Unlocked(tx, p.id, p.permission())
	})
	if err != nil {
		return nil, err
	}
	call.Status = http.StatusOK
	value, err := r.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	body, err := render(value)
	if err != nil {
		return nil, err
	}
	answer := &Response{Status: call.Status, Header: call.Reply, Body: body}
	err = c.update(ctx, p, &answer, func(tx store.Tx) error {
		if call.Commit == nil {
			return nil
		}
		return call.Commit(tx)
	})
	if err != nil {
		return nil, err
	}
	c.kick()
	return answer, nil
}

func render(value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return v, nil
	}
	return armjson.Wire(value)
}
