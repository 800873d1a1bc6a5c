package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/blob"
	"vitrine/internal/image"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// leftover notes bytes that nothing names any more.
type leftover struct {
	Container string    `json:"container"`
	Region    string    `json:"region"`
	Upload    string    `json:"upload,omitempty"`
	Parts     []Part    `json:"parts,omitempty"`
	Whole     bool      `json:"whole,omitempty"` // all that the container held, documents included
	At        time.Time `json:"at"`
}

const (
	leftoverKind = "vitrine.storage/leftovers"
	perNote      = 5000               // parts in one note
	abandoned    = 7 * 24 * time.Hour // after which blocks that no list named go, as in the service
	sweepPage    = 500
)

// note writes leftovers, in as many documents as they need.
func (s *Store) note(tx store.Tx, l leftover) error {
	l.At = s.Now()
	for first := true; first || len(l.Parts) > 0; first = false {
		if l.Upload == "" && len(l.Parts) == 0 && !l.Whole {
			return nil
		}
		one := l
		one.Parts = l.Parts[:min(len(l.Parts), perNote)]
		l.Parts = l.Parts[len(one.Parts):]
		body, err := json.Marshal(one)
		if err != nil {
			return err
		}
		if _, err := tx.Put(store.Document{Key: leftoverKind + "/" + uuid.NewString(), Kind: leftoverKind, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// leave notes the bytes of a blob that is replaced or deleted, except parts that stay in use.
func (s *Store) leave(tx store.Tx, old *Blob, stay []Part) error {
	l := leftover{Container: old.Container, Region: old.Region}
	if old.Kind == Page {
		l.Upload = upload(old.UID)
		return s.note(tx, l)
	}
	list, err := parts(tx, old)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, p := range stay {
		used[p.UID] = true
	}
	l.Parts = slices.DeleteFunc(list, func(p Part) bool { return used[p.UID] })
	return errors.Join(s.note(tx, l), tx.Delete(listKey(old), 0))
}

// leaveBlock notes the bytes of a block that waited, which count no longer.
func (s *Store) leaveBlock(tx store.Tx, container string, d store.Document) error {
	var w waiting
	if err := json.Unmarshal(d.Body, &w); err != nil {
		return err
	}
	if err := quota.Grow(tx, holder(container), -w.Size); err != nil {
		return err
	}
	return s.note(tx, leftover{Container: container, Region: w.Region, Parts: []Part{w.Part}})
}

// homeKind are the containers that take blobs: whoever began to upload before one was deleted finds it gone at the end, also
// when another of its name has come.
const homeKind = "vitrine.storage/homes"

func homeKey(uid string) string { return homeKind + "/" + uid }

// holder is a container as the quota of its tenant counts it.
func holder(uid string) string { return homeKey(uid) }

// Welcome notes, in the transaction that makes a container, that it takes blobs from now on, which count for a tenant.
func (s *Store) Welcome(tx store.Tx, c Container, tenant string) error {
	if err := quota.Open(tx, tenant, holder(c.UID)); err != nil {
		return err
	}
	_, err := tx.Put(store.Document{Key: homeKey(c.UID), Kind: homeKind, Body: fmt.Appendf(nil, `{"region":%q}`, c.Region)})
	return err
}

// home refuses a container that is not there any more.
func home(tx store.Tx, uid string) error {
	_, err := tx.Get(homeKey(uid))
	if errors.Is(err, store.ErrNotFound) {
		return refuse("ContainerNotFound")
	}
	return err
}

// Forget notes, in the transaction that removes a container, that all it holds is to go.
func (s *Store) Forget(tx store.Tx, c Container) error {
	return errors.Join(missing(tx.Delete(homeKey(c.UID), 0)), quota.Drop(tx, holder(c.UID)), s.note(tx, leftover{Container: c.UID, Region: c.Region, Whole: true}))
}

// Sweep removes bytes that nothing names and blocks that were given up. It may be interrupted and run again, but not twice at a
// time.
func (s *Store) Sweep(ctx context.Context) error {
	return errors.Join(quota.Sweep(ctx, s.Store, s.Now()), s.giveUp(ctx), s.sweepNotes(ctx), s.sweepFiles(ctx), s.sweepPieces(ctx))
}

func (s *Store) sweepNotes(ctx context.Context) error {
	for after := ""; ; {
		var docs []store.Document
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			docs, err = tx.List(store.Query{Kind: leftoverKind, After: after, Limit: sweepPage})
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range docs {
			after = d.Key
			if err := s.sweepNote(ctx, d); err != nil {
				return err
			}
		}
		if len(docs) < sweepPage {
			return nil
		}
	}
}

func (s *Store) sweepNote(ctx context.Context, d store.Document) error {
	var l leftover
	if err := json.Unmarshal(d.Body, &l); err != nil {
		return fmt.Errorf("%s: %w", d.Key, err)
	}
	if s.Now().Sub(l.At) < s.Grace {
		return nil
	}
	bucket, err := s.Bucket(l.Region)
	if err != nil {
		return err
	}
	if l.Whole {
		err = s.sweepContainer(ctx, bucket, l.Container)
	}
	for _, p := range l.Parts {
		err = errors.Join(err, erase(ctx, bucket, l.Container, p))
	}
	if l.Upload != "" {
		err = errors.Join(err, s.Images.RemoveUpload(l.Upload))
	}
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx store.Tx) error { return missing(tx.Delete(d.Key, 0)) })
}

func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func erase(ctx context.Context, bucket *blob.Bucket, container string, p Part) error {
	for i := range int((p.Size + pieceBytes - 1) / pieceBytes) {
		if err := bucket.Delete(ctx, pieceKey(container, p.UID, i)); err != nil {
			return err
		}
	}
	return nil
}

// sweepContainer removes everything of a container that is gone: documents a page at a time, then the bytes by their names.
func (s *Store) sweepContainer(ctx context.Context, bucket *blob.Bucket, container string) error {
	for _, kind := range []string{blobKind, listKind, blockKind} {
		for more := true; more; {
			var uploads []string
			err := s.Store.Update(ctx, func(tx store.Tx) error {
				docs, err := tx.List(store.Query{Kind: kind, Prefix: kind + "/" + container + "/", Limit: sweepPage})
				uploads, more = nil, len(docs) == sweepPage
				for _, d := range docs {
					if b, parsed := parse(d); kind == blobKind && parsed == nil && b.Kind == Page {
						uploads = append(uploads, upload(b.UID))
					}
					err = errors.Join(err, tx.Delete(d.Key, 0))
				}
				return err
			})
			for _, u := range uploads { // a crash here leaves them to sweepFiles
				err = errors.Join(err, s.Images.RemoveUpload(u))
			}
			if err != nil {
				return err
			}
		}
	}
	for info, err := range bucket.All(ctx, "storage/"+container+"/") {
		if err != nil {
			return err
		}
		if err := bucket.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// giveUp notes blocks that waited too long.
func (s *Store) giveUp(ctx context.Context) error {
	for after, more := "", true; more; {
		last := ""
		err := s.Store.Update(ctx, func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: blockKind, After: after, Limit: sweepPage})
			more = len(docs) == sweepPage
			for _, d := range docs {
				last = d.Key
				var w waiting
				if err := json.Unmarshal(d.Body, &w); err != nil {
					return err
				}
				if s.Now().Sub(w.At) < abandoned {
					continue
				}
				container, _, _ := strings.Cut(strings.TrimPrefix(d.Key, blockKind+"/"), "/")
				err = errors.Join(err, s.leaveBlock(tx, container, d), tx.Delete(d.Key, 0))
			}
			return err
		})
		if err != nil {
			return err
		}
		after = last // not in the transaction, which may be run again
	}
	return nil
}

// sweepFiles removes files of page blobs that no document names: a crash came between the two.
func (s *Store) sweepFiles(ctx context.Context) error {
	files, err := s.Images.Uploads()
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(u image.UploadInfo) bool {
		return !strings.HasPrefix(u.ID, image.KeptPrefix) || s.Now().Sub(u.Modified) < time.Hour
	})
	if len(files) == 0 {
		return nil
	}
	live, err := s.liveFiles(ctx)
	for _, u := range files {
		if err == nil && !live[u.ID] {
			err = s.Images.RemoveUpload(u.ID)
		}
	}
	return err
}

// liveFiles are the files that documents name.
func (s *Store) liveFiles(ctx context.Context) (map[string]bool, error) {
	live := map[string]bool{}
	for after, more := "", true; more; {
		err := s.Store.View(ctx, func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: blobKind, Any: []string{pageTerm}, After: after, Limit: sweepPage})
			more = len(docs) == sweepPage
			for _, d := range docs {
				after = d.Key
				b, err := parse(d)
				if err != nil { // whose file it is cannot be told: none may go
					return err
				}
				live[upload(b.UID)] = true
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return live, nil
}
