package catalog

import (
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// Childless refuses the deletion of what still holds others: documents of a type whose keys begin with prefix.
func Childless(tx store.Tx, typ, prefix string) error {
	inner, err := tx.List(store.Query{Kind: control.Kind(typ), Prefix: prefix, Limit: 3})
	if err != nil || len(inner) == 0 {
		return err
	}
	var names []string
	for _, d := range inner {
		var r struct{ ID string }
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return fmt.Errorf("%s: %w", d.Key, err)
		}
		names = append(names, r.ID)
	}
	return arm.Errorf(409, "CannotDeleteResource",
		"Can not delete resource before nested resources are deleted. Some existing nested resource IDs include: '%s'. Please delete all nested resources before deleting this resource.", strings.Join(names, "', '"))
}

// Alive refuses a child of what is being deleted.
func Alive(parent interface{ State() string }, id arm.ID) error {
	if parent.State() == arm.Deleting {
		return arm.Errorf(409, "Conflict", "The resource '%s' is being deleted.", id)
	}
	return nil
}

// Told is what $expand=ReplicationStatus shows of how far each region is.
func Told(targets []TargetRegion, regions map[string]*Region) *Replication {
	status := &Replication{Aggregated: "Completed"}
	for _, t := range targets {
		l, _ := arm.LocationOf(t.Name)
		region := regions[l.Name]
		if region == nil {
			region = &Region{State: "Unknown"}
		}
		status.Summary = append(status.Summary, RegionStatus{Region: t.Name, State: region.State, Details: region.Details, Progress: region.Progress})
		switch {
		case region.State == Failed && status.Aggregated != "InProgress":
			status.Aggregated = "Failed"
		case region.State == Replicating:
			status.Aggregated = "InProgress"
		}
	}
	return status
}
