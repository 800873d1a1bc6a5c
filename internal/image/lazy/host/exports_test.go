package host

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/image"
)

// mute is an object store that does not answer.
type mute struct{ blob.Driver }

func (mute) Get(ctx context.Context, _ string, _, _ int64) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestDeclareManyOfAStoreThatIsAway: however many bases there are, the server hears of them before it takes the process for dead.
func TestDeclareManyOfAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outpost, err := image.NewOutpost(image.OutpostConfig{Buckets: func(string) (*blob.Bucket, error) { return blob.New(mute{}), nil }, Regions: regions()})
		must(t, err)
		x := newExports(t.TempDir(), outpost, slog.New(slog.DiscardHandler))
		var list []export
		for i := range 100 {
			list = append(list, export{"eastus", image.Ref{Domain: domain, ID: fmt.Sprintf("%064x", i), Size: 1 << 20}})
		}
		began := time.Now()
		x.declare(t.Context(), list)
		if d := time.Since(began); d > askLimit/2 {
			t.Errorf("it took %s", d)
		}
		states, _ := x.status(0)
		for _, e := range list {
			if states[e.name()].Problem == "" {
				t.Errorf("%s: %+v", e.name(), states[e.name()])
			}
		}
		must(t, x.close())
		must(t, outpost.Close())
	})
}
