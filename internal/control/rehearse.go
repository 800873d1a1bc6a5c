package control

import (
	"context"
	"errors"

	"vitrine/internal/store"
)

// errRehearsed ends a rehearsal's transaction, so that nothing stays.
var errRehearsed = errors.New("rehearsed")

// Rehearsal is the inside of Rehearse.
type Rehearsal struct {
	Tx store.Tx // sees what was rehearsed

	control *Control
	ctx     context.Context
}

// Do runs one request.
func (r *Rehearsal) Do(q Request) (*Response, error) { return r.control.do(r.ctx, q, r.Tx) }

// Rehearse runs requests one after the other in a transaction that is never committed: each sees what those before it would
// have written, with every check of the pipeline, and what would take long is taken for done. f may be run again after a
// conflict, as any transaction. Nothing is logged, no operation begins, and nothing outside the store is asked.
func (c *Control) Rehearse(ctx context.Context, f func(r *Rehearsal) error) error {
	err := c.store.Update(ctx, func(tx store.Tx) error {
		if err := f(&Rehearsal{Tx: tx, control: c, ctx: ctx}); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// view reads, within the rehearsal if there is one.
func (c *Control) view(ctx context.Context, p *pass, f func(store.Tx) error) error {
	if p.rehearsal != nil {
		return f(p.rehearsal)
	}
	return c.store.View(ctx, f)
}

// stir wakes the workers.
func (c *Control) stir(p *pass) {
	if p.rehearsal == nil {
		c.kick()
	}
}
