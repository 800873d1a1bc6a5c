package content

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// Part is one block of a blob, as its list names it.
type Part struct {
	ID   string `json:"id,omitempty"` // base64, as the client gave it; empty for a blob that came in one piece
	UID  string `json:"uid"`          // names its bytes
	Size int64  `json:"size"`
}

const (
	listKind  = "vitrine.storage/lists"  // the blocks of a blob
	blockKind = "vitrine.storage/blocks" // blocks that no list has named yet
	maxID     = 64                       // bytes of a block's ID
)

func listKey(b *Blob) string { return listKind + "/" + b.Container + "/" + b.UID }

func putList(tx store.Tx, b *Blob, parts []Part) error {
	body, err := json.Marshal(parts)
	if err != nil {
		return err
	}
	b.Blocks, b.Size = len(parts), 0
	for _, p := range parts {
		b.Size += p.Size
	}
	_, err = tx.Put(store.Document{Key: listKey(b), Kind: listKind, Body: body})
	return err
}

func parts(tx store.Tx, b *Blob) ([]Part, error) {
	d, err := tx.Get(listKey(b))
	if err != nil {
		return nil, err
	}
	var list []Part
	err = json.Unmarshal(d.Body, &list)
	return list, err
}

// blockPrefix holds a blob's blocks that wait: its name is hashed, since it may fill a key by itself.
func blockPrefix(container, name string) string {
	sum := sha256.Sum256([]byte(name))
	return blockKind + "/" + container + "/" + hex.EncodeToString(sum[:]) + "/"
}

// waiting is a block that no list has named yet.
type waiting struct {
	Part
	Region string    `json:"region"`
	At     time.Time `json:"at"`
}

// PutBlock keeps a block of n bytes for a list that will name it. check sees the blob as it is now, if any.
func (s *Store) PutBlock(ctx context.Context, at Address, id string, r io.Reader, n int64, check Check) error {
	raw, err := base64.StdEncoding.DecodeString(id)
	if err != nil || len(raw) == 0 || len(raw) > maxID {
		return refuse("InvalidQueryParameterValue")
	}
	room, err := quota.Reserve(ctx, s.Store, holder(at.UID), n, s.Now())
	if err != nil {
		return err
	}
	part, err := s.store(ctx, at.Container, r, n)
	if err != nil {
		s.giveBack(ctx, room)
		return err
	}
	part.ID = id
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := s.current(tx, at, check); err != nil {
			return err
		}
		if err := errors.Join(room.Release(tx), quota.Grow(tx, holder(at.UID), n)); err != nil {
			return err
		}
		k := blockPrefix(at.UID, at.Name) + hex.EncodeToString(raw)
		body, err := json.Marshal(waiting{part, at.Region, s.Now()})
		if err != nil {
			return err
		}
		next := store.Document{Key: k, Kind: blockKind, Body: body}
		old, err := tx.Get(k)
		switch {
		case err == nil:
			next.ETag = old.ETag
			if err := s.leaveBlock(tx, at.UID, old); err != nil {
				return err
			}
		case !errors.Is(err, store.ErrNotFound):
			return err
		default:
			if err := s.fewer(tx, at, len(raw)); err != nil {
				return err
			}
		}
		_, err = tx.Put(next)
		return err
	})
	if err != nil {
		s.undo(ctx, err, at.Container, part)
		s.giveBack(ctx, room)
	}
	return err
}

// giveBack ends the reservation for a body that came to nothing. What fails here is left to Sweep.
func (s *Store) giveBack(ctx context.Context, room quota.Reservation) {
	if err := s.Store.Update(context.WithoutCancel(ctx), room.Release); err != nil {
		s.Log.Warn("bytes stay reserved until they are swept", "error", err)
	}
}

// fewer checks the count of the blocks that wait, and that the new one's ID is as long as theirs (the service's rule).
func (s *Store) fewer(tx store.Tx, at Address, length int) error {
	q := store.Query{Kind: blockKind, Prefix: blockPrefix(at.UID, at.Name), Limit: 1}
	first, err := tx.List(q)
	if err != nil {
		return err
	}
	if len(first) > 0 && len(first[0].Key)-len(q.Prefix) != 2*length {
		return refuse("InvalidBlobOrBlock")
	}
	q.Limit = 2 * MaxBlocks
	if len(first) == 0 {
		return nil
	}
	// Counting costs a listing, so only one in 1,024 puts does it: the limit may be passed by as many.
	if id := uuid.New(); id[0] != 0 || id[1]%4 != 0 {
		return nil
	}
	all, err := tx.List(q)
	if err == nil && len(all) >= 2*MaxBlocks {
		return refuse("RequestEntityTooLargeBlockCountExceedsLimit")
	}
	return err
}

// store keeps n bytes of r as one part, in pieces. What an error leaves is removed.
func (s *Store) store(ctx context.Context, c Container, r io.Reader, n int64) (Part, error) {
	bucket, err := s.Bucket(c.Region)
	if err != nil {
		return Part{}, err
	}
	part := Part{UID: uuid.NewString(), Size: n}
	buffer := make([]byte, min(n, pieceBytes))
	for off, i := int64(0), 0; off < n; i++ {
		piece := buffer[:min(n-off, pieceBytes)]
		if _, err = io.ReadFull(r, piece); err != nil {
			err = fmt.Errorf("%w: %w", refuse("IncompleteBody"), err)
			break
		}
		if _, err = bucket.Put(ctx, pieceKey(c.UID, part.UID, i), piece); err != nil {
			break
		}
		off += int64(len(piece))
	}
	if err != nil {
		s.drop(ctx, c, part)
	}
	return part, err
}

func pieceKey(container, uid string, i int) string {
	return "storage/" + container + "/" + uid + "/" + strconv.Itoa(i)
}

// drop removes the pieces of parts that nothing names, also when ctx has ended: that is often why nothing does. What fails
// here is left to sweepPieces.
func (s *Store) drop(ctx context.Context, c Container, list ...Part) {
	bucket, err := s.Bucket(c.Region)
	for _, p := range list {
		if err == nil {
			err = erase(context.WithoutCancel(ctx), bucket, c.UID, p)
		}
	}
	if err != nil {
		s.Log.Warn("bytes that no blob names stay until they are swept", "container", c.UID, "error", err)
	}
}

// undo is drop after a transaction that failed and would have named the parts.
func (s *Store) undo(ctx context.Context, failure error, c Container, list ...Part) {
	if surely(failure) {
		s.drop(ctx, c, list...)
	}
}

// surely says whether a transaction that failed has changed nothing: else bytes that it would have named stay, for the sweeps to judge.
func surely(failure error) bool { return !errors.Is(failure, store.ErrInDoubt) }

// PutBlob stores a block blob that comes in one request.
func (s *Store) PutBlob(ctx context.Context, c Container, next *Blob, r io.Reader, n int64, check Check) error {
	room, err := quota.Reserve(ctx, s.Store, holder(c.UID), n, s.Now())
	if err != nil {
		return err
	}
	part, err := s.store(ctx, c, r, n)
	if err != nil {
		s.giveBack(ctx, room)
		return err
	}
	list := []Part{part}
	if n == 0 {
		list = []Part{}
	}
	next.Kind, next.UID = Block, uuid.NewString()
	err = s.replace(ctx, c, next, check, func(tx store.Tx, _ *Blob) ([]Part, error) { return list, room.Release(tx) })
	if err != nil {
		s.undo(ctx, err, c, part)
		s.giveBack(ctx, room)
		return err
	}
	return nil
}

// From says where Put Block List looks for a block.
type From int

// The places.
const (
	Latest From = iota // uncommitted first
	Committed
	Uncommitted
)

// Item is one entry of a client's block list.
type Item struct {
	ID   string
	From From
}

// PutBlockList makes a blob of blocks. Blocks that the list does not name are gone afterwards, as in the service.
func (s *Store) PutBlockList(ctx context.Context, c Container, next *Blob, items []Item, check Check) error {
	if len(items) > MaxBlocks {
		return refuse("BlockListTooLong")
	}
	next.Kind, next.UID = Block, uuid.NewString()
	return s.replace(ctx, c, next, check, func(tx store.Tx, old *Blob) ([]Part, error) {
		if old != nil && old.Kind != Block {
			return nil, refuse("InvalidBlobType")
		}
		return s.choose(tx, Address{c, next.Name}, old, items)
	})
}

// choose finds the blocks that a list names.
func (s *Store) choose(tx store.Tx, at Address, old *Blob, items []Item) ([]Part, error) {
	committed, fresh, err := s.known(tx, at, old)
	if err != nil {
		return nil, err
	}
	chosen := make([]Part, 0, len(items))
	for _, it := range items {
		part, ok := fresh[it.ID]
		if it.From == Committed || !ok && it.From == Latest {
			part, ok = committed[it.ID]
		}
		if !ok {
			return nil, refuse("InvalidBlockList")
		}
		chosen = append(chosen, part)
	}
	return chosen, nil
}

func (s *Store) known(tx store.Tx, at Address, old *Blob) (committed, fresh map[string]Part, err error) {
	committed, fresh = map[string]Part{}, map[string]Part{}
	if old != nil && old.Kind == Block {
		list, err := parts(tx, old)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range list {
			committed[p.ID] = p
		}
	}
	docs, err := tx.List(store.Query{Kind: blockKind, Prefix: blockPrefix(at.UID, at.Name)})
	for _, d := range docs {
		var w waiting
		if err := json.Unmarshal(d.Body, &w); err != nil {
			return nil, nil, err
		}
		fresh[w.ID] = w.Part
	}
	return committed, fresh, err
}

// settle removes the documents of the blocks that waited, and notes the bytes of those that were not chosen.
func (s *Store) settle(tx store.Tx, at Address, chosen []Part) error {
	docs, err := tx.List(store.Query{Kind: blockKind, Prefix: blockPrefix(at.UID, at.Name)})
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, p := range chosen {
		used[p.UID] = true
	}
	var unused []Part
	var waited int64
	for _, d := range docs {
		var w waiting
		if err := json.Unmarshal(d.Body, &w); err != nil {
			return err
		}
		if waited += w.Size; !used[w.UID] {
			unused = append(unused, w.Part)
		}
		if err := tx.Delete(d.Key, 0); err != nil {
			return err
		}
	}
	return errors.Join(quota.Grow(tx, holder(at.UID), -waited), s.note(tx, leftover{Container: at.UID, Region: at.Region, Parts: unused}))
}

// Blocks lists a blob's blocks: those of the blob, and those that wait. BlobNotFound when there are neither.
func (s *Store) Blocks(ctx context.Context, at Address) (committed, fresh []Part, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		committed, fresh = nil, nil
		b, err := load(tx, at.UID, at.Name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			if b.Kind != Block {
				return refuse("InvalidBlobType")
			}
			if committed, err = parts(tx, b); err != nil {
				return err
			}
		}
		_, byID, err := s.known(tx, at, nil)
		for _, p := range byID {
			fresh = append(fresh, p)
		}
		if err == nil && b == nil && len(fresh) == 0 {
			return refuse("BlobNotFound")
		}
		return err
	})
	slices.SortFunc(fresh, func(a, b Part) int { return strings.Compare(a.ID, b.ID) })
	return committed, fresh, err
}

// Reader reads a block blob at any offset.
type Reader struct {
	ctx       context.Context
	s         *Store
	container Container
	parts     []Part
	starts    []int64 // where each part begins
	size      int64
	from      int64 // of the bytes that are at hand
	at        []byte
}

// Open prepares to read a block blob. It is for one reader at a time.
func (s *Store) Open(ctx context.Context, b *Blob) (*Reader, error) {
	r := &Reader{ctx: ctx, s: s, container: Container{b.Container, b.Region}, size: b.Size}
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		r.parts, err = parts(tx, b)
		return err
	})
	if errors.Is(err, store.ErrNotFound) { // replaced since it was looked up
		return nil, refuse("BlobNotFound")
	}
	var at int64
	for _, p := range r.parts {
		r.starts = append(r.starts, at)
		at += p.Size
	}
	return r, err
}

// Size of the blob in bytes.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		if off < r.from || off >= r.from+int64(len(r.at)) {
			if err := r.load(off); err != nil {
				return n, err
			}
		}
		k := copy(p[n:], r.at[off-r.from:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// readBytes are read of a piece at once: many slow readers must not hold many pieces.
const readBytes = 1 << 20

// load reads the bytes at and after an offset, as far as their piece goes.
func (r *Reader) load(off int64) error {
	i, _ := slices.BinarySearch(r.starts, off+1)
	i--
	part, within := r.parts[i], off-r.starts[i]
	piece := within / pieceBytes
	bucket, err := r.s.Bucket(r.container.Region)
	if err != nil {
		return err
	}
	begin := within % pieceBytes / readBytes * readBytes
	n := min(readBytes, min(part.Size-piece*pieceBytes, pieceBytes)-begin)
	r.at, err = bucket.GetRange(r.ctx, pieceKey(r.container.UID, part.UID, int(piece)), begin, n)
	r.from = r.starts[i] + piece*pieceBytes + begin
	if err != nil {
		r.at = nil
	}
	return err
}

var _ io.ReaderAt = (*Reader)(nil)
