package machine

import (
	"context"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
)

// power is the input of work that changes whether a machine runs.
type power struct {
	Hard bool   `json:"hard,omitempty"` // do not ask the guest
	Then string `json:"then"`           // what is wanted when it has failed
}

func (p *Provider) actions() []control.Action[Properties] {
	act := func(name string, f func(context.Context, *control.Act[Properties]) error) control.Action[Properties] {
		return control.Action[Properties]{Name: name, Do: f}
	}
	list := []control.Action[Properties]{
		act("start", p.start), act("powerOff", p.powerOff), act("restart", p.restartAct),
		act("deallocate", p.deallocate), act("generalize", p.generalize),
		act("capture", capture), act("attachDetachDataDisks", p.exchangeDisks),
	}
	for _, name := range []string{"redeploy", "reimage", "reapply", "runCommand", "performMaintenance", "simulateEviction",
		"convertToManagedDisks", "assessPatches", "installPatches", "retrieveBootDiagnosticsData"} {
		list = append(list, act(name, unsupported(name)))
	}
	return list
}

func unsupported(name string) func(context.Context, *control.Act[Properties]) error {
	return func(context.Context, *control.Act[Properties]) error {
		return arm.Errorf(400, "OperationNotSupported", "The operation '%s' on virtual machines is not supported by this server.", name)
	}
}

// able refuses an action on a machine that was never built, and a start of one that was generalized.
func able(a *control.Act[Properties], name string) error {
	s := a.New.Properties.Own
	switch {
	case !s.Built:
		return arm.Errorf(409, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s' since its creation did not succeed. Delete it or create it again.", name, a.New.Name)
	case s.Generalized && (name == "start" || name == "restart"):
		return arm.Errorf(409, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s' since the VM is generalized.", name, a.New.Name)
	}
	return nil
}

// want records the wanted power state and begins the work.
func want(a *control.Act[Properties], desired, work string, hard bool) error {
	in := power{Hard: hard, Then: a.New.Properties.Own.Desired}
	a.New.Properties.Own.Desired, a.Changed = desired, true
	return a.Begin(work, in)
}

func (p *Provider) start(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "start"); err != nil {
		return err
	}
	return want(a, Running, workStart, false)
}

func (p *Provider) powerOff(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "powerOff"); err != nil {
		return err
	}
	if a.New.Properties.Own.Desired == Deallocated {
		return arm.Errorf(409, "OperationNotAllowed", "Operation 'powerOff' is not allowed on VM '%s' since the VM is deallocated.", a.New.Name)
	}
	hard := false
	for name, values := range a.Query {
		hard = hard || strings.EqualFold(name, "skipShutdown") && len(values) > 0 && strings.EqualFold(values[0], "true")
	}
	return want(a, Stopped, workPowerOff, hard)
}

func (p *Provider) restartAct(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "restart"); err != nil {
		return err
	}
	if a.New.Properties.Own.Desired == Deallocated {
		return arm.Errorf(409, "OperationNotAllowed", "Operation 'restart' is not allowed on VM '%s' since the VM is deallocated.", a.New.Name)
	}
	return want(a, Running, workRestart, false)
}

func (p *Provider) deallocate(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "deallocate"); err != nil {
		return err
	}
	return want(a, Deallocated, workDeallocate, false)
}

// generalize marks the machine as a model for images; real Azure answers 200 with an empty body.
func (p *Provider) generalize(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "generalize"); err != nil {
		return err
	}
	if a.New.Properties.Own.Desired == Running {
		return arm.Errorf(409, "OperationNotAllowed", "Operation 'generalize' is not allowed on VM '%s' since the VM is running. Power off or deallocate it first.", a.New.Name)
	}
	a.New.Properties.Own.Generalized, a.New.Properties.Own.OSState, a.Changed = true, "Generalized", true
	return nil
}

// capture copies the VHDs of a machine without managed disks, which there is none of here; the answer is Azure's for a machine
// with managed disks.
func capture(_ context.Context, a *control.Act[Properties]) error {
	if err := able(a, "capture"); err != nil {
		return err
	}
	if !a.New.Properties.Own.Generalized {
		return arm.Errorf(409, "OperationNotAllowed", "Operation 'capture' is not allowed on VM '%s' since the VM is not generalized.", a.New.Name)
	}
	return arm.Errorf(409, "OperationNotAllowed", "The Capture action is only supported on a Virtual Machine with blob based disks. Please use the 'Image' resource APIs to create an Image from a managed Virtual Machine.")
}

func (p *Provider) delete(_ context.Context, w *control.Write[Properties]) error {
	if err := p.mayTakeAlong(w); err != nil {
		return err
	}
	w.Old.Properties.Own.Desired = Deallocated
	return w.Begin(workDelete, nil)
}
