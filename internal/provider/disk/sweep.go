package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/store"
)

// leftoverKind is the store's kind of the notes that files of a deleted disk are still there.
const leftoverKind = "disk/leftover"

type leftover struct {
	UniqueID string `json:"uniqueId"`
}

// leave notes, in the transaction that removes a disk, that its files are to be removed.
func leave(tx store.Tx, d *resource) error {
	id := d.Properties.UniqueID
	_, err := tx.Put(store.Document{Key: leftoverKind + "/" + id, Kind: leftoverKind, Terms: []string{"disk:" + d.ParsedID().Key()}, Body: raw(leftover{id})})
	return err
}

// Discard removes the files of disks of this ID that Delete has removed; those of one that exists are left alone.
func (p *Provider) Discard(ctx context.Context, disk arm.ID) error {
	return p.clean(ctx, store.Query{Kind: leftoverKind, All: []string{"disk:" + disk.Key()}})
}

func (p *Provider) clean(ctx context.Context, q store.Query) error {
	var docs []store.Document
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		docs, err = tx.List(q)
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range docs {
		var l leftover
		if err := json.Unmarshal(d.Body, &l); err != nil || l.UniqueID == "" {
			return fmt.Errorf("%s: unreadable: %w", d.Key, err)
		}
		if err := errors.Join(os.RemoveAll(p.overlayDir(l.UniqueID)), p.Images.RemoveUpload(l.UniqueID)); err != nil {
			return err
		}
		err := p.store.Update(ctx, func(tx store.Tx) error { return tx.Delete(d.Key, 0) })
		if err := gone(err); err != nil {
			return err
		}
	}
	return nil
}

// young is how old a file without a disk must be before it is taken for a leftover: its disk may be about to be written.
const young = time.Hour

// Sweep removes what a crash or time left behind: grants that have expired, overlays and uploads of disks that are
// gone, uploads that were given up.
func (p *Provider) Sweep(ctx context.Context) error {
	return errors.Join(p.sweepGrants(ctx), p.clean(ctx, store.Query{Kind: leftoverKind}), p.sweepFiles(ctx))
}

func (p *Provider) sweepGrants(ctx context.Context) error {
	return p.store.Update(ctx, func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: GrantKind})
		if err != nil {
			return err
		}
		for _, d := range docs {
			g, err := loadGrant(tx, d.Key)
			if err != nil {
				return err
			}
			_, err = tx.Get(g.Disk)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err == nil && p.Now().Before(g.Until) {
				continue
			}
			if err := p.end(tx, g); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweepCopies removes copies of running machines' disks that a crash left behind. One that is being made is never old.
func (p *Provider) sweepCopies() (err error) {
	paths, err := filepath.Glob(filepath.Join(p.Dir, "disks", "*", copyPrefix+"*"))
	for _, path := range paths {
		if st, gone := os.Stat(path); gone == nil && p.Now().Sub(st.ModTime()) > young {
			err = errors.Join(err, removeFile(path))
		}
	}
	return err
}

func (p *Provider) sweepFiles(ctx context.Context) error {
	live := map[string]string{} // the disk by its unique ID
	err := p.store.View(ctx, func(tx store.Tx) error {
		clear(live)
		for _, typ := range []string{Type, SnapshotType} {
			all, err := control.Select[Properties](tx, store.Query{Kind: control.Kind(typ)})
			if err != nil {
				return err
			}
			for _, d := range all {
				live[d.Properties.UniqueID] = d.ID
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	uploads, err := p.Images.Uploads()
	for _, u := range uploads {
		disk, age := live[u.ID], p.Now().Sub(u.Modified)
		switch {
		case strings.HasPrefix(u.ID, image.KeptPrefix) || age <= young:
		case disk == "":
			err = errors.Join(err, p.Images.RemoveUpload(u.ID))
		case age > abandoned:
			err = errors.Join(err, p.abandon(ctx, disk, u.ID))
		}
	}
	err = errors.Join(err, p.sweepCopies())
	folders, listing := os.ReadDir(filepath.Join(p.Dir, "disks"))
	if listing != nil && !errors.Is(listing, os.ErrNotExist) {
		return errors.Join(err, listing)
	}
	for _, f := range folders {
		st, gone := f.Info()
		if gone == nil && live[f.Name()] == "" && p.Now().Sub(st.ModTime()) > young {
			err = errors.Join(err, os.RemoveAll(p.overlayDir(f.Name())))
		}
	}
	return err
}
