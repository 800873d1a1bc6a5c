// Package operationtest is for tests that begin operations: it waits for their end. It begins none and runs none.
package operationtest

import (
	"context"
	"time"

	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// Wait polls an operation until it ends.
func Wait(ctx context.Context, s *store.Store, id string) (*operation.Operation, error) {
	timer := time.NewTicker(20 * time.Millisecond)
	defer timer.Stop()
	for {
		var o *operation.Operation
		err := s.View(ctx, func(tx store.Tx) (err error) {
			o, err = operation.Get(tx, id)
			return err
		})
		if err != nil || o.Terminal() {
			return o, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}
