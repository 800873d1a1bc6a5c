package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/image"
	"vitrine/internal/image/lazy"
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

// TestDeclareWhileABaseBecomesWhole: a server that looks just when the file has got its name, and so does not name the base any more, takes
// it from nobody who reads it.
func TestDeclareWhileABaseBecomesWhole(t *testing.T) {
	w := newWorld(t, -1)
	secrets, err := w.images.Keys().Secrets(t.Context(), domain)
	must(t, err)
	k := newKeys()
	_, err = k.set(map[string]map[string][]byte{domain: secrets})
	must(t, err)
	open, err := buckets(w.data, "", w.store)
	must(t, err)
	outpost, err := image.NewOutpost(image.OutpostConfig{Buckets: open, Regions: regions(), Keys: k.find})
	must(t, err)
	bases := image.Bases(w.images.Dir)
	x := newExports(bases, outpost, slog.New(slog.DiscardHandler))
	x.shift.SetRate(-1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e := export{"eastus", w.ref}
	path, _ := baseFile(bases, e.name())
	must(t, lazy.Create(path, w.ref.Size))
	x.declare(ctx, []export{e})
	guest, leave, err := x.use(ctx, e.name())
	must(t, err)
	part, _ := lazy.Partial(path)
	must(t, os.Rename(part, path)) // as the process does; it has not noted yet that it did
	x.declare(ctx, nil)
	x.tend()
	got := make([]byte, len(w.disk))
	if _, err := guest.Reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, w.disk) {
		t.Errorf("the guest reads %d bytes, %v", len(got), err)
	}
	must(t, os.Remove(path)) // as a collection does: now it is gone
	x.declare(ctx, nil)
	if _, err := guest.Reader.ReadAt(got, 0); !errors.Is(err, lazy.ErrGone) {
		t.Errorf("of a base that was taken away: %v", err)
	}
	leave()
	x.halt()
	must(t, x.close())
	must(t, outpost.Close())
}
