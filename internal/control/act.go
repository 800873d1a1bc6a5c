package control

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// remove serves DELETE: 204 when there is nothing, 202 when it takes long, 200 (or what Async says) when it is gone at once.
func (k *kind[T]) remove(ctx context.Context, c *Control, p *pass) (*Response, error) {
	if k.Spec.Delete == nil {
		return nil, c.noVerb(p)
	}
	var answer *Response
	err := c.update(ctx, p, &answer, func(tx store.Tx) error {
		w := newWrite[T](c, tx, p, k.Action+"/delete")
		if err := c.mayWith(tx, p, w.permission, k.attributes(tx, p)); err != nil {
			return err
		}
		old, err := k.existing(tx, p.id)
		if err != nil {
			return err
		}
		if old == nil {
			answer = &Response{Status: http.StatusNoContent}
			return grouped(tx, p.id)
		}
		w.Old = old
		if err := precondition(p.Header, true, old.tag()); err != nil {
			return err
		}
		open, err := operation.Open(tx, p.id.Key())
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.Action == w.permission { // asked again while it goes: the same operation
				w.op = o
				answer = &Response{Status: http.StatusAccepted, Header: http.Header{}}
				k.follow(p, answer, w, true)
				return nil
			}
		}
		if err := k.yield(tx, p, open); err != nil {
			return err
		}
		if err := k.Spec.Delete(ctx, w); err != nil {
			return err
		}
		if k.Facts != nil {
			p.facts = k.Facts(w.Old)
		}
		answer, err = k.gone(ctx, p, w)
		return err
	})
	if err == nil {
		c.stir(p)
	}
	return answer, err
}

// yield makes way for a deletion: what is under way is called off, or the deletion refused.
func (k *kind[T]) yield(tx store.Tx, p *pass, open []*operation.Operation) error {
	if !k.Preempt {
		return operation.Idle(tx, p.id, false)
	}
	for _, o := range open {
		if err := operation.RequestCancel(tx, o.ID); err != nil {
			return err
		}
	}
	return nil
}

func (k *kind[T]) gone(ctx context.Context, p *pass, w *Write[T]) (*Response, error) {
	if w.op == nil || p.rehearsal != nil {
		answer := &Response{Status: cmp.Or(k.Async.Delete, http.StatusOK)}
		if k.Async.Echo {
			body, err := k.answered(ctx, w.Tx, p, w.Old)
			if err != nil {
				return nil, err
			}
			answer.Body = body
		}
		return answer, Remove(w.Tx, w.ID)
	}
	w.Old.SetState(arm.Deleting)
	if err := Save(w.Tx, w.Old); err != nil {
		return nil, err
	}
	if err := p.begin(w.Tx, *w.op); err != nil {
		return nil, err
	}
	answer := &Response{Status: http.StatusAccepted, Header: http.Header{}}
	k.follow(p, answer, w, true)
	return answer, nil
}

// act serves POST …/resource/action.
func (k *kind[T]) act(ctx context.Context, c *Control, p *pass) (*Response, error) {
	for _, a := range k.Actions {
		if strings.EqualFold(a.Name, p.tail) {
			return k.run(ctx, c, p, a)
		}
	}
	return nil, arm.Errorf(404, "NotFound", "The resource type '%s' has no action '%s'.", k.Type, p.tail)
}

func (k *kind[T]) run(ctx context.Context, c *Control, p *pass, a Action[T]) (*Response, error) {
	permission := a.Permission
	if permission == "" {
		permission = k.Action + "/" + a.Name + "/action"
	}
	var answer *Response
	err := c.update(ctx, p, &answer, func(tx store.Tx) error {
		if err := c.may(tx, p, permission); err != nil {
			return err
		}
		r, err := k.existing(tx, p.id)
		if err == nil && r == nil {
			err = k.Missing(p.id)
		}
		if err != nil {
			return err
		}
		body, err := k.body(p)
		if err != nil {
			return err
		}
		x := &Act[T]{Write: *newWrite[T](c, tx, p, permission)}
		x.Old, x.New, x.Body = r, r, body
		if err := operation.Idle(tx, p.id, false); err != nil {
			return err
		}
		if err := a.Do(ctx, x); err != nil {
			return err
		}
		answer, err = k.acted(p, x)
		return err
	})
	if err == nil {
		c.stir(p)
	}
	return answer, err
}

func (k *kind[T]) acted(p *pass, x *Act[T]) (*Response, error) {
	if x.Changed {
		if err := Save(x.Tx, x.New); err != nil {
			return nil, err
		}
	}
	if x.op == nil {
		answer := &Response{Status: http.StatusOK}
		if x.Output == nil {
			return answer, nil
		}
		var err error
		answer.Body, err = armjson.Wire(x.Output)
		return answer, err
	}
	answer := &Response{Status: http.StatusAccepted, Header: http.Header{}}
	if p.rehearsal != nil {
		return answer, nil
	}
	if err := p.begin(x.Tx, *x.op); err != nil {
		return nil, err
	}
	k.follow(p, answer, &x.Write, true)
	return answer, nil
}

// body checks the request's JSON: well-formed, not nested beyond reason. An absent body is an empty object.
func (k *kind[T]) body(p *pass) (json.RawMessage, error) {
	raw := p.Body
	if k.Reader != nil {
		var err error
		if raw, err = k.Reader(raw); err != nil {
			return nil, err
		}
	}
	return armjson.Check(raw)
}
