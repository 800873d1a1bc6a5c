package app

import (
	"context"

	"vitrine/internal/control"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/provider/managed"
	"vitrine/internal/provider/restore"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// quotas sets the limit of tenants without one of their own. In a data folder from before there were quotas it first counts
// what is there, once, before anything can be refused.
func (a *App) quotas(ctx context.Context) error {
	return a.store.Update(ctx, func(tx store.Tx) error {
		counted, err := quota.Counted(tx)
		if err != nil {
			return err
		}
		if !counted {
			if err := a.count(tx); err != nil {
				return err
			}
		}
		return quota.SetDefault(tx, a.cfg.TenantQuota)
	})
}

func (a *App) count(tx store.Tx) error {
	for _, each := range []func() error{
		func() error { return holds[disk.Properties](tx, disk.Type) },
		func() error { return holds[disk.Properties](tx, disk.SnapshotType) },
		func() error { return holds[managed.Properties](tx, managed.Type) },
		func() error { return holds[restore.Point](tx, restore.PointType) },
		func() error { return holds[catalog.Version](tx, catalog.VersionType) },
		func() error { return buried(tx) },
		func() error { return a.contained(tx) },
		func() error { return quota.SetCounted(tx) },
	} {
		if err := each(); err != nil {
			return err
		}
	}
	return nil
}

// holds counts the resources of a type.
func holds[T any](tx store.Tx, typ string) error {
	all, err := control.Select[T](tx, store.Query{Kind: control.Kind(typ)})
	for _, r := range all {
		if err := count(tx, r); err != nil {
			return err
		}
	}
	return err
}

func count[T any](tx store.Tx, r *control.Resource[T]) error {
	id := r.ParsedID()
	return quota.Count(tx, func() (string, error) { return control.TenantOf(tx, id.Subscription) }, id.Key(), &r.Properties)
}

// buried counts soft-deleted versions, by the IDs that they had.
func buried(tx store.Tx) error {
	graves, err := control.Select[catalog.Grave](tx, store.Query{Kind: control.Kind(catalog.GraveType)})
	for _, g := range graves {
		v, err := g.Properties.Exhume()
		if err != nil {
			return err
		}
		if err := count(tx, v); err != nil {
			return err
		}
	}
	return err
}

// contained counts the blobs of storage accounts.
func (a *App) contained(tx store.Tx) error {
	all, err := control.Select[storage.Container](tx, store.Query{Kind: control.Kind(storage.ContainerType)})
	for _, c := range all {
		tenant, err := control.TenantOf(tx, c.ParsedID().Subscription)
		if err != nil {
			return err
		}
		if err := a.rooms.content.Count(tx, content.Container{UID: c.Properties.UniqueID}, tenant); err != nil {
			return err
		}
	}
	return err
}
