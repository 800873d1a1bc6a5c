package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"vitrine/internal/image/chunk"
)

// keys are those of domains, in memory alone.
type keys struct {
	mu      sync.Mutex
	known   map[string]map[string]*chunk.Key
	changed chan struct{} // closed when known is replaced
}

func newKeys() *keys { return &keys{changed: make(chan struct{})} }

// set replaces all of them, and tells which domains have lost some.
func (k *keys) set(secrets map[string]map[string][]byte) (lost []string, err error) {
	known := map[string]map[string]*chunk.Key{}
	for domain, list := range secrets {
		known[domain] = map[string]*chunk.Key{}
		for id, secret := range list {
			key, err := chunk.NewKey(secret)
			clear(secret)
			if err != nil {
				return nil, err
			}
			if key.ID() != id {
				return nil, fmt.Errorf("key %s of %s is another", id, domain)
			}
			known[domain][id] = key
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for domain, list := range k.known {
		for id := range list {
			if known[domain][id] == nil {
				lost = append(lost, domain)
				break
			}
		}
	}
	k.known = known
	close(k.changed)
	k.changed = make(chan struct{})
	return lost, nil
}

// find gives a key. One that is not known may be about to come: the domain's key was changed, and the server tells us within
// seconds.
func (k *keys) find(ctx context.Context, domain, id string) (*chunk.Key, error) {
	var limit <-chan time.Time // made when it is needed: each chunk asks
	for {
		k.mu.Lock()
		key, changed := k.known[domain][id], k.changed
		k.mu.Unlock()
		if key != nil {
			return key, nil
		}
		if limit == nil {
			limit = time.After(waitTime)
		}
		select {
		case <-changed:
		case <-limit:
			return nil, fmt.Errorf("the server has not handed over key %s of %s", id, domain)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
