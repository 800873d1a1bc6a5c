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

// buckets says how a region's bucket is opened; each is opened once.
func (a *App) buckets(ctx context.Context) (func(region string) (*blob.Bucket, error), error) {
	open, place := local(a.cfg.Data), dataFolder
	if a.cfg.Blobs != "" {
		c, err := s3blob.Parse(a.cfg.Blobs)
		if err != nil {
			return nil, fmt.Errorf("--blobs: %w", err)
		}
		server, err := s3blob.Dial(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("--blobs: %w", err)
		}
		open, place = func(region string) (*blob.Bucket, error) {
			return packs.New(packs.Config{Bucket: server.Bucket(region), Store: a.store, Region: region, Now: a.cfg.Now})
		}, "s3://"+c.Bucket+"/"+c.Prefix
	}
	if err := a.settle(ctx, place); err != nil {
		return nil, err
	}
	return once(open), nil
}

// local opens the folders in which objects lie without --blobs.
func local(data string) func(region string) (*blob.Bucket, error) {
	return func(region string) (*blob.Bucket, error) {
		return fileblob.Open(filepath.Join(data, "regions", region))
	}
}

// once opens each bucket at its first use.
func once(open func(region string) (*blob.Bucket, error)) func(region string) (*blob.Bucket, error) {
	var mu sync.Mutex
	opened := map[string]*blob.Bucket{}
	return func(region string) (*blob.Bucket, error) {
		mu.Lock()
		defer mu.Unlock()
		if b := opened[region]; b != nil {
			return b, nil
		}
		b, err := open(region)
		if err == nil {
			opened[region] = b
		}
		return b, err
	}
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
