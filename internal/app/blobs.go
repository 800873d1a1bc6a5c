package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/image/packs"
	"vitrine/internal/store"
)

// dataFolder is where objects lie without --blobs.
const dataFolder = "the data folder"

// buckets says how a region's bucket is opened.
func (a *App) buckets(ctx context.Context) (func(region string) (*blob.Bucket, error), error) {
	open, place, err := openBuckets(ctx, a.cfg.Data, a.cfg.Blobs, func(region string, objects *blob.Bucket) (*blob.Bucket, error) {
		c := packs.Config{Bucket: objects, Store: a.store, Region: region, Now: a.cfg.Now}
		if a.cfg.Blobs == "" {
			c = c.InFiles()
		}
		return packs.New(c)
	})
	if err == nil {
		err = a.settle(ctx, place)
	}
	return open, err
}

// openBuckets is for whoever reads objects: those of a data folder, or with an address those in an object store. The caller knows how to
// read the packs in them. Each bucket is opened once.
func openBuckets(ctx context.Context, data, address string, packed func(region string, objects *blob.Bucket) (*blob.Bucket, error)) (_ func(region string) (*blob.Bucket, error), place string, err error) {
	open, place := func(region string) (*blob.Bucket, error) {
		return fileblob.Open(filepath.Join(data, "regions", region))
	}, dataFolder
	if address != "" {
		c, err := s3blob.Parse(address)
		if err != nil {
			return nil, "", fmt.Errorf("--blobs: %w", err)
		}
		server, err := s3blob.Dial(ctx, c)
		if err != nil {
			return nil, "", fmt.Errorf("--blobs: %w", err)
		}
		open, place = func(region string) (*blob.Bucket, error) { return server.Bucket(region), nil }, "s3://"+c.Bucket+"/"+c.Prefix
	}
	var mu sync.Mutex
	opened := map[string]*blob.Bucket{}
	return func(region string) (*blob.Bucket, error) {
		mu.Lock()
		defer mu.Unlock()
		if b := opened[region]; b != nil {
			return b, nil
		}
		objects, err := open(region)
		if err != nil {
			return nil, err
		}
		b, err := packed(region, objects)
		if err == nil {
			opened[region] = b
		}
		return b, err
	}, place, nil
}

// settled is the document that says where an installation's objects lie.
type settled struct {
	Place string `json:"place"`
}

// settle refuses another place than the one that the objects were put to: all images would seem lost. What serves the place, an endpoint,
// may change.
func (a *App) settle(ctx context.Context, place string) error {
	const key = "app/objects"
	return a.store.Update(ctx, func(tx store.Tx) error {
		d, err := tx.Get(key)
		if err == nil {
			var now settled
			if err := json.Unmarshal(d.Body, &now); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			if now.Place != place {
				return fmt.Errorf("the image bytes of this installation lie in %s, not in %s: see --blobs", now.Place, place)
			}
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if place != dataFolder { // an older version wrote no such document
			old, err := tx.List(store.Query{Kind: "image.manifest", Limit: 1})
			if err == nil && len(old) > 0 {
				err = fmt.Errorf("the image bytes of this installation lie in %s, not in %s: see --blobs", dataFolder, place)
			}
			if err != nil {
				return err
			}
		}
		body, err := json.Marshal(settled{place})
		if err != nil {
			return err
		}
		_, err = tx.Put(store.Document{Key: key, Kind: "app.objects", Body: body})
		return err
	})
}
