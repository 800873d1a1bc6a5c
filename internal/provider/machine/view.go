package machine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/machine/size"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// view adds the instance view when it is asked for, and user data when that is.
func (p *Provider) view(ctx context.Context, r *control.Read[Properties]) error {
	r.Resource.Properties.View = nil
	if err := p.refresh(r.Tx, &r.Resource.Properties); err != nil {
		return err
	}
	for name, values := range r.Query {
		if !strings.EqualFold(name, "$expand") || len(values) == 0 || !strings.EqualFold(values[0], "instanceView") {
			continue
		}
		v, err := p.instance(ctx, r.Tx, r.Resource)
		if err != nil {
			return err
		}
		r.Resource.Properties.View = v
	}
	return nil
}

func (p *Provider) parts() map[string]func(context.Context, *control.Read[Properties], string) (any, error) {
	return map[string]func(context.Context, *control.Read[Properties], string) (any, error){
		"instanceView": func(ctx context.Context, r *control.Read[Properties], _ string) (any, error) {
			return p.instance(ctx, r.Tx, r.Resource)
		},
		"vmSizes": func(context.Context, *control.Read[Properties], string) (any, error) {
			return list[size.Size]{size.All()}, nil
		},
	}
}

// patience is how long an answer waits for the runtime.
const patience = 2 * time.Second

// instance puts the instance view together from the document, the runtime and the network.
func (p *Provider) instance(ctx context.Context, tx store.Tx, m *resource) (*InstanceView, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n := &m.Properties
	v := &InstanceView{Generation: n.Own.Generation, Disks: []DiskView{}}
	if n.OS != nil {
		v.ComputerName = n.OS.ComputerName
	}
	open, err := operation.Open(tx, m.ParsedID().Key())
	if err != nil {
		return nil, err
	}
	st, statusErr := p.Runtime.Status(ctx, n.VMID)
	for _, d := range n.disks() {
		v.Disks = append(v.Disks, DiskView{Name: d.id.Name(), Statuses: []Status{info("ProvisioningState/succeeded", "Provisioning succeeded", m.Changed)}})
	}
	v.Statuses = []Status{provisioning(m)}
	if n.Own.Generalized {
		v.Statuses = append(v.Statuses, Status{Code: "OSState/generalized", Level: "Info", Display: "VM generalized"})
	}
	state := powerState(n.Own, st.State, statusErr == nil, len(open) > 0)
	if state != "" {
		v.Statuses = append(v.Statuses, Status{Code: "PowerState/" + state, Level: "Info", Display: "VM " + state})
	}
	if statusErr == nil && st.State == vm.Crashed {
		v.Statuses = append(v.Statuses, Status{Code: "PowerState/crashed", Level: "Warning", Display: "VM process ended", Message: st.Reason, Time: moment(st.Since)})
	}
	if state == Running {
		v.Statuses = append(v.Statuses, p.reach(ctx, tx, m)...)
	}
	return v, nil
}

func info(code, display, changed string) Status {
	s := Status{Code: code, Level: "Info", Display: display}
	if t, err := time.Parse(time.RFC3339Nano, changed); err == nil {
		s.Time = moment(t)
	}
	return s
}

func moment(t time.Time) string { return t.UTC().Format(stamp) }

func provisioning(m *resource) Status {
	state := strings.ToLower(m.State())
	s := info("ProvisioningState/"+state, "Provisioning "+state, m.Changed)
	switch m.State() {
	case arm.Failed:
		s.Level = "Error"
	case arm.Creating, arm.Updating, arm.Deleting:
		s.Display = m.State()
	}
	return s
}

// powerState is Azure's word for what is wanted and what is. A machine that was never built has none.
func powerState(s State, is vm.State, known, busy bool) string {
	runs := known && is == vm.Running
	switch {
	case !s.Built && !busy:
		return ""
	case s.Desired == Running && runs:
		return "running"
	case s.Desired == Running && (busy || !known || is == vm.Crashed):
		return "starting"
	case s.Desired == Running:
		return "stopped"
	case runs && s.Desired == Deallocated:
		return "deallocating"
	case runs:
		return "stopping"
	}
	return s.Desired
}

// reach says what of a public IP's ports does not work: another listener on the host may have been there first.
func (p *Provider) reach(ctx context.Context, tx store.Tx, m *resource) (list []Status) {
	warn := func(format string, args ...any) {
		list = append(list, Status{Code: "PublicIPAddress/portNotBound", Level: "Warning", Display: "A port of the public IP address is not forwarded", Message: fmt.Sprintf(format, args...)})
	}
	for _, nic := range m.Properties.nics() {
		e, err := p.Network.Status(ctx, tx, nic)
		if err != nil {
			warn("The network of interface %s does not answer.", nic.Name())
			continue
		}
		for _, port := range e.Ports {
			if port.Bound {
				continue
			}
			by := ""
			if port.Listener != "" {
				by = "; " + port.Listener + " was there first"
			}
			warn("Port %d of interface %s: %s%s.", port.Port, nic.Name(), port.Problem, by)
		}
	}
	return list
}
