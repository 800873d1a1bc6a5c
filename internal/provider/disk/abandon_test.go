package disk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/image/format"
	"vitrine/internal/operation"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

// An upload that was begun and left is given up a week after the last byte, when nobody may write it any more: not while a signed URL
// is good, not while it is being stored. The disk takes another.
func TestAbandonedUploads(t *testing.T) {
	w := newWorld(t)
	sweep := func(when string, uploads int, state string) {
		t.Helper()
		w.must(w.disks.Sweep(context.Background()))
		list, err := w.images.Uploads()
		w.must(err)
		if s := w.info("up").State; len(list) != uploads || s != state {
			t.Fatalf("%s %d uploads are left, the disk is %s", when, len(list), s)
		}
	}
	w.done("PUT", disks+"up", creation(upload))
	const size = 64 << 10
	w.write(w.grant("up", "Write"), 0, make([]byte, 512))
	w.clock(6 * 24 * time.Hour) // the signed URL is for ten minutes
	sweep("before the week is over", 1, disk.ActiveUpload)
	w.clock(2 * 24 * time.Hour)
	w.done("POST", disks+"up/beginGetAccess", `{"access":"Write","durationInSeconds":1209600}`) // two weeks
	sweep("while a signed URL is good", 1, disk.ActiveUpload)
	w.clock(7 * 24 * time.Hour)
	w.storing("up", func() { sweep("while it is being stored", 1, disk.ActiveUpload) })
	sweep("after a week", 0, disk.ReadyToUpload)

	foot := format.VHDFooter(size)
	w.write(w.grant("up", "Write"), size, foot[:])
	w.done("POST", disks+"up/endGetAccess", "")
	w.reads("up", make([]byte, size))
}

// storing runs f while an operation on a disk is open that nobody works on.
func (w *world) storing(name string, f func()) {
	w.Helper()
	id, err := arm.ParseID(disks + name)
	w.must(err)
	const key = operation.Kind + "/storing"
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error {
		if err := operation.Begin(tx, operation.Operation{ID: "storing", Work: "none", Resource: id.Key(), Start: time.Now()}); err != nil {
			return err
		}
		d, err := tx.Get(key)
		if err != nil {
			return err
		}
		d.Due = time.Time{}
		_, err = tx.Put(d)
		return err
	}))
	f()
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return tx.Delete(key, 0) }))
}

// A source whose bytes the operator has destroyed is refused by name, not by a failure of ours that clients try again and again.
func TestSourceWithoutBytes(t *testing.T) {
	w := newWorld(t)
	w.uploaded("up", make([]byte, 64<<10))
	w.must(w.store.Update(context.Background(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: "image.manifest"})
		for _, d := range docs {
			err = errors.Join(err, tx.Delete(d.Key, 0))
		}
		return err
	}))
	_, err := w.do("PUT", disks+"copy", creation(fmt.Sprintf(`"createOption":"Copy","sourceResourceId":"%sup"`, disks)))
	w.refuse(err, 409, "OperationNotAllowed", "not there any more")
}
