package catalog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/blob"
	"vitrine/internal/control"
	"vitrine/internal/image"
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

// Aim is the record of regions that targets ask for: what is whole stays so, all else begins.
func Aim(targets []TargetRegion, had map[string]*Region) map[string]*Region {
	next := map[string]*Region{}
	for _, t := range targets {
		l, _ := arm.LocationOf(t.Name)
		next[l.Name] = &Region{State: Replicating}
		if r := had[l.Name]; r != nil && r.State == Completed {
			next[l.Name] = r
		}
	}
	return next
}

// Ended records the end of the work on regions and gives the state of their version: with a failure, what has not come is failed.
func Ended(regions map[string]*Region, failure *arm.Error) (state string) {
	if failure == nil {
		return arm.Succeeded
	}
	for _, r := range regions {
		if r.State == Replicating {
			r.State, r.Details = Failed, failure.Message
		}
	}
	return arm.Failed
}

// Failures tells of the regions that failed; nil when none did.
func Failures(version string, targets []TargetRegion, regions map[string]*Region) error {
	var names []string
	for _, t := range targets {
		l, _ := arm.LocationOf(t.Name)
		if r := regions[l.Name]; r != nil && r.State == Failed {
			names = append(names, t.Name+": "+r.Details)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return arm.Errorf(409, "ReplicationJobsFailed", "The replication jobs of the %s failed in one or more regions. Retry the operation, or remove the regions. %s", version, strings.Join(names, " "))
}

// Faulty is a region to which what a version holds could not be copied.
func Faulty(what string, at *Region, err error) Region {
	details := "The region's storage did not take the " + what + "."
	var damaged *image.CorruptError
	switch {
	case errors.As(err, &damaged):
		details = "The " + what + " is damaged in its source region."
	case blob.IsFull(err):
		details = "The region's storage is full."
	}
	return Region{State: Failed, Progress: at.Progress, Details: details}
}

// Complete fills in what targets do not say: as it was, else as all says. The kind of storage of a region that stays cannot change
// (gallery.md 7). at begins the faults' targets.
func Complete(targets, was []TargetRegion, all TargetRegion, at string) error {
	before := map[string]string{}
	for _, t := range was {
		before[t.Name] = t.StorageAccount
	}
	for i := range targets {
		t, had := &targets[i], before[targets[i].Name]
		if t.RegionalReplicaCount == nil {
			t.RegionalReplicaCount = new(*all.RegionalReplicaCount)
		}
		t.StorageAccount = cmp.Or(t.StorageAccount, had, all.StorageAccount)
		for n := range t.ReplicaSets {
			if t.ReplicaSets[n].RegionalReplicaCount == nil {
				t.ReplicaSets[n].RegionalReplicaCount = new(int32(1))
			}
		}
		if had != "" && had != t.StorageAccount {
			return NotChangeable(at + "targetRegions.storageAccountType")
		}
	}
	return nil
}

// StorageOf is the kind of storage of regions that name none.
func StorageOf(kind, strategy string) string {
	if kind == "" && strategy == PreferZRS {
		return "Standard_ZRS"
	}
	return cmp.Or(kind, "Standard_LRS")
}
