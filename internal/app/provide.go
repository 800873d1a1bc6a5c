package app

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/dataplane"
	"vitrine/internal/image"
	"vitrine/internal/image/lazy/host"
	"vitrine/internal/image/scrub"
	"vitrine/internal/operation"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/provider/deployments"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/gallery"
	"vitrine/internal/provider/insights"
	"vitrine/internal/provider/machine"
	"vitrine/internal/provider/managed"
	"vitrine/internal/provider/management"
	"vitrine/internal/provider/network"
	"vitrine/internal/provider/resources"
	"vitrine/internal/provider/restore"
	"vitrine/internal/provider/storage"
	"vitrine/internal/provider/storage/content"
	"vitrine/internal/vm"
	"vitrine/internal/vm/netstack"
	"vitrine/internal/vm/qemu"
	"vitrine/internal/web"
)

// rooms are the providers and back-ends that need more than registering.
type rooms struct {
	images   *image.Store
	bases    *host.Bases // nil: bases are copied
	scrubber *scrub.Scrubber
	gallery  *gallery.Provider
	disks    *disk.Provider
	managed  *managed.Provider
	points   *restore.Provider
	machines *machine.Provider
	networks *network.Provider
	runtime  vm.Runtime
	accounts *storage.Provider
	content  *content.Store
	blobs    http.Handler // of disks
	dial     func(ctx context.Context, host, port string) (net.Conn, error)
}

// tend starts the workers, and what looks after the rooms: machines and networks that should run, leftovers that should go.
func (a *App) tend(ctx context.Context, group *sync.WaitGroup) {
	group.Go(func() { a.engine.Run(ctx, workers) })
	group.Go(func() { a.rooms.machines.Run(ctx) })
	if a.rooms.bases != nil {
		group.Go(func() { a.rooms.bases.Run(ctx) })
	}
	group.Go(func() { a.every(ctx, 2*time.Second, "networks", a.rooms.networks.Reconcile) })
	group.Go(func() { a.every(ctx, 10*time.Minute, "leftovers of disks", a.rooms.disks.Sweep) })
	group.Go(func() { a.every(ctx, 10*time.Minute, "soft-deleted versions", a.rooms.gallery.Sweep) })
	group.Go(func() { a.every(ctx, 10*time.Minute, "leftovers of storage accounts", a.rooms.content.Sweep) })
	group.Go(func() { a.every(ctx, time.Second, "copies of blobs", a.rooms.content.Run) })
	group.Go(func() { a.every(ctx, time.Hour, "collection", a.collect) })
	group.Go(func() { a.every(ctx, time.Hour, "scrub", a.scrubDue) })
	group.Go(func() { a.every(ctx, time.Hour, "old operations", a.sweep) })
}

// keepOperations is for how long the end of an operation can be asked for.
const keepOperations = 7 * 24 * time.Hour

// sweep removes operations that ended long ago.
func (a *App) sweep(ctx context.Context) error {
	n, err := operation.Sweep(ctx, a.store, a.cfg.Now().Add(-keepOperations))
	if n > 0 {
		a.cfg.Log.Info("removed old operations", "count", n)
	}
	return err
}

// collect frees the image bytes that nobody names any more.
func (a *App) collect(ctx context.Context) error {
	_, err := a.collectOlder(ctx, a.rooms.images.Grace)
	return err
}

// collectOlder frees those that are older than a grace, region by region.
func (a *App) collectOlder(ctx context.Context, grace time.Duration) (client.Collected, error) {
	var all client.Collected
	for _, l := range arm.Locations() {
		report, err := a.rooms.images.CollectOlder(ctx, l.Name, grace)
		if err != nil {
			return all, err
		}
		all.Manifests, all.Objects, all.Bytes, all.Kept = all.Manifests+report.Manifests, all.Objects+report.Objects, all.Bytes+report.Bytes, all.Kept+report.Kept
		all.Packs, all.PackBytes = all.Packs+report.Packs, all.PackBytes+report.PackBytes
		if report.Manifests+report.Objects+report.Packs > 0 {
			a.cfg.Log.Info("collected", "region", l.Name, "manifests", report.Manifests, "objects", report.Objects, "bytes", report.Bytes, "packs", report.Packs)
		}
	}
	return all, nil
}

func (r *rooms) close() error {
	if r.images == nil {
		return nil
	}
	return r.images.Close()
}

// provide registers every provider and plugs one into another.
func (a *App) provide(ctx context.Context) (map[string]operation.Work, error) {
	if err := a.openRooms(ctx); err != nil {
		return nil, err
	}
	r := &a.rooms
	authorization.Register(a.control, principals{a.directory})
	management.Register(a.control, management.Config{Grant: authorization.GrantTo})
	insights.Register(a.control)
	groups := resources.Register(a.control, resources.Config{Directory: a.directory})
	sources, err := allowed("allow-template-source", a.cfg.Templates)
	if err != nil {
		return nil, err
	}
	deploys := deployments.Register(a.control, deployments.Config{Sealer: a.sealer,
		Fetcher: web.NewFetcher(web.FetchConfig{Origins: sources, Max: 4 << 20})})
	outside := a.outside()
	galleries := gallery.Register(a.control, gallery.Config{Images: r.images, Now: a.cfg.Now, Sources: origins{r}, Blobs: vhds{r}, Files: a.files(), Foreign: outside.Source})
	r.gallery = galleries
	r.disks = disk.Register(a.control, disk.Config{Images: r.images, Versions: allContents{galleries, func() *managed.Provider { return r.managed }}, Foreign: outside.Version, Seal: a.sealer, Dir: a.cfg.Data, Base: r.base, Overlay: r.overlay,
		Grow: r.runtime.GrowDisk, Live: r.live, Blobs: vhds{r}, Points: points{r}, Now: a.cfg.Now})
	r.managed = managed.Register(a.control, managed.Config{Images: r.images, Sources: origins{r}, Blobs: vhds{r}})
	r.points = restore.Register(a.control, restore.Config{Images: r.images, Sources: origins{r}, Machine: r.described, Now: a.cfg.Now})
	r.machines, err = machine.Register(a.control, machine.Config{Images: allImages{images{galleries}, r.managed}, Foreign: outside.Version, Disks: disks{r.disks}, Network: r.networks, Runtime: r.runtime,
		Sealer: a.sealer, Seeds: filepath.Join(a.cfg.Data, "seeds"), MaxCPUs: a.cfg.MaxCPUs, MaxMemoryMiB: a.cfg.MaxMemory, Log: a.cfg.Log})
	if err != nil {
		return nil, err
	}
	r.content = content.New(content.Config{Store: a.store, Images: r.images, Bucket: r.images.Buckets, Now: a.cfg.Now, Log: a.cfg.Log})
	if err := a.quotas(ctx); err != nil {
		return nil, err
	}
	r.accounts = storage.Register(a.control, storage.Config{Sealer: a.sealer, Blobs: r.content, Now: a.cfg.Now})
	r.blobs, r.dial = elsewhere(), r.networks.Dial
	if a.host {
		r.blobs = dataplane.New(grants{r.disks}, a.cfg.Now)
	}
	return merge(groups.Works(), deploys.Works(), galleries.Works(), r.disks.Works(), r.managed.Works(), r.points.Works(), r.networks.Works(), r.machines.Works()), nil
}

// openRooms makes the back-ends: image bytes by region, machines, networks.
func (a *App) openRooms(ctx context.Context) error {
	r := &a.rooms
	buckets, err := a.buckets(ctx)
	if err != nil {
		return err
	}
	r.images, err = image.New(image.Config{Store: a.store, Dir: imageDir(a.cfg.Data), Now: a.cfg.Now, Buckets: buckets,
		Sealer: a.sealer, Regions: regions(), Rate: int64(a.cfg.ReplicaRate) << 20, Log: a.cfg.Log})
	if err != nil {
		return err
	}
	if err := a.openBases(); err != nil {
		return err
	}
	r.scrubber = scrub.New(scrub.Config{Images: r.images, Store: a.store, Rate: int64(a.cfg.ScrubRate) << 20, Log: a.cfg.Log, Now: a.cfg.Now})
	machines, err := a.machines(ctx)
	if err != nil {
		return err
	}
	r.runtime = limit(machines, a.cfg.MaxMachines, machineMemory("/proc/meminfo"), a.cfg.MaxMemory)
	stacks, err := a.networks(ctx)
	if err != nil {
		return err
	}
	r.networks = network.Register(a.control, network.Config{Networks: stacks, Internet: a.cfg.Internet, Log: a.cfg.Log})
	return nil
}

// machines opens QEMU, unless the installation brings its own.
func (a *App) machines(ctx context.Context) (vm.Runtime, error) {
	if a.cfg.Machines != nil {
		return a.cfg.Machines, nil
	}
	accel := a.cfg.Accel
	if accel == "" {
		var why string
		accel, why = qemu.ProbeAccel(ctx, a.cfg.Data)
		a.cfg.Log.Info("acceleration", "accel", accel, "why", why)
	}
	return qemu.Open(ctx, qemu.Config{Data: a.cfg.Data, Self: a.self("supervise"), Accel: accel, Log: a.cfg.Log})
}

func (a *App) networks(ctx context.Context) (vm.Networks, error) {
	if a.cfg.Networks != nil {
		return a.cfg.Networks, nil
	}
	return netstack.Open(ctx, netstack.Config{Data: a.cfg.Data, Self: a.self("netstack"), Log: a.cfg.Log})
}

func regions() (names []string) {
	for _, l := range arm.Locations() {
		names = append(names, l.Name)
	}
	return names
}

func (a *App) self(command string) []string {
	return append(append([]string(nil), a.cfg.Self...), command)
}

func (r *rooms) overlay(ctx context.Context, base, path string, size int64) error {
	d := vm.NewDisk{Path: path, Size: size, Base: base}
	if base != "" {
		d.BaseFormat, d.Later = vm.Raw, r.bases != nil
	}
	return r.runtime.CreateDisk(ctx, d)
}

func merge(all ...map[string]operation.Work) map[string]operation.Work {
	works := map[string]operation.Work{}
	for _, some := range all {
		for name, w := range some {
			works[name] = w
		}
	}
	return works
}
