package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	getConnections = 8
	getFor         = 3 * time.Second
)

// getter is a request that is repeated.
type getter struct {
	http   *http.Client
	target string
	header map[string]string
	proc   *process
}

// shelf is a server of small documents that are read many times: image versions, or what the peers have in their place.
type shelf struct {
	name    string
	missing error
	getter
	put func(ctx context.Context, n int) error // puts another one beside the one that is read
	end func()
}

// rowGet reads an image version, with a token and its rights checked, beside what the peers give without.
func rowGet(ctx context.Context, b *bench) error {
	shelves, err := b.shelves(ctx)
	defer func() {
		for _, s := range shelves {
			s.end()
		}
	}()
	if err != nil {
		return err
	}
	cs := readers(ctx, shelves, getFor)
	got, err := b.turns(b.rounds, cs)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d connections for %s; TLS: ours, azurite", getConnections, getFor)
	b.compare(line{What: "version GET with token and RBAC, requests", Unit: "/s", More: true, Target: 1, Data: note}, cs, got, valueOf)
	b.compare(line{What: "server's CPU time per 1000 requests", Unit: "s", Data: note}, cs, got, cpuOf)
	g := b.growth("1000 version GETs, wall", "s", "versions in the gallery")
	have, cs := 1, readers(ctx, shelves, getFor/3)
	for _, n := range []int{16, 64, 256} {
		for _, s := range shelves {
			if s.missing != nil {
				continue
			}
			if err := stock(ctx, have, n, s.put); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		have = n
		got, err := b.turns(min(3, b.rounds), cs)
		if err != nil {
			return err
		}
		g.add(float64(n), cs, got, func(s sample) float64 { return 1000 / s.value })
	}
	return nil
}

func readers(ctx context.Context, shelves []shelf, d time.Duration) (cs []contender) {
	for _, s := range shelves {
		cs = append(cs, gets(ctx, s, d))
	}
	return cs
}

// shelves are ours, with a version of an image, and the peers.
func (b *bench) shelves(ctx context.Context) ([]shelf, error) {
	o, version, err := b.publishedSmall(ctx)
	if err != nil {
		return nil, err
	}
	list := []shelf{{name: "vitrine", end: o.end}, {name: "zot", missing: errZot, end: func() {}}}
	token, err := o.operator.Tokens(o.tenant.TenantID)(ctx)
	if err != nil {
		return list, err
	}
	list[0].getter = getter{o.http, armURL + version + "?api-version=" + versionGallery, map[string]string{"Authorization": "Bearer " + token.AccessToken}, o.process}
	list[0].put = func(ctx context.Context, n int) error { return o.copied(ctx, version, "small", n) }
	r := shelf{name: "docker-registry", missing: found("docker-registry", "docker-registry"), end: func() {}}
	if r.missing == nil {
		reg, err := b.startRegistry(ctx)
		if err != nil {
			return list, err
		}
		r.end = reg.end
		target, err := reg.manifest(ctx, 0)
		if err != nil {
			return append(list, r), err
		}
		r.getter = getter{&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: getConnections}}, target, map[string]string{"Accept": indexType}, reg.process}
		r.put = func(ctx context.Context, n int) error { _, err := reg.manifest(ctx, n); return err }
	}
	list = append(list, r)
	a := shelf{name: "azurite", missing: b.azuriteMissing(), end: func() {}}
	if a.missing == nil {
		az, err := b.startAzurite(ctx)
		if err != nil {
			return list, err
		}
		a.end = az.end
		a.getter = getter{az.http, az.small(0), map[string]string{"x-ms-version": "2020-10-02"}, az.process}
		a.put = az.putSmall
		if err := az.putSmall(ctx, 0); err != nil {
			return append(list, a), err
		}
	}
	return append(list, a), nil
}

// publishedSmall is ours with one small image version.
func (b *bench) publishedSmall(ctx context.Context, args ...string) (o *ours, version string, err error) {
	if o, err = b.startOurs(ctx, args...); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			o.end()
		}
	}()
	if err := o.settle(ctx); err != nil {
		return nil, "", err
	}
	raw := filepath.Join(o.dir, "small.raw")
	if err := errors.Join(os.WriteFile(raw, []byte("small"), 0o600), os.Truncate(raw, 16<<20)); err != nil {
		return nil, "", err
	}
	version, err = o.publish(ctx, raw, "small", 0)
	return o, version, err
}

func gets(ctx context.Context, g shelf, d time.Duration) contender {
	return contender{name: g.name, missing: g.missing, run: func(int) (sample, error) {
		if _, err := g.hammer(ctx, d/6); err != nil { // the connections open, the caches fill
			return sample{}, err
		}
		var took []float64
		s, err := g.proc.during(func() (err error) {
			took, err = g.hammer(ctx, d)
			return err
		})
		s.value = float64(len(took)) / s.wall
		s.cpu *= 1000 / float64(len(took))
		return s, err
	}}
}

// hammer asks on all connections for a time and gives what each request took, in seconds.
func (g getter) hammer(ctx context.Context, d time.Duration) (took []float64, failed error) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	end := time.Now().Add(d)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range getConnections {
		all.Go(func() {
			var mine []float64
			var err error
			for err == nil && time.Now().Before(end) {
				begin := time.Now()
				err = g.once(ctx)
				mine = append(mine, since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			failed = errors.Join(failed, err)
		})
	}
	all.Wait()
	return took, failed
}

func (g getter) once(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.target, nil)
	if err != nil {
		return err
	}
	for k, v := range g.header {
		req.Header.Set(k, v)
	}
	res, err := g.http.Do(req)
	if err != nil {
		return err
	}
	if err := drain(res); err != nil || res.StatusCode != http.StatusOK {
		return errors.Join(err, fmt.Errorf("%s to a GET", res.Status))
	}
	return nil
}
