package template

import (
	"maps"
	"slices"
	"strings"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// index enters every instance under all names that dependsOn, reference() and list*() may use, and finds doubles.
func (x *expander) index() {
	declared := x.ev.Declared
	for i, in := range x.instances {
		t := expr.Target{ID: in.ID, APIVersion: in.APIVersion, Type: in.DeclaredType, Name: in.Name, Index: i}
		if in.symbol != "" {
			x.symbol(in, t)
		}
		if known, ok := declared[tree.Fold(in.ID)]; ok {
			// Of two declarations of which at most one is deployed, that one counts.
			if other := x.instances[known.Index]; in.existing || other.existing {
				continue // several symbols may refer to one resource
			} else if !in.dropped && !other.dropped {
				x.add(invalid(in.at, "The resource '%s' at line '%d' and column '%d' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details",
					in.DeclaredType+"/"+in.Name, in.at.Line, in.at.Column))
				continue
			} else if in.dropped {
				continue
			}
		}
		declared[tree.Fold(in.ID)] = t
		declared[tree.Fold(in.DeclaredType+"/"+in.Name)] = t
		if at := strings.Index(tree.Fold(in.ID), "/providers/"); at >= 0 {
			declared[tree.Fold(in.ID[at+len("/providers/"):])] = t
		}
		if in.symbol != "" {
			continue // a name could be another's symbol
		}
		if known, ok := declared[tree.Fold(in.Name)]; ok && !strings.EqualFold(known.ID, in.ID) {
			t.Ambiguous = true
		}
		declared[tree.Fold(in.Name)] = t
	}
}

// symbol enters an instance under its symbolic name, and under that of its loop.
func (x *expander) symbol(in *instance, t expr.Target) {
	x.ev.Declared[tree.Fold(in.symbol)] = t
	loop, _, inLoop := strings.Cut(tree.Fold(in.symbol), "[")
	if inLoop && !in.dropped {
		x.ev.Symbols[loop] = append(x.ev.Symbols[loop], t)
	}
}

// resolve finds the instances that a dependency names: a copy loop, or a resource by ID, by type and name, or by name.
func (x *expander) resolve(in *instance, name string) ([]int, *Error) {
	if all, ok := x.loops[tree.Fold(name)]; ok {
		return all, nil
	}
	t, ok := x.ev.Declared[tree.Fold(strings.TrimSuffix(name, "/"))]
	switch {
	case ok && !t.Ambiguous:
		return []int{t.Index}, nil
	case ok:
		return nil, invalid(in.at, "The template resource '%s' depends on '%s', which is the name of several resources; use resourceId(). Please see https://aka.ms/arm-syntax-resources for usage details", in.Name, name)
	}
	if at := strings.LastIndex(tree.Fold(name), "/providers/"); at >= 0 {
		name = shortName(name[at+len("/providers/"):])
	}
	return nil, invalid(in.at, "The resource '%s' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details", name)
}

// shortName turns ns/type/name/child/name into ns/type/child/name/name.
func shortName(relative string) string {
	segments := strings.Split(relative, "/")
	types, names := segments[:1:1], []string{}
	for i, s := range segments[1:] {
		if i%2 == 0 {
			types = append(types, s)
		} else {
			names = append(names, s)
		}
	}
	return strings.Join(append(types, names...), "/")
}

// edges returns for each instance the instances it waits for. What a false condition drops is waited for by nobody.
func (x *expander) edges() [][]int {
	all := make([][]int, len(x.instances))
	for i, in := range x.instances {
		if in.dropped {
			continue
		}
		waits := map[int]bool{}
		for _, name := range in.explicit {
			found, err := x.resolve(in, name)
			if err != nil {
				x.add(err)
			}
			if err := x.ev.Spend(1 + len(found)); err != nil {
				x.add(invalid(in.at, "%v", err))
				return nil
			}
			for _, j := range found {
				waits[j] = true
			}
		}
		for _, name := range in.implicit {
			for _, j := range x.implied(name) {
				if j != i {
					waits[j] = true
				}
			}
		}
		for _, j := range in.follows {
			waits[j] = true
		}
		for j := range waits {
			if !x.instances[j].dropped {
				all[i] = append(all[i], j)
			}
		}
		slices.Sort(all[i])
	}
	return x.through(all)
}

// implied finds the instances that reference(), references() or list*() name.
func (x *expander) implied(name string) []int {
	if x.symbols[tree.Fold(name)] {
		return x.loops[tree.Fold(name)]
	}
	if t, ok := x.ev.Find(name); ok && t.Index >= 0 {
		return []int{t.Index}
	}
	return nil
}

// through replaces what waits for an existing resource, which nobody writes, by what that one waits for.
func (x *expander) through(edges [][]int) [][]int {
	var reach func(i int, seen map[int]bool, into map[int]bool)
	reach = func(i int, seen, into map[int]bool) {
		for _, j := range edges[i] {
			switch {
			case !x.instances[j].existing:
				into[j] = true
			case !seen[j]:
				seen[j] = true
				reach(j, seen, into)
			}
		}
	}
	straight := make([][]int, len(edges))
	for i := range edges {
		into := map[int]bool{}
		reach(i, map[int]bool{}, into)
		straight[i] = slices.Sorted(maps.Keys(into))
	}
	return straight
}

// order sorts instances so that each comes after what it waits for, otherwise as the template has them. It returns
// an instance of a cycle, or -1.
func (x *expander) order(edges [][]int) (sorted []int, cycle int) {
	placed := make([]bool, len(x.instances))
	waiting := make([]int, len(x.instances))
	dependents := make([][]int, len(x.instances))
	for i := range edges {
		waiting[i] = len(edges[i])
		for _, j := range edges[i] {
			dependents[j] = append(dependents[j], i)
		}
	}
	skipped := func(i int) bool { return x.instances[i].dropped || x.instances[i].existing }
	ready := func(i int) bool { return !placed[i] && !skipped(i) && waiting[i] == 0 }
	for i := 0; i < len(x.instances); i++ {
		if !ready(i) {
			continue
		}
		placed[i] = true
		sorted = append(sorted, i)
		for _, j := range dependents[i] {
			waiting[j]--
		}
		i = -1 // one before may be ready now
	}
	for i := range x.instances {
		if !placed[i] && !skipped(i) {
			return nil, onCycle(i, edges, placed)
		}
	}
	return sorted, -1
}

// onCycle follows unplaced edges from i until it meets an instance again: that one lies on a cycle.
func onCycle(i int, edges [][]int, placed []bool) int {
	seen := map[int]bool{}
	for !seen[i] {
		seen[i] = true
		i = edges[i][slices.IndexFunc(edges[i], func(j int) bool { return !placed[j] })]
	}
	return i
}

// plan orders the instances.
func (x *expander) plan() (*Plan, []*Error) {
	edges := x.edges()
	if len(x.list) > 0 {
		return nil, x.list
	}
	sorted, cycle := x.order(edges)
	if cycle >= 0 {
		in := x.instances[cycle]
		return nil, []*Error{invalid(in.at, "Circular dependency detected on resource: '%s'. Please see https://aka.ms/arm-syntax-resources for usage details", in.ID)}
	}
	position := make(map[int]int, len(sorted))
	p := &Plan{scope: x.ev.Scope}
	for at, i := range sorted {
		in := x.instances[i]
		position[i] = at
		for _, j := range edges[i] {
			in.DependsOn = append(in.DependsOn, position[j])
		}
		slices.Sort(in.DependsOn)
		p.Resources = append(p.Resources, in.Resource)
		p.bodies = append(p.bodies, in.body)
		p.places = append(p.places, in.at)
	}
	return p, nil
}
