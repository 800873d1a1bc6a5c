package power

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/image"
	"vitrine/internal/image/packs"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
)

const (
	domain   = "tenant-1"
	versions = 10
	piece    = 256 << 10
)

var regions = []string{"eastus", "westus"}

// event is something that was done: begun and acknowledged when the log had these lengths.
type event struct {
	What     string // put, pin, unpin, make or upload (a file that a client fills), or what leaves nothing to ask for
	Way      string `json:",omitempty"` // of a put
	Key      string `json:",omitempty"`
	Sum      string `json:",omitempty"` // of what was put
	Region   string `json:",omitempty"`
	Version  uint64 `json:",omitempty"`
	Ref      image.Ref
	Begun    int64
	Answered int64
}

// shop is an image store as a server has it, in a process of its own: its files stay open until that ends.
type shop struct {
	docs    *store.Store
	images  *image.Store
	buckets map[string]*blob.Bucket
}

// open uses the folder root. A lone region heals nothing: what is lost must be seen.
func open(root string, packed bool, healing []string) (*shop, error) {
	driver, err := sqlstore.OpenSQLite(filepath.Join(root, "vitrine.db"))
	if err != nil {
		return nil, err
	}
	s := &shop{docs: store.New(driver), buckets: map[string]*blob.Bucket{}}
	for _, region := range regions {
		b, err := fileblob.Open(filepath.Join(root, "regions", region))
		if err == nil && packed {
			b, err = packs.New(packs.Config{Bucket: b, Store: s.docs, Region: region, Target: 1 << 20})
		}
		if err != nil {
			return nil, err
		}
		s.buckets[region] = b
	}
	sealer, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		return nil, err
	}
	s.images, err = image.New(image.Config{Store: s.docs, Dir: filepath.Join(root, "image"), Sealer: sealer, Regions: healing, Workers: 2,
		Buckets: func(region string) (*blob.Bucket, error) { return s.buckets[region], nil }})
	return s, err
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// content is the disk of a version: pieces that other versions have too, some of its own, and zeros.
func content(version uint64) []byte {
	r, b := rand.New(rand.NewPCG(version, 11)), []byte(nil)
	for range 4 {
		b = append(b, noise(r.Uint64N(12), piece)...)
	}
	return append(append(b, make([]byte, piece)...), noise(1000+version, piece)...)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// worker does what a server would, and says on its standard output what it has done.
type worker struct {
	*shop
	rng  *rand.Rand
	log  string
	refs map[uint64]image.Ref // by version: pinned in eastus
}

func work(ctx context.Context, in order) error {
	s, err := open(in.Root, in.Packed, regions)
	if err != nil {
		return err
	}
	w := &worker{shop: s, rng: rand.New(rand.NewPCG(in.Seed, 1)), log: in.Log, refs: map[uint64]image.Ref{}}
	for n := range 12 {
		if err := w.object(ctx, n); err != nil {
			return err
		}
	}
	for v := uint64(1); v <= versions; v++ {
		if err := w.version(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// step does something and tells of it.
func (w *worker) step(e []event, do func() error) error {
	begun, err := os.Stat(w.log)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s %s %d: %w", e[0].What, e[0].Region, e[0].Version, err)
	}
	answered, err := os.Stat(w.log)
	if err != nil {
		return err
	}
	for _, one := range e {
		one.Begun, one.Answered = begun.Size(), answered.Size()
		if err := json.NewEncoder(os.Stdout).Encode(one); err != nil {
			return err
		}
	}
	return nil
}

var ways = []string{"put", "replace", "batch"}

// object writes objects by each of the three ways there are; nothing else is going on that would wait for the disk.
func (w *worker) object(ctx context.Context, n int) error {
	b := w.buckets[regions[n%2]]
	var told []event
	data := map[string][]byte{}
	for i := range []int{1, 1, 12}[n%3] {
		key := fmt.Sprintf("other/%02d/%d", n, i)
		if ways[n%3] == "replace" {
			key = "other/replaced"
		}
		data[key] = noise(w.rng.Uint64(), 1+w.rng.IntN(60_000))
	}
	for key, d := range data {
		told = append(told, event{What: "put", Way: ways[n%3], Region: regions[n%2], Key: key, Sum: sum(d)})
	}
	return w.step(told, func() error {
		if ways[n%3] == "batch" {
			batch, err := b.Batch(ctx)
			if err != nil {
				return err
			}
			for key, d := range data {
				if err := batch.Put(ctx, key, d); err != nil {
					return err
				}
			}
			return batch.Commit(ctx)
		}
		for key, d := range data {
			if ways[n%3] == "replace" {
				return b.Replace(ctx, key, d)
			}
			if _, err := b.Put(ctx, key, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// version publishes one, and does something with it or with others.
func (w *worker) version(ctx context.Context, v uint64) error {
	if err := w.publish(ctx, v); err != nil {
		return err
	}
	if v%2 == 0 {
		ref := w.refs[v]
		err := w.step([]event{{What: "pin", Region: "westus", Version: v, Ref: ref}}, func() error {
			if err := w.images.Replicate(ctx, ref, "eastus", "westus", nil); err != nil {
				return err
			}
			return w.docs.Update(ctx, func(tx store.Tx) error { return w.images.Pin(tx, ref, "westus", "/v") })
		})
		if err != nil {
			return err
		}
	}
	switch v % 5 {
	case 1:
		return w.step([]event{{What: "base"}}, func() error {
			_, err := w.images.Base(ctx, "eastus", w.refs[v])
			return err
		})
	case 2:
		return w.upload(v)
	case 3:
		if err := w.unpublish(ctx); err != nil {
			return err
		}
		return w.step([]event{{What: "collect"}}, func() error {
			_, err := w.images.CollectOlder(ctx, "eastus", 0)
			return err
		})
	case 4:
		return w.step([]event{{What: "rotate"}}, func() error {
			_, err := w.images.Keys().Rotate(ctx, domain)
			return err
		})
	}
	return nil
}

func (w *worker) publish(ctx context.Context, v uint64) error {
	d := content(v)
	told := []event{{What: "pin", Region: "eastus", Version: v}}
	return w.step(told, func() (err error) {
		ref, err := w.images.Pack(ctx, "eastus", domain, bytes.NewReader(d), int64(len(d)), nil)
		if err != nil {
			return err
		}
		told[0].Ref, w.refs[v] = ref, ref
		return w.docs.Update(ctx, func(tx store.Tx) error { return w.images.Pin(tx, ref, "eastus", "/v") })
	})
}

func (w *worker) unpublish(ctx context.Context) error {
	var list []uint64
	for v := range w.refs {
		list = append(list, v)
	}
	slices.Sort(list)
	v := list[w.rng.IntN(len(list))]
	ref := w.refs[v]
	delete(w.refs, v)
	return w.step([]event{{What: "unpin", Region: "eastus", Version: v, Ref: ref}}, func() error {
		return w.docs.Update(ctx, func(tx store.Tx) error { return w.images.Unpin(tx, ref, "eastus", "/v") })
	})
}

func (w *worker) upload(v uint64) error {
	d, id := noise(v, 64<<10), fmt.Sprintf("upload-%d", v)
	made := []event{{What: "make", Key: id}}
	if err := w.step(made, func() error { return w.images.CreateUpload(id, int64(len(d))) }); err != nil {
		return err
	}
	return w.step([]event{{What: "upload", Key: id, Sum: sum(d)}}, func() error {
		u, err := w.images.OpenUpload(id)
		if err != nil {
			return err
		}
		defer u.Close()
		if _, err := u.WriteAt(d, 0); err != nil {
			return err
		}
		return u.Sync()
	})
}
