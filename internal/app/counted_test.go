package app

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/provider/managed"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// What lies in a data folder from before there were quotas is counted once, whatever it is.
func TestCounted(t *testing.T) {
	s, _ := tenants(t)
	a := s.a
	const group = "/subscriptions/" + ownSub + "/resourceGroups/rg/providers/"
	id := func(path string) arm.ID {
		p, err := arm.ParseID(group + path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var box content.Container
	err := a.store.Update(t.Context(), func(tx store.Tx) error {
		d := control.Make[disk.Properties](id("Microsoft.Compute/disks/d"), "eastus", a.cfg.Now())
		d.Properties.DiskSizeBytes = 1
		n := control.Make[disk.Properties](id("Microsoft.Compute/snapshots/s"), "eastus", a.cfg.Now())
		n.Properties.DiskSizeBytes = 10
		m := control.Make[managed.Properties](id("Microsoft.Compute/images/i"), "eastus", a.cfg.Now())
		m.Properties.Content = []managed.Content{{SizeGB: 1}, {SizeGB: 1}}
		v := control.Make[catalog.Version](id("Microsoft.Compute/galleries/g/images/i/versions/1.0.0"), "eastus", a.cfg.Now())
		v.Properties.Content, v.Properties.Regions = []catalog.Content{{SizeGB: 4}}, map[string]*catalog.Region{"eastus": {}, "westus": {}}
		old := control.Make[catalog.Version](id("Microsoft.Compute/galleries/g/images/i/versions/2.0.0"), "eastus", a.cfg.Now())
		old.Properties.Content = []catalog.Content{{SizeGB: 16}}
		grave, err := catalog.Bury(old, catalog.SoftDeletePolicy{}, a.cfg.Now())
		c := control.Make[storage.Container](id("Microsoft.Storage/storageAccounts/acct/blobServices/default/containers/box"), "", a.cfg.Now())
		c.Properties.UniqueID = "11111111-1111-4111-8111-111111111111"
		box = content.Container{UID: c.Properties.UniqueID, Region: "eastus"}
		return errors.Join(err, control.Save(tx, d), control.Save(tx, n), control.Save(tx, m), control.Save(tx, v), control.Save(tx, grave), control.Save(tx, c),
			a.rooms.content.Welcome(tx, box, ownTenant))
	})
	if err != nil {
		t.Fatal(err)
	}
	always := func(*content.Blob) error { return nil }
	err = errors.Join(a.rooms.content.PutBlob(t.Context(), box, &content.Blob{Name: "b"}, strings.NewReader("12345"), 5, always),
		a.rooms.content.PutBlock(t.Context(), content.Address{Container: box, Name: "c"}, "YQ==", bytes.NewReader(make([]byte, 95)), 95, always))
	if err != nil {
		t.Fatal(err)
	}
	const want = 1 + 10 + 2<<30 + 8<<30 + 16<<30 + 5 + 95
	used := func() (n int64) {
		err := a.store.View(t.Context(), func(tx store.Tx) error {
			got, err := quota.Of(tx, ownTenant)
			n = got.Used
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := used(); n != want-16<<30 {
		t.Fatal("the grave was never a version here", n)
	}
	forget := func(tx store.Tx) error {
		for _, kind := range []string{"quota/held", "quota/tenants", "quota/counted"} {
			docs, err := tx.List(store.Query{Kind: kind})
			if err != nil || len(docs) == 0 {
				return fmt.Errorf("%s: %d documents, %w", kind, len(docs), err)
			}
			for _, d := range docs {
				if err := tx.Delete(d.Key, 0); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := a.store.Update(t.Context(), forget); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := a.quotas(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := used(); n != want {
			t.Errorf("%d bytes are counted, want %d", n, want)
		}
	}
}
