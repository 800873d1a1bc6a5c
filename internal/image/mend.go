package image

import (
	"bytes"
	"context"
	"errors"

	"vitrine/internal/blob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/keyring"
	"vitrine/internal/store"
)

// keyFault is a key that could not be looked up: no fault of the bytes that ask for it.
type keyFault struct{ error }

func (k keyFault) Unwrap() error { return k.error }

// damage says whether err, met on the way from an object to its content, is a fault of the stored bytes.
func damage(err error) bool {
	_, ours := errors.AsType[keyFault](err)
	return !ours && !errors.Is(err, blob.ErrAway) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// keys finds the keys of a domain for the codec. A key that nobody knows is damage: its id stands in the object.
func (s *Store) keys(ctx context.Context, domain string) chunk.Keys {
	return func(id string) (*chunk.Key, error) {
		if s.handed != nil {
			k, err := s.handed(ctx, domain, id)
			if err != nil {
				return nil, keyFault{err}
			}
			return k, nil
		}
		if s.ring == nil {
			return nil, keyFault{errors.New("image: it is encrypted, and this server has no master key")}
		}
		k, err := s.ring.Find(ctx, domain, id)
		if err != nil && !errors.Is(err, keyring.ErrUnknown) {
			return nil, keyFault{err}
		}
		return k, err
	}
}

// namingKey is the key under which a manifest's chunks have their ids.
func (s *Store) namingKey(ctx context.Context, m *chunk.Manifest) (*chunk.Key, error) {
	if m.KeyID == "" {
		return nil, nil
	}
	return s.keys(ctx, m.Domain)(m.KeyID)
}

// replicas lists the other regions where the manifest counts.
func (s *Store) replicas(ctx context.Context, ref Ref, except string) (list []string, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		list = nil
		for _, region := range s.Regions {
			_, err := tx.Get(registerKey(region, ref))
			switch {
			case err == nil && region != except:
				list = append(list, region)
			case err != nil && !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		return nil
	})
	return list, err
}

// named adds to a fault who needs what is damaged.
func (s *Store) named(ctx context.Context, ref Ref, fault *CorruptError) error {
	if s.Store == nil { // an Outpost; whoever sent it knows
		s.Log.Error("image bytes are damaged", "region", fault.Region, "object", fault.Key, "offset", fault.Offset, "error", fault.Err)
		return fault
	}
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		fault.Holders, err = s.Pins(tx, ref, fault.Region)
		return err
	})
	s.Log.Error("image bytes are damaged", "region", fault.Region, "object", fault.Key, "offset", fault.Offset, "holders", fault.Holders, "error", fault.Err)
	if err != nil {
		return errors.Join(fault, err)
	}
	return fault
}

// mend puts the sound copy of another region in place of a damaged chunk and gives its content; otherwise the fault. The copy may
// be there for another manifest of the domain: a chunk's name says all that it must be.
func (r *Reader) mend(ctx context.Context, e chunk.Entry, dst []byte, fault *CorruptError) ([]byte, error) {
	s := r.store
	for _, region := range s.Regions {
		if region == r.region {
			continue
		}
		b, err := s.bucket(region)
		if err != nil {
			return nil, errors.Join(fault, err)
		}
		frame, err := b.Get(ctx, fault.Key)
		if err != nil {
			continue // that one is no help
		}
		plain, err := r.prove(ctx, e, dst, bytes.Clone(frame))
		if err != nil {
			continue
		}
		s.replace(ctx, r.bucket, region, fault, frame)
		return plain, nil
	}
	return nil, s.named(ctx, r.ref, fault)
}

// mendManifest is mend for a manifest; nil and no error: nobody has it. One that is missing is mended only where it counts.
func (s *Store) mendManifest(ctx context.Context, into *blob.Bucket, region string, ref Ref) (*chunk.Manifest, error) {
	if s.Store == nil {
		return nil, nil
	}
	if ok, err := s.Has(ctx, region, ref); err != nil || !ok {
		return nil, err
	}
	from, err := s.replicas(ctx, ref, region)
	if err != nil {
		return nil, err
	}
	object := chunk.ManifestObject(ref.Domain, ref.ID)
	for _, other := range from {
		b, err := s.bucket(other)
		if err != nil {
			return nil, err
		}
		frame, err := b.Get(ctx, object)
		if err != nil {
			continue
		}
		if m, err := s.readManifest(ctx, bytes.Clone(frame), ref); err == nil {
			s.replace(ctx, into, other, &CorruptError{Region: region, Key: object, Offset: -1}, frame)
			return m, nil
		}
	}
	return nil, nil
}

// replace writes a sound frame over a damaged one. That it cannot is told and no failure: the content is there.
func (s *Store) replace(ctx context.Context, into *blob.Bucket, from string, fault *CorruptError, frame []byte) {
	err := into.Replace(ctx, fault.Key, frame)
	if err == nil {
		s.mended.Add(1)
	}
	s.Log.Warn("mended damaged image bytes", "region", fault.Region, "object", fault.Key, "offset", fault.Offset, "from", from, "fault", fault.Err, "error", err)
}
