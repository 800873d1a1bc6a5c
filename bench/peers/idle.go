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
)

const idleFor = 5 * time.Second

// rowIdle starts each server anew and looks at it once it has been idle for a while.
func rowIdle(ctx context.Context, b *bench) error {
	type server interface {
		memory() (float64, error)
		end()
	}
	measure := func(s server, ready float64) (sample, error) {
		defer s.end()
		timer := time.NewTimer(idleFor)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return sample{}, ctx.Err()
		}
		m, err := s.memory()
		return sample{wall: ready, value: m / (1 << 20)}, err
	}
	// The first start of a data folder makes keys; what counts is that of a server that has been at work.
	dir, err := b.scratch("idle")
	if err != nil {
		return err
	}
	o, err := b.startOursIn(ctx, dir)
	if err != nil {
		return err
	}
	o.stop()
	cs := []contender{
		{name: "vitrine", run: func(int) (sample, error) {
			o, err := b.startOursIn(ctx, dir)
			if err != nil {
				return sample{}, err
			}
			return measure(kept{o.process}, o.ready)
		}},
		{name: "azurite", missing: b.azuriteMissing(), run: func(int) (sample, error) {
			a, err := b.startAzurite(ctx)
			if err != nil {
				return sample{}, err
			}
			return measure(a, a.ready)
		}},
		{name: "zot", missing: errZot},
		{name: "docker-registry", missing: found("docker-registry", "docker-registry"), run: func(int) (sample, error) {
			r, err := b.startRegistry(ctx)
			if err != nil {
				return sample{}, err
			}
			return measure(r, r.ready)
		}},
	}
	got, err := b.turns(b.rounds, cs)
	if err != nil {
		return err
	}
	b.compare(line{What: "idle memory (proportional set size)", Unit: "MiB", Target: 1, Data: fmt.Sprintf("%s after ready", idleFor)}, cs, got, valueOf)
	b.compare(line{What: "time to ready", Unit: "s", Target: 1, Data: "ours with its keys made"}, cs, got, wallOf)
	return nil
}

// kept is a server whose folder is used again.
type kept struct{ *process }

func (k kept) end() { k.stop() }

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

func (b *bench) startRegistry(ctx context.Context) (_ *registry, err error) {
	r := &registry{}
	if r.dir, err = b.scratch("registry"); err != nil {
		return nil, err
	}
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

// manifest puts a small image index and gives its address.
func (r *registry) manifest(ctx context.Context) (string, error) {
	target := r.base + "/v2/bench/manifests/1"
	const kind = "application/vnd.oci.image.index.v1+json"
	body := `{"schemaVersion":2,"mediaType":"` + kind + `","manifests":[],"annotations":{"a":"` + strings.Repeat("x", 1500) + `"}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, strings.NewReader(body))
	if err != nil {
		return target, err
	}
	req.Header.Set("Content-Type", kind)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return target, err
	}
	if err := drain(res); err != nil || res.StatusCode/100 != 2 {
		return target, errors.Join(err, fmt.Errorf("docker-registry answers %s", res.Status))
	}
	return target, nil
}
