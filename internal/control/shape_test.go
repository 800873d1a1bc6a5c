package control_test

import (
	"context"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/control"
)

// dial is a type whose View completes it, and whose rules lean on a member that a body may lack.
type dial struct {
	Size   *int        `json:"size"`
	Hand   *dialHand   `json:"hand" arm:"required"`
	Colour string      `json:"colour"`
	Shown  string      `json:"shown" arm:"readonly"`
	Other  *dialNumber `json:"other"`
}

type dialHand struct {
	Length int `json:"length"`
}

type dialNumber struct {
	N int `json:"n"`
}

func (w *world) dials() string {
	control.Register(w.control, control.Spec[dial]{Type: "Vitrine.Test/dials", Patch: true, Async: control.Async{Echo: true},
		Validate: func(r *control.Resource[dial]) (faults []*arm.Error) {
			p := &r.Properties
			if p.Colour == "red" {
				faults = append(faults, arm.Errorf(400, "InvalidParameter", "Not red.").At("colour"))
			}
			if p.Size != nil && *p.Size < 1 || p.Size == nil {
				faults = append(faults, arm.Errorf(400, "InvalidParameter", "No size.").At("size"))
			}
			if p.Other != nil && p.Other.N > 5 && p.Hand.Length > 1 { // leans on hand, which decoding requires
				faults = append(faults, arm.Errorf(400, "InvalidParameter", "Too long.").At("hand.length"))
			}
			return faults
		},
		Put:    func(context.Context, *control.Write[dial]) error { return nil },
		Delete: func(context.Context, *control.Write[dial]) error { return nil },
		View: func(_ context.Context, r *control.Read[dial]) error {
			r.Resource.Properties.Shown = "seen"
			return nil
		}})
	return group + "/providers/Vitrine.Test/dials/d?api-version=2022-01-01"
}

// Every answer shows a resource as a GET does; what the View adds is not stored.
func TestAnswersHaveOneShape(t *testing.T) {
	w := newWorld(t)
	d := w.dials()
	const body = `{"properties":{"size":3,"hand":{"length":1}}}`
	for _, r := range []struct {
		method, body string
		status       int
	}{{"PUT", body, 201}, {"PUT", body, 200}, {"PATCH", `{"properties":{"size":4}}`, 200}, {"GET", "", 200}, {"DELETE", "", 200}} {
		w.do("owner", r.method, d, r.body).is(r.status, "").has("properties.shown", "seen")
	}
}

// What decoding finds and what the type's rules find comes at once; what rules say of a member that is at fault already does not,
// and rules that cannot look at a model with holes are no crash.
func TestFaultsOfBothKinds(t *testing.T) {
	w := newWorld(t)
	d := w.dials()
	for name, c := range map[string]struct{ body, want string }{
		"both":               {`{"properties":{"size":3,"colour":"red"}}`, "hand colour"},
		"of one member once": {`{"properties":{"size":"x","hand":{"length":1},"colour":"red"}}`, "size colour"},
		"rules that lean":    {`{"properties":{"size":3,"colour":"red","other":{"n":9}}}`, "hand"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.do("owner", "PUT", d, c.body)
			if a.err == nil {
				t.Fatal("not refused")
			}
			targets := []string{a.err.Target}
			if len(a.err.Details) > 0 {
				targets = nil
			}
			for _, f := range a.err.Details {
				targets = append(targets, f.Target)
			}
			if got := strings.Join(targets, " "); a.status != 400 || got != c.want {
				t.Errorf("%d, faults at %q, want %q: %v", a.status, got, c.want, a.err)
			}
		})
	}
}
