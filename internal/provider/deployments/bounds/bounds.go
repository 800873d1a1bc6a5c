// Package bounds says how large a deployment may be (Azure's documentation of "job size exceeded" and of deployments across groups).
// It looks at what is known before anything is written; what a deployment nested in this one makes is that one's own affair, but for
// the groups that it names.
//
//	template, parameters ─▶ compressed: 1 MB ┐
//	each resource        ─▶ compressed: 1 MB ├─▶ Check
//	all resources        ─▶ compressed: 4 MB │
//	groups written to    ─▶ 800              ┘
package bounds

import (
	"compress/flate"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/template"
	"vitrine/internal/template/tree"
)

const (
	maxJob       = 1 << 20 // template, parameters and what is known of the request, compressed
	maxResource  = 1 << 20 // one resource after loops and parameters, compressed
	maxResources = 4 << 20 // all of them
	maxGroups    = 800
)

// Check refuses a deployment that is too large; job is all that was sent. Of what could be compressed within the limit nothing is said.
func Check(job [][]byte, plan *template.Plan) error {
	if large(maxJob, job...) {
		return arm.Errorf(400, "DeploymentJobSizeExceeded", "The deployment is larger than the limit of %d bytes, its template and parameters compressed. Please simplify the template, or divide it into linked templates.", maxJob)
	}
	groups := map[string]bool{}
	var all [][]byte
	for i, r := range plan.Resources {
		draft := plan.Draft(i)
		raw, err := tree.Encode(draft)
		if err != nil {
			return err
		}
		if large(maxResource, raw) {
			return arm.Errorf(400, "JobSizeExceeded", "The resource '%s' is larger than the limit of %d bytes, compressed, once its loops and parameters are resolved.", r.ID, maxResource).At(r.ID)
		}
		all = append(all, raw)
		if id, err := arm.ParseID(r.ID); err == nil {
			into(groups, id, draft, 0)
		}
	}
	if large(maxResources, all...) {
		return arm.Errorf(400, "JobSizeExceeded", "The resources of the template are larger than the limit of %d bytes, compressed, once loops and parameters are resolved.", maxResources)
	}
	if len(groups) > maxGroups {
		return arm.Errorf(400, "TooManyTargetResourceGroups", "The deployment writes to %d resource groups. The limit of a deployment, with those nested in it, is %d.", len(groups), maxGroups)
	}
	return nil
}

// into notes the group that a resource is written to: its own, or of a deployment those that its template is written to.
func into(groups map[string]bool, id arm.ID, body any, depth int) {
	if !isDeployment(id.Type()) || depth > 8 {
		if id.ResourceGroup != "" {
			groups[id.Group().Key()] = true
		}
		return
	}
	inner, ok := list(at(body, "properties", "template", "resources"))
	if !ok && id.ResourceGroup != "" { // by a link: it is written to a group, whatever it is that is written
		groups[id.Group().Key()] = true
	}
	for _, r := range inner {
		here := arm.ID{Subscription: id.Subscription, ResourceGroup: id.ResourceGroup, Namespace: "Microsoft.Resources", Types: []string{"other"}, Names: []string{"x"}}
		if isDeployment(text(r, "type")) {
			here.Types = []string{"deployments"}
			if s := text(r, "subscriptionId"); s != "" {
				here.Subscription, here.ResourceGroup = s, ""
			}
			if g := text(r, "resourceGroup"); g != "" {
				here.ResourceGroup = g
			}
			if strings.HasPrefix(here.Subscription, "[") || strings.HasPrefix(here.ResourceGroup, "[") {
				continue // not known yet
			}
		}
		into(groups, here, r, depth+1)
	}
}

func isDeployment(typ string) bool { return strings.EqualFold(typ, "Microsoft.Resources/deployments") }

func at(v any, names ...string) any {
	for _, name := range names {
		o, ok := v.(*tree.Object)
		if !ok {
			return nil
		}
		v, _ = o.Get(name)
	}
	return v
}

func text(v any, name string) string { s, _ := at(v, name).(string); return s }

// list gives the elements of an array, or the values of an object of symbolic names.
func list(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case *tree.Object:
		return v.Values, true
	}
	return nil, false
}

var errFull = errors.New("full")

// room takes so many bytes and no more.
type room int

func (r *room) Write(p []byte) (int, error) {
	if *r -= room(len(p)); *r < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// large tells whether texts are larger than a limit even when they are compressed.
func large(limit int, parts ...[]byte) bool {
	sum := 0
	for _, p := range parts {
		sum += len(p)
	}
	if sum <= limit {
		return false
	}
	left := room(limit)
	w, err := flate.NewWriter(&left, flate.BestSpeed)
	for _, p := range parts {
		if err == nil {
			_, err = w.Write(p)
		}
	}
	if err == nil {
		err = w.Close()
	}
	return err != nil
}
