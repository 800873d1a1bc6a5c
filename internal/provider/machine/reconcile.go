package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

const (
	lookTime   = 2 * time.Second
	maxSetback = time.Minute
)

// Run reconciles until ctx ends.
func (p *Provider) Run(ctx context.Context) {
	timer := time.NewTicker(lookTime)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := p.Reconcile(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("machines", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// Reconcile compares what documents want with what runs: it starts again what crashed, notes what a guest powered off,
// stops what nobody wants running, ends processes that no document knows, and removes seeds that nobody starts with. Machines under an
// operation are left to it.
func (p *Provider) Reconcile(ctx context.Context) error {
	// What runs is read before the documents: a process always has its document first, so one without is an orphan.
	statuses, err := p.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("list machines: %w", err)
	}
	known, idle, err := p.survey(ctx)
	if err != nil {
		return err
	}
	is := map[string]vm.Status{}
	faults := []error{p.seeds.Sweep()}
	for _, st := range statuses {
		is[strings.ToLower(st.ID)] = st
		if !known[strings.ToLower(st.ID)] {
			p.Log.Info("orphaned machine", "machine", st.ID)
			faults = append(faults, p.Runtime.Remove(ctx, st.ID))
		}
	}
	for _, m := range idle {
		st, found := is[strings.ToLower(m.Properties.VMID)]
		if err := p.settle(ctx, m, st, found); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.ID, err))
		}
	}
	return errors.Join(faults...)
}

// survey reads all machines: known by vmId, and those that no operation holds.
func (p *Provider) survey(ctx context.Context) (known map[string]bool, idle []*resource, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		known, idle = map[string]bool{}, nil
		all, err := control.Select[Properties](tx, store.Query{Kind: control.Kind(Type)})
		if err != nil {
			return err
		}
		for _, m := range all {
			known[strings.ToLower(m.Properties.VMID)] = true
			open, err := operation.Open(tx, m.ParsedID().Key())
			if err != nil {
				return err
			}
			if len(open) == 0 && m.Properties.Own.Built {
				idle = append(idle, m)
			}
		}
		return nil
	})
	return known, idle, err
}

// settle brings one machine to what its document wants.
func (p *Provider) settle(ctx context.Context, m *resource, st vm.Status, found bool) error {
	id := m.Properties.VMID
	wanted := m.Properties.Own.Desired == Running
	runs := found && st.State == vm.Running
	switch {
	case wanted && runs:
		if time.Since(st.Since) > maxSetback {
			p.forgive(id)
		}
		return nil
	case wanted && found && st.State == vm.Stopped && strings.Contains(st.Reason, "guest"):
		p.Log.Info("guest powered off", "vm", m.ID)
		return p.poweredOff(ctx, m)
	case wanted:
		if !p.due(id) {
			return nil
		}
		p.Log.Warn("machine is started again", "vm", m.ID, "reason", st.Reason, "lastWords", st.LastWords)
		return p.revive(ctx, m)
	case runs:
		return p.Runtime.PowerOff(ctx, id, vm.PowerOff{Hard: true})
	}
	return nil
}

// due tells whether a machine may be started again now, and doubles the wait for the next time.
func (p *Provider) due(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.restart[id]
	if time.Now().Before(s.after) {
		return false
	}
	wait := min(lookTime<<min(s.times, 8), maxSetback)
	p.restart[id] = setback{times: s.times + 1, after: time.Now().Add(wait)}
	return true
}

func (p *Provider) forgive(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.restart, id)
}

// errOvertaken says that a request came between the survey and what was to be done about it.
var errOvertaken = errors.New("overtaken by a request")

// revive does what the start operation does, step by step.
func (p *Provider) revive(ctx context.Context, m *resource) error {
	err := p.plug(ctx, m, p.guarded(m))
	if err == nil {
		err = p.launch(ctx, m)
	}
	return overtaken(err)
}

// guarded is an update that fails with errOvertaken unless the machine is still wanted running and left alone.
func (p *Provider) guarded(m *resource) update {
	return func(ctx context.Context, f func(store.Tx) error) error {
		return p.store.Update(ctx, func(tx store.Tx) error {
			now, err := control.Get[Properties](tx, m.ParsedID())
			if absent(err) {
				return errOvertaken
			}
			if err != nil {
				return err
			}
			open, err := operation.Open(tx, m.ParsedID().Key())
			if err != nil {
				return err
			}
			if len(open) > 0 || now.Properties.Own.Desired != Running {
				return errOvertaken
			}
			return f(tx)
		})
	}
}

func overtaken(err error) error {
	if errors.Is(err, errOvertaken) {
		return nil
	}
	return err
}

// poweredOff makes what a guest did what is wanted.
func (p *Provider) poweredOff(ctx context.Context, m *resource) error {
	write := p.guarded(m)
	err := p.unplug(ctx, m, func(ctx context.Context, f func(store.Tx) error) error {
		return write(ctx, func(tx store.Tx) error {
			now, err := control.Get[Properties](tx, m.ParsedID())
			if err != nil {
				return err
			}
			now.Properties.Own.Desired = Stopped
			if err := control.Save(tx, now); err != nil {
				return err
			}
			return f(tx)
		})
	})
	return overtaken(err)
}
