package keyring

import (
	"context"
	"fmt"
)

// Secrets opens the keys that a domain has now, by id. They are for a process of ours that must read without a database, and
// for its memory alone: chunk.NewKey makes the key again.
func (r *Ring) Secrets(ctx context.Context, domain string) (map[string][]byte, error) {
	o, err := r.open(ctx, domain)
	if err != nil {
		return nil, err
	}
	list := map[string][]byte{}
	for _, k := range o.body.Keys {
		secret, err := r.sealer.Open(k.Sealed, docKey(domain))
		if err != nil {
			return nil, fmt.Errorf("key %s of %s: %w", k.ID, domain, err)
		}
		list[k.ID] = secret
	}
	return list, nil
}
