package content

import (
	"encoding/json"

	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// Count makes the quota of a tenant count what a container holds, which is there from before containers were counted.
func (s *Store) Count(tx store.Tx, c Container, tenant string) error {
	var sum int64
	blobs, err := tx.List(store.Query{Kind: blobKind, Prefix: containerPrefix(c.UID)})
	if err != nil {
		return err
	}
	for _, d := range blobs {
		b, err := parse(d)
		if err != nil {
			return err
		}
		sum += b.bytes()
	}
	blocks, err := tx.List(store.Query{Kind: blockKind, Prefix: blockKind + "/" + c.UID + "/"})
	if err != nil {
		return err
	}
	for _, d := range blocks {
		var w waiting
		if err := json.Unmarshal(d.Body, &w); err != nil {
			return err
		}
		sum += w.Size
	}
	return quota.Hold(tx, tenant, holder(c.UID), sum)
}
