package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vitrine/internal/client"
)

const (
	idleFor     = 5 * time.Second
	idleStocked = 2 * time.Second // at each size of the table
	indexType   = "application/vnd.oci.image.index.v1+json"
)

// idler is a server that is started, looked at and ended.
type idler interface {
	memory() (float64, error)
	stop()
}

// resting is a program of the row: how it is started on a folder that it has been at work in, and what is put there.
type resting struct {
	name    string
	missing error
	start   func(ctx context.Context) (_ idler, ready float64, err error)
	stock   func(ctx context.Context, from, to int) error // documents, while it runs for that alone
}

// rowIdle starts each server anew and looks at it once it has been idle for a while.
func rowIdle(ctx context.Context, b *bench) error {
	list, err := b.resting(ctx)
	if err != nil {
		return err
	}
	cs := idlers(ctx, list, idleFor)
	got, err := b.turns(b.rounds, cs)
	if err != nil {
		return err
	}
	b.compare(line{What: "idle memory (proportional set size)", Unit: "MiB", Target: 1, Data: fmt.Sprintf("%s after ready", idleFor)}, cs, got, valueOf)
	b.compare(line{What: "time to ready", Unit: "s", Target: 1, Data: "ours with its keys made"}, cs, got, wallOf)
	memory := b.growth("idle memory", "MiB", "image definitions, blobs or manifests")
	ready := b.growth("time to ready", "s", "image definitions, blobs or manifests")
	cs, have := idlers(ctx, list, idleStocked), 0
	for _, n := range []int{60, 240, 960} {
		for _, r := range list {
			if r.missing != nil {
				continue
			}
			if err := r.stock(ctx, have, n); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		have = n
		got, err := b.turns(min(3, b.rounds), cs)
		if err != nil {
			return err
		}
		memory.add(float64(n), cs, got, valueOf)
		ready.add(float64(n), cs, got, wallOf)
	}
	return nil
}

// idlers start each, wait, and look.
func idlers(ctx context.Context, list []resting, d time.Duration) (cs []contender) {
	for _, r := range list {
		cs = append(cs, contender{name: r.name, missing: r.missing, run: func(int) (sample, error) {
			s, ready, err := r.start(ctx)
			if err != nil {
				return sample{}, err
			}
			defer s.stop()
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return sample{}, ctx.Err()
			}
			m, err := s.memory()
			return sample{wall: ready, value: m / (1 << 20)}, err
		}})
	}
	return cs
}

// resting are ours and the peers. The first start of a data folder makes keys; what counts is that of a server that has been at work.
func (b *bench) resting(ctx context.Context) ([]resting, error) {
	var dirs [3]string
	for i, name := range []string{"idle", "azurite", "registry"} {
		var err error
		if dirs[i], err = b.scratch(name); err != nil {
			return nil, err
		}
	}
	o, err := b.startOursIn(ctx, dirs[0])
	if err != nil {
		return nil, err
	}
	o.stop()
	return []resting{
		b.restingOurs(dirs[0]),
		{name: "azurite", missing: b.azuriteMissing(), start: func(ctx context.Context) (idler, float64, error) {
			a, err := b.startAzuriteIn(ctx, dirs[1])
			if err != nil {
				return nil, 0, err
			}
			return a, a.ready, nil
		}, stock: func(ctx context.Context, from, to int) error {
			a, err := b.startAzuriteIn(ctx, dirs[1])
			if err != nil {
				return err
			}
			defer a.end()
			return stock(ctx, from, to, a.putSmall)
		}},
		{name: "zot", missing: errZot},
		{name: "docker-registry", missing: found("docker-registry", "docker-registry"), start: func(ctx context.Context) (idler, float64, error) {
			r, err := b.startRegistryIn(ctx, dirs[2])
			if err != nil {
				return nil, 0, err
			}
			return r, r.ready, nil
		}, stock: func(ctx context.Context, from, to int) error {
			r, err := b.startRegistryIn(ctx, dirs[2])
			if err != nil {
				return err
			}
			defer r.end()
			return stock(ctx, from, to, func(ctx context.Context, n int) error { _, err := r.manifest(ctx, n); return err })
		}},
	}, nil
}

// restingOurs puts image definitions into a gallery.
func (b *bench) restingOurs(dir string) resting {
	var tenant client.Tenant
	return resting{name: "vitrine", start: func(ctx context.Context) (idler, float64, error) {
		o, err := b.startOursIn(ctx, dir)
		if err != nil {
			return nil, 0, err
		}
		return o, o.ready, nil
	}, stock: func(ctx context.Context, from, to int) error {
		o, err := b.startOursIn(ctx, dir)
		if err != nil {
			return err
		}
		defer o.end()
		if from > 0 {
			o.tenant = tenant
			err = o.join(ctx)
		} else if err = o.settle(ctx); err == nil {
			tenant = o.tenant
			if err = o.arm.Do(ctx, http.MethodPut, o.compute("galleries/g"), versionGallery, map[string]any{"location": home}, nil); err == nil {
				err = o.succeeded(ctx, o.compute("galleries/g"), versionGallery)
			}
		}
		if err != nil {
			return err
		}
		return stock(ctx, from, to, func(ctx context.Context, n int) error {
			id := o.compute(fmt.Sprintf("galleries/g/images/i%d", n))
			_, err := o.arm.Begin(ctx, http.MethodPut, id, versionGallery, map[string]any{"location": home, "properties": map[string]any{
				"osType": "Linux", "osState": "Specialized", "hyperVGeneration": "V2", "identifier": map[string]any{"publisher": "bench", "offer": fmt.Sprint("o", n), "sku": "1"}}})
			if err != nil {
				return err
			}
			return o.succeeded(ctx, id, versionGallery) // the next start would have to end it
		})
	}}
}

// errZot: the module proxy says no, and no other copy is taken instead.
var errZot = errors.New("the Go module proxy serves neither zotregistry.dev/zot nor its former names (403); Debian's docker-registry stands in")

// registry is Debian's docker-registry, on files, without authorization.
type registry struct {
	*process
	dir   string
	base  string
	ready float64
}

const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: "127.0.0.1:%s"}
`

func (b *bench) startRegistry(ctx context.Context) (*registry, error) {
	dir, err := b.scratch("registry")
	if err != nil {
		return nil, err
	}
	return b.startRegistryIn(ctx, dir)
}

func (b *bench) startRegistryIn(ctx context.Context, dir string) (_ *registry, err error) {
	r := &registry{dir: dir}
	defer func() {
		if err != nil {
			r.end()
		}
	}()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(r.dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(r.dir, "data"), port), 0o600); err != nil {
		return nil, err
	}
	r.base = "http://127.0.0.1:" + port
	if r.process, err = start([]string{"docker-registry", "serve", config}, nil, nil); err != nil {
		return nil, err
	}
	r.ready, err = r.await(ctx, func() bool {
		res, err := http.Get(r.base + "/v2/")
		return err == nil && drain(res) == nil
	})
	return r, err
}

func (r *registry) end() {
	r.stop()
}

// manifest puts a small image index, each another, and gives its address.
func (r *registry) manifest(ctx context.Context, n int) (string, error) {
	target := fmt.Sprintf("%s/v2/bench/manifests/%d", r.base, n)
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","manifests":[],"annotations":{"n":"%d","a":"%s"}}`, indexType, n, strings.Repeat("x", 1500))
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, strings.NewReader(body))
	if err != nil {
		return target, err
	}
	req.Header.Set("Content-Type", indexType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return target, err
	}
	if err := drain(res); err != nil || res.StatusCode/100 != 2 {
		return target, errors.Join(err, fmt.Errorf("docker-registry answers %s", res.Status))
	}
	return target, nil
}
