package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/image"
	"vitrine/internal/image/lazy/host"
	"vitrine/internal/image/packs"
	"vitrine/internal/vm"
)

// basesDir is where the process that serves bases keeps its lock and its log. Not in DATA/image, which is for bytes.
func basesDir(data string) string { return filepath.Join(data, "nbd") }

// openBases has machines run on images whose bytes are not copied yet. A runtime that an installation brings gets whole files.
func (a *App) openBases() (err error) {
	if a.cfg.Machines != nil {
		return nil
	}
	sockets, err := vm.SocketDir(a.cfg.Data)
	if err != nil {
		return err
	}
	self := a.self("nbd")
	if a.cfg.Blobs != "" { // it names where secrets are, and none
		self = append(self, "--blobs", a.cfg.Blobs)
	}
	a.rooms.bases, err = host.Open(host.Config{Images: a.rooms.images, Dir: basesDir(a.cfg.Data), Sockets: sockets, Self: self,
		Place: a.cfg.Blobs, Rate: int64(a.cfg.HydrateRate) << 20, Log: a.cfg.Log})
	return err
}

// base implements disk.Config.Base.
func (r *rooms) base(ctx context.Context, region string, ref image.Ref) (image.Base, error) {
	if r.bases != nil {
		return r.bases.Base(ctx, region, ref)
	}
	path, err := r.images.Base(ctx, region, ref)
	return image.Base{Path: path}, err
}

// leaveBases ends the process that serves bases when no machine runs that may read by it. A server that comes back starts another, which
// goes on filling where this one was.
func (a *App) leaveBases(ctx context.Context) {
	if a.rooms.bases == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	machines, err := a.rooms.runtime.List(ctx)
	if err == nil && !slices.ContainsFunc(machines, func(s vm.Status) bool { return s.State == vm.Running }) {
		err = a.rooms.bases.End(ctx)
	}
	if err != nil {
		a.cfg.Log.Error("the process that serves bases goes on", "error", err)
	}
}

// ServeBases is the process that serves bases; dir is its folder, blobs as in Config.
func ServeBases(ctx context.Context, dir, blobs string) error {
	data := filepath.Dir(filepath.Clean(dir))
	sockets, err := vm.SocketDir(data)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	buckets, _, err := openBuckets(ctx, data, blobs, func(region string, objects *blob.Bucket) (*blob.Bucket, error) {
		return packs.NewReader(packs.ReaderConfig{Bucket: objects, Log: log.With("region", region), Direct: blobs == ""}) // it has no database
	})
	if err != nil {
		return err
	}
	return host.Serve(ctx, host.Process{Dir: dir, Sockets: sockets, Bases: image.Bases(imageDir(data)), Buckets: buckets, Place: blobs, Regions: regions(),
		Log: log})
}

func imageDir(data string) string { return filepath.Join(data, "image") }
